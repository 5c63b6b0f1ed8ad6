"""One look at a serving, and what is told of it: its replicas, pods and autoscaler as a cluster would have them."""

import json
from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.actions import Done
from deepseek_operator.core.conditions import find, headline
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.autoscaler import autoscalers
from deepseek_operator.kinds.serving.children import replica_group
from deepseek_operator.kinds.serving.labels import pod_labels
from deepseek_operator.kinds.serving.revision import revision_name
from deepseek_operator.kinds.serving.sources import reference_digest
from deepseek_operator.workloads.replicas.keeper import Pods
from tests.support.moments import START
from tests.support.servings import a_serving, seen_of

KIND = serving_kind(Configuration())
SCALED: dict[str, Any] = {
    "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "signals": [{"type": "InFlight", "target": 4}]}
}
OLD = "0ldrev1s10"
NO_ROOM = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def recorded(running: int = 3, **spec: Any) -> dict[str, Any]:
    """A serving whose model and number of replicas are recorded."""
    owner = DeepSeekServing.model_validate(a_serving(**spec))
    resolved = {"reference": reference_digest(owner.spec.model), "claimName": "models", "subPath": "v2"}
    return a_serving(status={"resolved": resolved, "runningReplicas": running}, **spec)


def target_of(serving: dict[str, Any]) -> str:
    owner = DeepSeekServing.model_validate(serving)
    assert isinstance(owner.status.resolved, ResolvedModel)
    return revision_name(owner, owner.status.resolved)


def deployment(serving: dict[str, Any], revision: str, specified: int, ready: int, **status_: Any) -> Manifest:
    owner = DeepSeekServing.model_validate(serving)
    template = {"metadata": {"labels": pod_labels(owner, revision)}, "spec": {"containers": []}}
    counts = {"replicas": specified, "readyReplicas": ready, **status_}
    return {**replica_group(owner, revision, Pods(template), specified), "status": counts}


def pod(serving: dict[str, Any], revision: str, **status_: Any) -> Manifest:
    labels = pod_labels(DeepSeekServing.model_validate(serving), revision)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}, "status": status_}


def look(serving: dict[str, Any], *found: Manifest, **more: Any) -> ServingStatus:
    return KIND.decide(seen_of(serving, children=found, **more)).status(Done())


def told(found: ServingStatus) -> tuple[str, str, str, str]:
    """Ready (or Suspended in its place), Reconciling, Stalled, and the reason of the first."""
    values = [headline(found.conditions), *(find(found.conditions, type_) for type_ in ("Reconciling", "Stalled"))]
    assert all(values)
    return (*(value.status for value in values if value), values[0].reason if values[0] else "")  # type: ignore[return-value]


def scaler(active: str, reason: str, desired: int) -> Manifest:
    owner = DeepSeekServing.model_validate(recorded(**SCALED))
    bounds = owner.spec.autoscaling.bounds(START) if owner.spec.autoscaling is not None else None
    (manifest,) = autoscalers(Seen(owner, START), Configuration(), bounds)
    conditions = [{"type": "ScalingActive", "status": active, "reason": reason, "message": "no metrics returned"}]
    return {**manifest, "status": {"desiredReplicas": desired, "conditions": conditions}}


WORDS = "model folder /model holds no config.json: it is empty"
INVALID = json.dumps({"formatVersion": 1, "result": "Invalid", "message": WORDS, "step": None})


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def container(state: Mapping[str, Any], last: Mapping[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    last_state = dict(last) if last is not None else {}
    return {"name": "engine", "state": dict(state), "lastState": last_state, "restartCount": restarts, "started": False}


def tries(end: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The states between which the kubelet moves while a container ends again and again."""
    return [
        container(waiting("CrashLoopBackOff", "back-off 20s restarting failed container"), end, 2),
        container({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, end, 3),
        container(end, end, 3),
        container(waiting("CrashLoopBackOff", "back-off 40s restarting failed container"), end, 3),
    ]


def broken_beside(serving: dict[str, Any], revision: str) -> Manifest:
    return pod(serving, revision, phase="Running", containerStatuses=[tries(ended(64, INVALID))[0]])
