"""Targets of an autoscaler from what one replica was measured to hold.

Replicas come seconds to minutes behind the load that asks for them. What comes meanwhile has to find room, so a target lies below
what was held. Latencies are aimed at as they are: they are the objective, and say when the other targets were wrong.
"""

from dataclasses import dataclass
from math import floor

HEADROOM_PERCENT = 20
"""Room that is usual. Less: a load that grows while a replica loads breaks the objective. More: devices that idle."""


@dataclass(frozen=True)
class Held:
    """What one replica did with the most requests at a time at which the objective held.

    Attributes:
        streams: requests at a time, at least 1.
        requests_per_second, tokens_per_second: None where it was not measured.
    """

    streams: int
    requests_per_second: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True)
class Targets:
    """For each replica; None where nothing can be said. The last two hold for requests as long as the measured ones alone."""

    in_flight: int
    request_rate: int | None
    tokens_per_second: int | None


def targets(held: Held, headroom_percent: int = HEADROOM_PERCENT) -> Targets:
    """What to aim at. `headroom_percent`: 0 to 99."""
    kept = 1 - headroom_percent / 100
    return Targets(
        in_flight=max(1, _below(held.streams, kept) or 1),
        request_rate=_below(held.requests_per_second, kept),
        tokens_per_second=_below(held.tokens_per_second, kept),
    )


def _below(number: float | None, kept: float) -> int | None:
    """A whole target is at least 1: of less than that there is none."""
    return None if number is None else floor(number * kept + 1e-9) or None
