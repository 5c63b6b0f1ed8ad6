"""What is told of the autoscaler, in its own words, and whether it sees the load at all.

An autoscaler without metrics holds what runs, which looks like a quiet one. For its first minutes it has none: a pod must
be scraped, and the scrape evaluated, before there is a number. After that a person must know.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.scaling import MOST_SIGNALS, Bounds, SignalStatus
from deepseek_operator.api.v1alpha1.serving.status import ScalingStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen, SignalWish
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.autoscaler import (
    PAUSED,
    is_by_keda,
    kedas_word,
    live_autoscaler,
    own_autoscaler,
    scaled_object,
)
from deepseek_operator.kinds.serving.gate import scaler_condition, window_left
from deepseek_operator.kinds.serving.signals import rests

SCALING_ACTIVE = "ScalingActive"
FIRST_METRICS = timedelta(seconds=120)
"""Two intervals of a usual scrape, of an evaluation and of the autoscaler itself. Shorter, every new serving would warn."""

_SELECTOR = re.compile(
    r"[(/]&LabelSelector\{MatchLabels:map\[string\]string\{[^{}]*\},MatchExpressions:\[\]LabelSelectorRequirement\{\},\}\)?"
)
"""Which series of its metric the autoscaler asks for, as it writes it: in Go's notation, which tells a person nothing."""


@dataclass(frozen=True)
class Scaling:
    """What our autoscaler was seen to be and to say.

    Attributes:
        live: its HorizontalPodAutoscaler; None when there is none.
        window_left: time until it has looked for as long as its window for scaling down; None once it has.
        told: what it says, in its words; None where nothing is to be scaled.
        blind_left: time until one that sees nothing must be told of, at most zero once it must; None while it sees.
        is_held_by_keda: KEDA says that something is wrong, and the autoscaler that it made need not.
    """

    live: Manifest | None
    window_left: timedelta | None
    told: ScalingStatus | None
    blind_left: timedelta | None
    is_held_by_keda: bool = False

    @property
    def heeded(self) -> Manifest | None:
        """The autoscaler whose wish counts: none while KEDA has it want what runs, for want of a number."""
        return self.live if not self.is_held_by_keda else None

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
        if told is None or not told.reason:
            return ()
        sees = _sees(told, self.live)
        if not sees and self.blindness is None:
            return ()
        status: Literal["True", "False"] = "True" if sees else "False"
        return (Verdict(SCALING_ACTIVE, status, told.reason, told.message),)


def scaling_of(seen: Seen[DeepSeekServing], configuration: Configuration, bounds: Bounds | None) -> Scaling:
    """What is seen of the autoscaler now, within its bounds of now; None without autoscaling."""
    live, autoscaling = live_autoscaler(seen), seen.owner.spec.autoscaling
    wrong = kedas_word(seen) if is_by_keda(seen.owner) else None
    if bounds is None or rests(seen.owner):
        return Scaling(live, window_left(autoscaling, live, seen.now), None, None, wrong is not None)
    told = _told(live, _said(seen, configuration, live, wrong), _signals(seen), bounds)
    heeded = live if wrong is None else None
    return Scaling(
        live, window_left(autoscaling, live, seen.now), told, _blind_left(seen, told, heeded), wrong is not None
    )


def _said(
    seen: Seen[DeepSeekServing], configuration: Configuration, live: Manifest | None, wrong: tuple[str, str] | None
) -> tuple[bool, str, str]:
    """Whether the autoscaler gets its numbers, and its words, or those of KEDA, or ours where it is missing."""
    owner = seen.owner
    if is_by_keda(owner) and configuration.wanted_url is None:
        return False, reasons.KEDA_NOT_ENABLED.name, f"KEDA has nowhere to ask. {reasons.KEDA_NOT_ENABLED.advice}"
    if wrong is not None:
        return False, *wrong
    if live is None:
        return False, reasons.NO_AUTOSCALER.name, _missing(seen)
    active, able = scaler_condition(live, "ScalingActive"), scaler_condition(live, "AbleToScale")
    told = able if able.get("status") == "False" else active
    message = _SELECTOR.sub("", str(told.get("message", "")))
    return active.get("status") == "True", str(told.get("reason", "")), message


def _missing(seen: Seen[DeepSeekServing]) -> str:
    is_keda, made, old = is_by_keda(seen.owner), scaled_object(seen), own_autoscaler(seen)
    if is_keda and old is None and made is not None:
        return "KEDA has made no HorizontalPodAutoscaler yet"
    if not is_keda and made is not None:
        return f"ScaledObject {made['metadata']['name']} of KEDA is not gone yet"
    return "the HorizontalPodAutoscaler does not exist yet"


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


def _told(
    live: Manifest | None, said: tuple[bool, str, str], signals: list[SignalStatus], bounds: Bounds
) -> ScalingStatus:
    active, reason, message = said
    return ScalingStatus(
        active=active,
        desired=(live.get("status") or {}).get("desiredReplicas") if live is not None else None,
        reason=reason,
        message=message[:1024],
        signals=signals,
        floor=bounds.least,
        ceiling=bounds.most,
        schedules=list(bounds.schedules),
        next_change=rfc3339(bounds.next_change) if bounds.next_change is not None else None,
    )


def _blind_left(seen: Seen[DeepSeekServing], told: ScalingStatus, heeded: Manifest | None) -> timedelta | None:
    if told.reason == reasons.KEDA_NOT_ENABLED.name:
        return timedelta(0)
    if not told.reason or told.reason == PAUSED or (heeded is not None and _sees(told, heeded)):
        return None
    if heeded is None:
        since = _asked_at(scaled_object(seen))
        return since + FIRST_METRICS - seen.now if since is not None else None
    since = parse_time(_wrong(heeded).get("lastTransitionTime"))
    return since + FIRST_METRICS - seen.now if since is not None else timedelta(0)


def _asked_at(scaled: Manifest | None) -> datetime | None:
    """When KEDA was asked to scale, or to stop: its conditions do not say since when they are so."""
    metadata = scaled["metadata"] if scaled is not None else {}
    return parse_time(metadata.get("deletionTimestamp") or metadata.get("creationTimestamp"))


def _sees(told: ScalingStatus, live: Manifest | None) -> bool:
    return told.active and not (live is not None and scaler_condition(live, "AbleToScale").get("status") == "False")


def _wrong(live: Manifest) -> Manifest:
    able = scaler_condition(live, "AbleToScale")
    return able if able.get("status") == "False" else scaler_condition(live, "ScalingActive")
