"""How many replicas a load wants, and how far what runs may follow an autoscaler's wish.

Each signal is turned into *replicas wanted by this signal*, so that the autoscaler's target is one per replica and
a metric of another unit never meets another's threshold. No data is not zero: an answer is given only from numbers.

What demand asks for is shared by the replicas, so that twice as much wants twice as many: it is followed in proportion, both
ways. How long requests take and how full a replica is are not: near saturation some percent more load multiply a latency, and
a share ends at 100 % however much waits. So those are never extrapolated. Above their target they ask for a quarter more, once
for each time that what runs has settled; below it they keep what runs, and let one go where the rest can be expected to hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite

STEP = 4
"""A breach asks for one replica for each so many that run, and for one at least. Fewer: a fleet of twenty takes twenty windows to
double. More: what a breach of some seconds brought is there for the whole window in which nothing is taken away."""
CALM = 0.5
"""Share of a latency's target below which one replica may go. Nearer to the target it would come back at once."""
MINIMUM_SAMPLES = 20
"""Requests in the window below which a quantile says nothing: the slowest of a few is no P99."""


@dataclass(frozen=True)
class Fleet:
    """What runs while a signal is read.

    Attributes:
        serving: replicas that are ready and should report.
        running: replicas that may run now, ready or loading.
        reporting: replicas whose numbers are in it.
        is_settled: all that run have served for as long as the value looks back, and none has gone since.
    """

    serving: int
    running: int
    reporting: float
    is_settled: bool = False


@dataclass(frozen=True)
class Wish:
    """What one signal wants.

    Attributes:
        replicas: at least 1; None when the numbers are none, and what runs is to be kept.
        why: what keeps it from a number, or the number from going further; empty where nothing does. Without numbers that
            differ from reading to reading.
    """

    replicas: int | None
    why: str = ""


NOBODY_REPORTS = Wish(None, "no replica reports")


def by_demand(load: float, target: float, maximum: int, fleet: Fleet) -> Wish:
    """Replicas that this load wants: ceil(load / target), at least 1, at most `maximum`.

    While fewer replicas report than serve, the load is a lower bound: it may ask for more than run, never for fewer.

    Args:
        load: in the signal's unit, over all replicas that report.
        target: per replica, above 0.
    """
    if (wrong := _unbelieved(load, inf, fleet)) is not None:
        return wrong
    demand = max(1, ceil(min(load / target, maximum)))
    if fleet.reporting < fleet.serving and demand < fleet.running:
        return Wish(min(fleet.running, maximum), "fewer replicas report than serve")
    return Wish(demand)


def by_latency(value: float, lasting: float, samples: float, target: float, maximum: int, fleet: Fleet) -> Wish:
    """Replicas that a latency wants: what runs; a quarter more above the target; one fewer where it has long been at half of it.

    What a breach has brought would go as soon as it helps, and come back with the next one: near saturation one replica more
    or less is a multiple of the latency. So one goes only by a quantile of half an hour, which remembers the breach.

    Args:
        value: the quantile; what it is does not matter where there are too few requests.
        lasting: the same over a longer time.
        samples: requests that it is of.
        target: in the value's unit, above 0.
    """
    if (wrong := _unbelieved(samples, inf, fleet)) is not None:
        return wrong
    if samples < MINIMUM_SAMPLES:
        return Wish(1, f"no say: fewer than {MINIMUM_SAMPLES} requests")
    wrong = _unbelieved(value, inf, fleet) or _unbelieved(lasting, inf, fleet)
    is_calm = max(value, lasting) <= target * CALM
    return wrong or _stepped(value, target, maximum, fleet, is_calm)


def by_saturation(percent: float, target: float, maximum: int, fleet: Fleet) -> Wish:
    """Replicas that a mean share wants: what runs; a quarter more above the target; one fewer where the rest of them, with
    its part of the work, would still be at the target or below.

    Args:
        percent: 0 to 100.
        target: 1 to 100.
    """
    if (wrong := _unbelieved(percent, 100.0, fleet)) is not None:
        return wrong
    running = max(fleet.running, 1)
    return _stepped(percent, target, maximum, fleet, is_calm=percent <= target * (running - 1) / running)


def _stepped(value: float, target: float, maximum: int, fleet: Fleet, is_calm: bool) -> Wish:
    running = max(fleet.running, 1)
    if value > target:
        if not fleet.is_settled:
            return Wish(min(running, maximum), "above its target; waits until what runs has settled")
        return Wish(min(running + ceil(running / STEP), maximum))
    if not is_calm:
        return Wish(min(running, maximum))
    if not fleet.is_settled:
        return Wish(min(running, maximum), "waits until what runs has settled")
    return Wish(min(max(running - 1, 1), maximum))


def _unbelieved(value: float, highest: float, fleet: Fleet) -> Wish | None:
    """Why a number is none; None where it is one."""
    if not _is_count(fleet.reporting) or fleet.reporting < 1:
        return NOBODY_REPORTS
    if not _is_count(value) or value > highest:
        return Wish(None, "no number that can be")
    return None


def _is_count(value: float) -> bool:
    return isfinite(value) and value >= 0


def decided(wishes: Sequence[Wish], running: int) -> int | None:
    """The largest wish; None while one of them is not known and no other asks for more than run: that one might want them."""
    known = [wish.replicas for wish in wishes if wish.replicas is not None]
    most = max(known, default=None)
    return most if most is not None and (len(known) == len(wishes) or most > running) else None


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
