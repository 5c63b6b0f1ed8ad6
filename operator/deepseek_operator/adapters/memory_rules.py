"""What the API server adds to an object and what it never lets one change, as far as the operator's kinds can notice."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from deepseek_operator.api.crd import UNSEEN
from deepseek_operator.core.ownership import JOB_UID
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    CLAIM,
    DEPLOYMENT,
    JOB,
    POD,
    POLICY,
    REVISION,
    SERVICE,
    Resource,
)

PVC_PROTECTION = "kubernetes.io/pvc-protection"
COUNTS_NO_GENERATIONS = frozenset({POD, SERVICE, CLAIM, REVISION, AUTOSCALER})
HAS_NO_STATUS = frozenset({POLICY, REVISION, AUTOSCALER})
"""What isn't named in these has both, as every custom resource that is worth it."""

_FROZEN: Mapping[Resource, tuple[tuple[str, ...], ...]] = {
    JOB: tuple(
        ("spec", key)
        for key in ("template", "selector", "completionMode", "completions", "podFailurePolicy", "successPolicy")
    ),
    POD: (("spec", "containers"), ("spec", "volumes"), ("spec", "restartPolicy")),
    CLAIM: (("spec", "accessModes"), ("spec", "storageClassName"), ("spec", "selector"), ("spec", "volumeMode")),
    DEPLOYMENT: (("spec", "selector"),),
    REVISION: (("data",),),
}
_EITHER = ("minAvailable", "maxUnavailable")
_DNS_LABEL_LENGTH = 63


def set_defaults(resource: Resource, stored: dict[str, Any]) -> None:
    """Fills in the defaults that the server would store; idempotent."""
    spec = stored.get("spec")
    if resource == JOB and isinstance(spec, dict):
        _default_job(stored["metadata"], spec)
    elif resource == DEPLOYMENT and isinstance(spec, dict):
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
    elif resource == SERVICE and isinstance(spec, dict):
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("clusterIP", "10.96.0.1")
        for port in spec.get("ports", ()):
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port["port"])
    elif resource == CLAIM and isinstance(spec, dict):
        spec.setdefault("volumeMode", "Filesystem")
        stored.setdefault("status", {"phase": "Pending"})
    elif resource.is_owner:
        stored.setdefault("status", deepcopy(UNSEEN))


def _default_job(metadata: Mapping[str, Any], spec: dict[str, Any]) -> None:
    defaults = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": False, "completionMode": "NonIndexed"}
    for key, value in defaults.items():
        spec.setdefault(key, value)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    tracking = {
        JOB_UID: metadata["uid"],
        "batch.kubernetes.io/job-name": metadata["name"],
    }
    spec.setdefault("selector", {"matchLabels": {JOB_UID: metadata["uid"]}})
    template = spec.setdefault("template", {})
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    for key, value in tracking.items():
        labels.setdefault(key, value)


def refusal_of_name(resource: Resource, name: str) -> str | None:
    """Why the name can't be stored; None when it can."""
    if not name:
        return "metadata.name: Required value: name or generateName is required"
    limit = _DNS_LABEL_LENGTH if resource in (SERVICE, JOB) else 253
    return f"metadata.name: Invalid value: must be no more than {limit} characters" if len(name) > limit else None


def refusal_of_change(resource: Resource, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Why an update can't be stored: the first immutable field that it changes; None when it can."""
    for path in _FROZEN.get(resource, ()):
        if _at(before, path) != _at(after, path):
            return f"{'.'.join(path)}: Invalid value: field is immutable"
    if resource == BUDGET and all(_at(after, ("spec", key)) is not None for key in _EITHER):
        return f"spec: Invalid value: {' and '.join(_EITHER)} cannot be both set"
    if (
        resource == CLAIM
        and before.get("status", {}).get("phase") != "Bound"
        and _requested(after) != _requested(before)
    ):
        return "spec: Forbidden: spec is immutable after creation except resources.requests for bound claims"
    if resource == CLAIM and _requested(after) < _requested(before):
        return "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    return None


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _requested(claim: Mapping[str, Any]) -> float:
    text = str(_at(claim, ("spec", "resources", "requests", "storage")) or "0")
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * _UNITS.get(unit, 1)
