"""How many replicas each revision may have now, on the way from the old revisions to the wanted one.

One step is decided from what is, never from what was done before: there is no recorded position to lose. RollingUpdate makes
one replica more than asked for and takes an old one only for a new one that is ready; Recreate lets every old replica
end first, for clusters that have no room for one more. A rollback is a rollout whose target happens to run already.

RollingUpdate: all replicas together are at most wanted + 1 while any is added, and a ready one goes only while as many as are
wanted stay ready. Until the target serves, more than one replica of it is made only where no other revision serves:
a load that grows is met by the newest revision that is known to work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

MAX_SURGE = 1
"""Replicas above the wanted number during a RollingUpdate: one, because each may be a node full of accelerators."""

Strategy: TypeAlias = Literal["RollingUpdate", "Recreate"]


@dataclass(frozen=True)
class Replicas:
    """What runs of one revision.

    Attributes:
        specified: replicas asked for by the last write.
        total: pods that exist, those that are ending included: each holds its accelerators.
        ready: pods that serve; never more than `specified` count.
    """

    specified: int
    total: int
    ready: int

    @property
    def serving(self) -> int:
        """Ready replicas that the next write can rely on: those beyond `specified` are about to end."""
        return min(self.ready, self.specified)


NONE = Replicas(0, 0, 0)


def next_step(strategy: Strategy, wanted: int, target: str, running: Mapping[str, Replicas]) -> dict[str, int]:
    """Replicas to specify for each revision now, the target included.

    Args:
        strategy: RollingUpdate or Recreate.
        wanted: replicas that shall run in the end, 0 or more.
        target: the revision that shall run.
        running: what runs, by revision, oldest first: the oldest gives way first.

    Returns:
        One number for every revision of `running`, and one for `target`. Nothing changes once only the target
        runs, with the wanted number.
    """
    others = {name: replicas for name, replicas in running.items() if name != target}
    current = running.get(target, NONE)
    if strategy == "Recreate":
        gone = all(replicas.specified == 0 and replicas.total == 0 for replicas in others.values())
        return {**dict.fromkeys(others, 0), target: wanted if gone else min(current.specified, wanted)}
    return _surge(wanted, target, current, others)


def _surge(wanted: int, target: str, current: Replicas, others: Mapping[str, Replicas]) -> dict[str, int]:
    proven = None if current.serving else next((name for name in reversed(tuple(others)) if others[name].serving), None)
    most = wanted if proven is None else min(wanted, max(current.specified, MAX_SURGE))
    grown = _grown(wanted, most, current.specified, _specified(others))
    if proven is not None:
        lacking = max(0, wanted + MAX_SURGE - grown - _specified(others))
        others = {**others, proven: replace(others[proven], specified=others[proven].specified + lacking)}
    return {**_reduced(others, _spare(wanted, grown, current, others)), target: grown}


def _specified(others: Mapping[str, Replicas]) -> int:
    return sum(old.specified for old in others.values())


def _grown(wanted: int, most: int, specified: int, old: int) -> int:
    """The target's replicas: at most as many as asked for, and as many as fit beside the old ones with one surplus."""
    if specified >= wanted:
        return wanted
    room = wanted + MAX_SURGE - old - specified
    return specified + max(0, min(room, most - specified))


def _spare(wanted: int, grown: int, current: Replicas, others: Mapping[str, Replicas]) -> int:
    """Old replicas that may go: what is there beyond the wanted number, less what the target still owes."""
    owed = grown - min(current.serving, grown)
    return max(0, grown + _specified(others) - wanted - owed)


def _reduced(others: Mapping[str, Replicas], spare: int) -> dict[str, int]:
    """Old revisions after giving up `spare` replicas, those that do not serve first: a ReplicaSet that shrinks
    deletes its unready pods first too. Once only serving ones are left, what remains of them and of the target's is
    the wanted number: `_spare` has counted the target's debt."""
    left = {name: old.specified for name, old in others.items()}
    idle = {name: old.specified - old.serving for name, old in others.items()}
    for most in (idle, left):
        for name in left:
            less = min(most[name], spare)
            left[name] -= less
            spare -= less
    return left


def compute_all_steps(
    strategy: Strategy, wanted: int, target: str, running: Mapping[str, Replicas], limit: int = 10_000
) -> Sequence[Mapping[str, int]]:
    """The whole rollout, each step taken once every replica of the one before is ready: for tests and `plan -f`.

    Returns:
        The specified numbers after each step, without the start; empty when nothing is to be done.

    Raises:
        RuntimeError: it does not end within `limit` steps.
    """
    steps: list[Mapping[str, int]] = []
    running = {target: NONE, **running}
    for _ in range(limit):
        step = next_step(strategy, wanted, target, running)
        after = {name: settled(count) for name, count in step.items()}
        if after == running:
            return steps
        if step != {name: replicas.specified for name, replicas in running.items()}:
            steps.append(step)
        running = after
    raise RuntimeError(f"no end after {limit} steps")


def settled(count: int) -> Replicas:
    """A revision whose `count` replicas all run and serve."""
    return Replicas(specified=count, total=count, ready=count)
