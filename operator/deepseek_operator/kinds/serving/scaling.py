"""What is told of the autoscaler, in its own words, and whether it sees the load at all.

An autoscaler without metrics holds what runs, which looks like a quiet one. For its first minutes it has none: a pod must
be scraped, and the scrape evaluated, before there is a number. After that a person must know.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.scaling import MOST_SIGNALS, Bounds, SignalStatus
from deepseek_operator.api.v1alpha1.serving.status import ScalingStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen, SignalWish
from deepseek_operator.domain.policy.zero import Phase
from deepseek_operator.kinds.serving.gate import live_autoscaler, scaler_condition, window_left

SCALING_ACTIVE = "ScalingActive"
NO_AUTOSCALER = "NoAutoscaler"
FIRST_METRICS = timedelta(seconds=120)
"""Two intervals of a usual scrape, of an evaluation and of the autoscaler itself. Shorter, every new serving would warn."""


@dataclass(frozen=True)
class Scaling:
    """What our autoscaler was seen to be and to say.

    Attributes:
        live: its HorizontalPodAutoscaler; None when there is none.
        window_left: time until it has looked for as long as its window for scaling down; None once it has.
        told: what it says, in its words; None where nothing is to be scaled.
        blind_left: time until one that sees nothing must be told of, at most zero once it must; None while it sees.
    """

    live: Manifest | None
    window_left: timedelta | None
    told: ScalingStatus | None
    blind_left: timedelta | None

    @property
    def blindness(self) -> str | None:
        """Why the autoscaler can't do its work, in its words; None when it can, or need not yet."""
        if self.told is None or self.blind_left is None or self.blind_left > timedelta(0):
            return None
        return f"{self.told.reason}: {self.told.message}"

    @property
    def conditions(self) -> tuple[Verdict, ...]:
        """The autoscaler's condition, in its words; none without autoscaling, and none before it can have numbers."""
        told = self.told
        if told is None or not told.reason or told.reason == NO_AUTOSCALER:
            return ()
        sees = _sees(told, self.live)
        if not sees and self.blindness is None:
            return ()
        status: Literal["True", "False"] = "True" if sees else "False"
        return (Verdict(SCALING_ACTIVE, status, told.reason, told.message),)


def scaling_of(seen: Seen[DeepSeekServing], bounds: Bounds | None) -> Scaling:
    """What is seen of the autoscaler now, within its bounds of now; None without autoscaling."""
    live, autoscaling = live_autoscaler(seen), seen.owner.spec.autoscaling
    sleep = seen.owner.status.sleep
    rests = seen.owner.spec.suspend or (sleep is not None and sleep.phase == Phase.ASLEEP)
    told = _told(live, _signals(seen), bounds) if bounds is not None and not rests else None
    return Scaling(live, window_left(autoscaling, live, seen.now), told, _blind_left(told, live, seen.now))


def _signals(seen: Seen[DeepSeekServing]) -> list[SignalStatus]:
    """As they were last read; what is recorded until they are."""
    if not seen.wishes:
        before = seen.owner.status.autoscaling
        return before.signals if before is not None else []
    return [_signal(wish) for wish in seen.wishes[:MOST_SIGNALS]]


def _signal(wish: SignalWish) -> SignalStatus:
    return SignalStatus(
        type=wish.name,
        value=f"{wish.value:.4g}" if wish.value is not None else None,
        target=f"{wish.target:g}",
        wanted=wish.replicas,
        message=wish.why[:1024],
    )


def _told(live: Manifest | None, signals: list[SignalStatus], bounds: Bounds) -> ScalingStatus:
    now = {
        "signals": signals,
        "floor": bounds.least,
        "ceiling": bounds.most,
        "schedules": list(bounds.schedules),
        "next_change": rfc3339(bounds.next_change) if bounds.next_change is not None else None,
    }
    if live is None:
        message = "the HorizontalPodAutoscaler does not exist yet"
        return ScalingStatus(reason=NO_AUTOSCALER, message=message, **now)
    active = scaler_condition(live, "ScalingActive")
    able = scaler_condition(live, "AbleToScale")
    told = able if able.get("status") == "False" else active
    return ScalingStatus(
        active=active.get("status") == "True",
        desired=(live.get("status") or {}).get("desiredReplicas"),
        reason=str(told.get("reason", "")),
        message=str(told.get("message", ""))[:1024],
        **now,
    )


def _blind_left(told: ScalingStatus | None, live: Manifest | None, now: datetime) -> timedelta | None:
    if told is None or live is None or not told.reason or _sees(told, live):
        return None
    since = parse_time(_wrong(live).get("lastTransitionTime"))
    return since + FIRST_METRICS - now if since is not None else timedelta(0)


def _sees(told: ScalingStatus, live: Manifest | None) -> bool:
    return told.active and not (live is not None and scaler_condition(live, "AbleToScale").get("status") == "False")


def _wrong(live: Manifest) -> Manifest:
    able = scaler_condition(live, "AbleToScale")
    return able if able.get("status") == "False" else scaler_condition(live, "ScalingActive")
