"""How many replicas may run: the user's number, or under autoscaling what the downward gate lets through.

The number is recorded in status before it is used, so that neither a restart of the operator, nor a suspension, nor
an autoscaler that does not exist yet lets it fall.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.scaling import Autoscaling, Bounds
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.scaling import Autoscaler, gated
from deepseek_operator.kinds.serving.running import replica_groups


def running_replicas(
    seen: Seen[DeepSeekServing], bounds: Bounds | None, live: Manifest | None, window_left: timedelta | None
) -> int:
    """Replicas that may run now, suspension aside. `live`: our autoscaler, with what its window still lacks."""
    spec = seen.owner.spec
    if bounds is None:
        return spec.replicas
    told = _autoscaler(live, window_left) if live is not None else None
    return gated(spec.replicas, _held(seen), bounds.least, bounds.most, told)


def _held(seen: Seen[DeepSeekServing]) -> int:
    """What was let run until now: as recorded, else what the Deployments still say, else what the spec asks for."""
    recorded = seen.owner.status.running_replicas
    if recorded is not None:
        return recorded
    specified = sum(group.specified for group in replica_groups(seen))
    return specified or seen.owner.spec.replicas


def _autoscaler(live: Manifest, window_left: timedelta | None) -> Autoscaler:
    """What our autoscaler says of itself."""
    limited = scaler_condition(live, "ScalingLimited")
    active = scaler_condition(live, "ScalingActive").get("status") == "True"
    return Autoscaler(
        active=active and window_left is None,
        limited=limited.get("status") == "True" and limited.get("reason") == "ScaleUpLimit",
        desired=(live.get("status") or {}).get("desiredReplicas"),
    )


def window_left(autoscaling: Autoscaling | None, live: Manifest | None, now: datetime) -> timedelta | None:
    """Time until our autoscaler has looked for as long as its window for scaling down; None once it has.

    A new one remembers no higher wish: its first look, in a lull or while the register says 1, would take at once what
    the window is there to keep.
    """
    created = parse_time(live["metadata"].get("creationTimestamp")) if live is not None else None
    if created is None or autoscaling is None:
        return None
    window = timedelta(seconds=autoscaling.scale_down_stabilization_seconds)
    left = created + window - now
    return left if timedelta(0) < left <= window else None  # More than the window: a clock went back.


def scaler_condition(live: Manifest, type_: str) -> Mapping[str, Any]:
    """One condition of the autoscaler; empty when it was never set."""
    conditions = (live.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == type_), {})
