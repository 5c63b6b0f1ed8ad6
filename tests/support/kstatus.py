"""What `helm --wait`, Flux and Argo CD's generic check make of a custom resource: kstatus, written out.

After fluxcd/cli-utils, pkg/kstatus/status: deletion, then the observed generation, then the first of Reconciling and
Stalled that is True in list order, then Ready if it is there; everything else is Current.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""Of a `metav1.Condition`."""


def kstatus(manifest: Mapping[str, Any]) -> str:
    """Terminating, InProgress, Failed or Current."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata.get("generation"):
        return "InProgress"
    conditions = status.get("conditions") or ()
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in ("Reconciling", "Stalled"):
            return {"Reconciling": "InProgress", "Stalled": "Failed"}[condition["type"]]
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"


def broken_rules(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What of a status that the operator has written is not as kstatus and KEP-1623 want it, as sentences.

    A waiting tool must end for the right reason: nothing is Current that is not ready or at rest, nothing is in progress
    without a word of what for, and nothing is both on its way and stuck.
    """
    status = manifest.get("status") or {}
    found = {condition["type"]: condition for condition in status.get("conditions") or ()}
    true = {name for name, condition in found.items() if condition["status"] == "True"}
    if not found:
        return
    if len(found) != len(status["conditions"]):
        yield "two conditions have one type"
    if {"Reconciling", "Stalled"} <= true:
        yield "it is on its way and stuck"
    if not {"Reconciling", "Stalled"} <= found.keys():
        yield "Reconciling or Stalled is missing"
    if ("Ready" in found) == ("Suspended" in found):
        yield "it has Ready and Suspended, or neither"
    if not true & {"Ready", "Suspended", "Reconciling", "Stalled"}:
        yield "it is neither ready nor at rest, and nothing says why"
    if status.get("observedGeneration", -1) > manifest["metadata"]["generation"]:
        yield "a spec was observed that there is not"
    for name, condition in found.items():
        if condition.get("observedGeneration") != status.get("observedGeneration"):
            yield f"{name} is about another spec than the status"
        if not _REASON.fullmatch(condition.get("reason", "")) or not isinstance(condition.get("message"), str):
            yield f"{name} has no reason or no message"
        if condition["status"] not in ("True", "False", "Unknown") or not condition.get("lastTransitionTime"):
            yield f"{name} is no condition"
