"""How many replicas a load wants, and how far what runs may follow an autoscaler's wish.

Each signal is turned into *replicas wanted by this signal*, so that the autoscaler's target is one per replica and
a metric of another unit never meets another's threshold. No data is not zero: an answer is given only from numbers.
"""

from dataclasses import dataclass
from math import ceil, isfinite


@dataclass(frozen=True)
class Load:
    """What replicas reported together.

    Attributes:
        in_flight: requests running and waiting, over all replicas that report.
        reporting: replicas whose numbers are in it.
    """

    in_flight: float
    reporting: float


def replicas_for(load: Load, target: int, maximum: int, *, serving: int, running: int) -> int | None:
    """Replicas that this load wants: ceil(in flight / target), at least 1, at most `maximum`.

    While fewer replicas report than serve, the load is a lower bound: it may ask for more than run, never for fewer.

    Args:
        load: the measurement.
        target: requests in flight per replica that are aimed at, 1 or more.
        maximum: never more than this.
        serving: replicas that are ready and should report.
        running: replicas that run now, ready or loading.

    Returns:
        None when the numbers are none: negative, infinite, not a number, or of no replica at all.
    """
    if not (_is_count(load.in_flight) and _is_count(load.reporting)) or load.reporting < 1:
        return None
    demand = max(1, ceil(load.in_flight / target))
    if load.reporting < serving:
        demand = max(demand, running)
    return min(demand, maximum)


def _is_count(value: float) -> bool:
    return isfinite(value) and value >= 0


@dataclass(frozen=True)
class Autoscaler:
    """What our autoscaler says of itself.

    Attributes:
        active: it has valid metrics and computes from them.
        limited: its wish is held back by a rate limit on the way up, so it says less than the load does.
        desired: replicas it wants; None before its first look.
    """

    active: bool
    limited: bool
    desired: int | None


def gated(register: int, running: int, minimum: int, maximum: int, autoscaler: Autoscaler | None) -> int:
    """Replicas that may run under autoscaling.

    An autoscaler without metrics still clamps the register to its bounds, and anybody may write the register. So
    the register is followed up at once, and down only when the autoscaler, with valid metrics, wants that number.

    Args:
        register: `spec.replicas`.
        running: replicas let run until now.
        minimum: never fewer.
        maximum: never more, whatever is known of the load.
        autoscaler: what ours says; None while there is none.
    """
    return max(minimum, min(_followed(register, running, autoscaler), maximum))


def _followed(register: int, running: int, autoscaler: Autoscaler | None) -> int:
    if register >= running:
        return register
    if autoscaler is not None and autoscaler.active and not autoscaler.limited and autoscaler.desired == register:
        return register
    return running
