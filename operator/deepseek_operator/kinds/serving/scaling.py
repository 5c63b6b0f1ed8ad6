"""What is told of the autoscaler, in its own words, and whether it sees the load at all.

An autoscaler without metrics holds what runs, which looks like a quiet one. For its first minutes it has none: a pod must
be scraped, and the scrape evaluated, before there is a number. After that a person must know.
"""

from datetime import timedelta
from typing import Literal

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ScalingStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving.gate import live_autoscaler, scaler_condition

SCALING_ACTIVE = "ScalingActive"
FIRST_METRICS = timedelta(seconds=120)
"""Two intervals of a usual scrape, of an evaluation and of the autoscaler itself. Shorter, every new serving would warn."""


def scaling_status(seen: Seen[DeepSeekServing]) -> ScalingStatus | None:
    """What the autoscaler says, in its words; None without autoscaling."""
    if seen.owner.spec.autoscaling is None or seen.owner.spec.suspend:
        return None
    live = live_autoscaler(seen)
    if live is None:
        return ScalingStatus(reason="NoAutoscaler", message="the HorizontalPodAutoscaler does not exist yet")
    active = scaler_condition(live, "ScalingActive")
    able = scaler_condition(live, "AbleToScale")
    told = able if able.get("status") == "False" else active
    return ScalingStatus(
        active=active.get("status") == "True",
        desired=(live.get("status") or {}).get("desiredReplicas"),
        reason=str(told.get("reason", "")),
        message=str(told.get("message", ""))[:1024],
    )


def scaling_of(seen: Seen[DeepSeekServing]) -> tuple[Verdict, ...]:
    """The autoscaler's condition, in its words; none without autoscaling, and none before it can have numbers."""
    told = scaling_status(seen)
    if told is None or not told.reason or told.reason == "NoAutoscaler":
        return ()
    sees = told.active and not _is_unable(seen)
    if not sees and blindness(seen) is None:
        return ()
    status: Literal["True", "False"] = "True" if sees else "False"
    return (Verdict(SCALING_ACTIVE, status, told.reason, told.message),)


def blindness(seen: Seen[DeepSeekServing]) -> str | None:
    """Why the autoscaler can't do its work, in its words; None when it can, or need not yet."""
    told, left = scaling_status(seen), blind_left(seen)
    if told is None or left is None or left > timedelta(0):
        return None
    return f"{told.reason}: {told.message}"


def blind_left(seen: Seen[DeepSeekServing]) -> timedelta | None:
    """Time until an autoscaler that sees nothing must be told of, at most zero once it must; None while it sees."""
    told, live = scaling_status(seen), live_autoscaler(seen)
    if told is None or live is None or not told.reason or (told.active and not _is_unable(seen)):
        return None
    since = parse_time(_wrong(live).get("lastTransitionTime"))
    return since + FIRST_METRICS - seen.now if since is not None else timedelta(0)


def _is_unable(seen: Seen[DeepSeekServing]) -> bool:
    live = live_autoscaler(seen)
    return live is not None and scaler_condition(live, "AbleToScale").get("status") == "False"


def _wrong(live: Manifest) -> Manifest:
    able = scaler_condition(live, "AbleToScale")
    return able if able.get("status") == "False" else scaler_condition(live, "ScalingActive")
