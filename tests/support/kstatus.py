"""What `helm --wait`, Flux and Argo CD's generic check make of a custom resource: kstatus, written out.

After fluxcd/cli-utils, pkg/kstatus/status: deletion, then the observed generation, then the first of Reconciling and
Stalled that is True in list order, then Ready if it is there; everything else is Current.
"""

from collections.abc import Mapping
from typing import Any


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
