"""What scales a serving: a HorizontalPodAutoscaler, or a ScaledObject by which KEDA makes one. Both read one number, the
replicas that the signals want, so that what is no number is decided in one place; neither is told how the other counts.

One follows the other only once that is gone: KEDA refuses what a HorizontalPodAutoscaler scales already, and Kubernetes lets
none of two scale.
"""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.scaling import KEDA, Autoscaling, Bounds
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import AUTOSCALER, SCALED_OBJECT, Manifest, controller_of, is_terminating, uid_of
from deepseek_operator.core.scale_target import ScaleTarget, target_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.labels import child_labels
from deepseek_operator.kinds.serving.names import serving_service

SCALE_UP_PERIOD_SECONDS = 15
"""The autoscaler's own period: in each, it may go up by as many replicas as there can be."""

POLLING_SECONDS = 15
"""KEDA's own question, by which it tells whether anybody is active; its HorizontalPodAutoscaler asks as often as any does."""

FAILURES = 3
"""Answers without a number in a row; at the next KEDA tells in its own status that it holds what runs."""

PAUSED = "ScaledObjectPaused"
"""KEDA's word for what a person has paused."""


def is_by_keda(owner: DeepSeekServing) -> bool:
    """KEDA makes the autoscaler."""
    return owner.spec.autoscaling is not None and owner.spec.autoscaling.backend == KEDA


def scale_target(owner: DeepSeekServing) -> dict[str, str]:
    """What an autoscaler of this serving scales: its scale subresource, whatever keeps the replicas."""
    return {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "name": owner.metadata.name}


def autoscalers(
    seen: Seen[DeepSeekServing], configuration: Configuration, bounds: Bounds | None
) -> tuple[Manifest, ...]:
    """The HorizontalPodAutoscaler, with the bounds of now; none while nothing may be scaled, or KEDA makes it."""
    owner, autoscaling = seen.owner, seen.owner.spec.autoscaling
    if (
        autoscaling is None
        or bounds is None
        or owner.spec.suspend
        or is_by_keda(owner)
        or scaled_object(seen) is not None
    ):
        return ()
    # One replica per replica wanted. A target of type Value would be multiplied by the ready pods.
    external = {
        "metric": {"name": configuration.metric_prefix, "selector": {"matchLabels": {"serving": owner.metadata.name}}},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }
    spec = {
        "scaleTargetRef": scale_target(owner),
        "minReplicas": bounds.least,
        "maxReplicas": bounds.most,
        "metrics": [{"type": "External", "external": external}],
        "behavior": _behavior(autoscaling),
    }
    return ({**head(AUTOSCALER, owner, serving_service(owner.metadata.name), child_labels(owner)), "spec": spec},)


def scaled_objects(
    seen: Seen[DeepSeekServing], configuration: Configuration, bounds: Bounds | None
) -> tuple[Manifest, ...]:
    """KEDA's ScaledObject, with the bounds of now; none while nothing may be scaled, a HorizontalPodAutoscaler of ours is yet
    there, or KEDA has nowhere to ask."""
    owner, autoscaling, name = seen.owner, seen.owner.spec.autoscaling, serving_service(seen.owner.metadata.name)
    url = configuration.wanted_url_of(SERVING, owner.metadata.namespace, owner.metadata.name)
    if autoscaling is None or bounds is None or owner.spec.suspend or not is_by_keda(owner) or url is None:
        return ()
    if own_autoscaler(seen) is not None:
        return ()
    trigger = {
        "type": "metrics-api",
        "metricType": "AverageValue",
        "metadata": {"url": url, "valueLocation": "replicas", "targetValue": "1"},
    }
    spec = {
        "scaleTargetRef": scale_target(owner),
        "pollingInterval": POLLING_SECONDS,
        "minReplicaCount": bounds.least,
        "maxReplicaCount": bounds.most,
        "fallback": {"failureThreshold": FAILURES, "replicas": bounds.least, "behavior": "currentReplicas"},
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(autoscaling)}},
        "triggers": [trigger],
    }
    return ({**head(SCALED_OBJECT, owner, name, child_labels(owner)), "spec": spec},)


def _behavior(autoscaling: Autoscaling) -> dict[str, Any]:
    """Up at once and without a rate limit: a register that was reset by hand must climb back in one step, because
    the gate follows what the autoscaler wants. Down only after the highest wish of the window has passed."""
    up = [{"type": "Pods", "value": autoscaling.highest, "periodSeconds": SCALE_UP_PERIOD_SECONDS}]
    down = [{"type": "Percent", "value": 100, "periodSeconds": SCALE_UP_PERIOD_SECONDS}]
    window_s = autoscaling.scale_down_stabilization_seconds
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": up},
        "scaleDown": {"stabilizationWindowSeconds": window_s, "selectPolicy": "Max", "policies": down},
    }


def live_autoscaler(seen: Seen[DeepSeekServing]) -> Manifest | None:
    """The HorizontalPodAutoscaler that scales this serving for us; None when there is none, or it is on its way out."""
    if is_by_keda(seen.owner):
        live, scaled = None, scaled_object(seen)
        if scaled is not None:
            target = ScaleTarget(SERVING.group, SERVING.kind, seen.owner.metadata.name)
            made = (one for one in seen.scalers if _is_made_by(one, scaled) and target_of(one) == target)
            live = next(made, None)
    else:
        live = own_autoscaler(seen)
    return live if live is not None and not is_terminating(live) else None


def own_autoscaler(seen: Seen[DeepSeekServing]) -> Manifest | None:
    """The HorizontalPodAutoscaler that the operator made, on its way out or not."""
    return seen.child(AUTOSCALER, serving_service(seen.owner.metadata.name))


def scaled_object(seen: Seen[DeepSeekServing]) -> Manifest | None:
    """Our ScaledObject, on its way out or not."""
    return seen.child(SCALED_OBJECT, serving_service(seen.owner.metadata.name))


def kedas_word(seen: Seen[DeepSeekServing]) -> tuple[str, str] | None:
    """Reason and message of why KEDA scales nothing by our ScaledObject now; None where all is well, or nothing is said."""
    scaled = scaled_object(seen) or {}
    said = {one.get("type"): one for one in (scaled.get("status") or {}).get("conditions") or ()}
    # Told too while only one direction is paused; KEDA's autoscaler is there then, and does it.
    if _is_true(said.get("Paused")) and live_autoscaler(seen) is None:
        return PAUSED, f"an annotation of ScaledObject {scaled['metadata']['name']} pauses KEDA, and what runs is held"
    if _is_true(said.get("Fallback")):
        return "FallbackExists", "KEDA gets no number, and holds what runs"
    ready = said.get("Ready") or {}
    return (str(ready.get("reason", "")), str(ready.get("message", ""))) if ready.get("status") == "False" else None


def _is_true(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and condition.get("status") == "True"


def _is_made_by(manifest: Manifest, maker: Manifest) -> bool:
    return (controller_of(manifest) or {}).get("uid") == uid_of(maker)


def is_of_ours(owner: DeepSeekServing, manifest: Manifest) -> bool:
    """KEDA made it for our ScaledObject, which may be gone by now: it follows."""
    controller = controller_of(manifest) or {}
    ours = (SCALED_OBJECT.kind, serving_service(owner.metadata.name))
    return (controller.get("kind"), controller.get("name")) == ours
