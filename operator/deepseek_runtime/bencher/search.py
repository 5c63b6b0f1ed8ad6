"""Which number of streams is tried next: doubled until the objective is broken, then halved in between.

Pure, and the same for the same answers. That more streams never make an answer faster is assumed, as it is true of engines
but for noise: where noise says otherwise, the search still ends, at a load that held and whose next larger tried one did not.
"""

from collections.abc import Mapping

NEAR = 20
"""Held and broken are as near as need be when they are apart by one stream, or by this part of the held one (1/20): a
quantile is no more exact than that."""


def next_streams(tried: Mapping[int, bool], most: int) -> int | None:
    """Streams of the next load; None once the answer is known.

    Args:
        tried: whether the objective held, by streams.
        most: never more, at least 1.
    """
    held, broken = held_at(tried), broken_at(tried)
    if broken is None:
        return min(max(2 * held, 1), most) if held < most else None
    if broken - held <= max(1, held // NEAR):
        return None
    return (held + broken) // 2


def held_at(tried: Mapping[int, bool]) -> int:
    """The most streams with which the objective held, of those below the fewest that broke it; 0: none did."""
    broken = broken_at(tried)
    return max((streams for streams, held in tried.items() if held and (broken is None or streams < broken)), default=0)


def broken_at(tried: Mapping[int, bool]) -> int | None:
    """The fewest streams that broke the objective; None: none has."""
    return min((streams for streams, held in tried.items() if not held), default=None)
