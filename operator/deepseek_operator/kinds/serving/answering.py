"""Which revisions answer to which name, where clients say in `model` whom they ask.

Names are part of a revision: while one follows another, or is tried beside it, the two may know different ones. A request
reaches no revision that does not know its name: it goes by the weights only where every revision that requests may reach
knows it, and else to one that does, past the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answering:
    """Who answers to one name.

    Attributes:
        pins: revisions that know it, serve, and stay: those that a key may be pinned to, in order.
        only: the one of them that gets all requests by this name; None: whichever the weights choose.
        is_awaited: none that knows it serves, and others do, which must not get its requests.
    """

    pins: tuple[str, ...]
    only: str | None = None
    is_awaited: bool = False


def answering(
    names: Mapping[str, Sequence[str]], pins: Sequence[str], parts: Mapping[str, int]
) -> dict[str, Answering]:
    """Who answers to each name that any revision knows.

    Args:
        names: what each revision knows that requests may reach now or soon, the oldest first.
        pins: those of them that serve, and stay.
        parts: of the requests by weight.
    """
    found = dict.fromkeys(name for known in names.values() for name in known)
    return {name: _of([one for one in names if name in names[one]], names, pins, parts) for name in found}


def _of(
    knowing: Sequence[str], names: Mapping[str, Sequence[str]], pins: Sequence[str], parts: Mapping[str, int]
) -> Answering:
    own = tuple(one for one in pins if one in knowing)
    if len(knowing) == len(names):
        return Answering(own)
    if not own:
        return Answering((), is_awaited=True)
    # The one with most of the requests has most of the replicas; of equals the newest, which will stay longest.
    return Answering(own, only=max(own, key=lambda one: (parts.get(one, 0), knowing.index(one))))
