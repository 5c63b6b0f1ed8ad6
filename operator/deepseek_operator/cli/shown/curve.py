"""A training's loss over its attempts, from what is really kept of it: rank 0's lines, and the status where these are gone.

A trainer prints a JSON line per optimizer step, to its log and to the attempt's `metrics.jsonl` on the checkpoint volume. Logs
go with their pods; the status keeps where each attempt began and ended, with the last loss. What has no lines is a single
point, and a sentence says so: no line is drawn through what nobody knows.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deepseek_operator.core.kinds import Lived


@dataclass(frozen=True)
class Point:
    """A loss, nats per token, after an optimizer step."""

    step: int
    loss: float


@dataclass(frozen=True)
class Attempt:
    """What is known of one attempt.

    Attributes:
        source: where its points are from.
        held_out: losses on held-out data; saved: steps of checkpoints.
        ended: why it ended, in a word; empty while it goes on.
    """

    number: int
    source: str
    points: tuple[Point, ...]
    held_out: tuple[Point, ...] = ()
    saved: tuple[int, ...] = ()
    ended: str = ""


@dataclass(frozen=True)
class Curve:
    """All attempts of one training, oldest first, and what is missing."""

    name: str
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON and YAML."""
        told = [
            {**asdict(one), "points": [asdict(point) for point in one.points], "saved": list(one.saved)}
            | {"held_out": [asdict(point) for point in one.held_out]}
            for one in self.attempts
        ]
        return {"name": self.name, "attempts": told, "notes": list(self.notes)}

    @property
    def restarts(self) -> tuple[tuple[int, str], ...]:
        """First step of every attempt but the first that has points, and why the one before ended."""
        told = [one for one in self.attempts if one.points]
        pairs = itertools.pairwise(told)
        return tuple((after.points[0].step, before.ended or "ended") for before, after in pairs)


def read(number: int, source: str, lines: Iterable[str], ended: str = "") -> Attempt:
    """An attempt from lines of a log or a `metrics.jsonl`; others than those that a trainer prints are passed over.

    A line of a step that was there already, as after a rollback within the attempt, takes the place of the first one.
    """
    steps: dict[int, float] = {}
    held_out: dict[int, float] = {}
    saved: list[int] = []
    for line in lines:
        match _record(line):
            case {"event": "step", "step": int(step), "loss": int() | float() as loss} if math.isfinite(loss):
                steps[step] = float(loss)
            case {"event": "evaluation", "step": int(step), "evalLoss": int() | float() as loss} if math.isfinite(loss):
                held_out[step] = float(loss)
            case {"event": "checkpoint", "step": int(step)}:
                saved.append(step)
    return Attempt(number, source, _points(steps), _points(held_out), tuple(dict.fromkeys(saved)), ended)


def curve(name: str, lived: Sequence[Lived], found: Sequence[Attempt]) -> Curve:
    """All attempts: as they were `found` in lines, or else as the status has them."""
    by = {one.number: one for one in found if one.points}
    attempts, notes = [], list[str]()
    for one in lived:
        known = by.get(one.attempt)
        if known is None:
            attempts.append(_from_status(one))
            notes.append(_gone(one))
            continue
        attempts.append(known)
        if one.first_step is not None and known.points[0].step > one.first_step:
            notes.append(
                f"attempt {one.attempt}: its {known.source} begins at step {known.points[0].step} of {one.first_step}: "
                "what was before was rotated away"
            )
    return Curve(name, tuple(attempts), tuple(notes))


def _from_status(one: Lived) -> Attempt:
    points = (Point(one.last_step, one.loss),) if one.last_step is not None and one.loss is not None else ()
    return Attempt(one.attempt, "status", points, ended=one.ended)


def _gone(one: Lived) -> str:
    known = (
        f"its last loss alone is known, at step {one.last_step}" if one.loss is not None else "nothing is known of it"
    )
    kept = f"; all of it is in {one.curve} of the checkpoint claim, for --file {one.attempt}=FILE" if one.curve else ""
    return f"attempt {one.attempt}: no lines of steps are left in its log: {known}{kept}"


def _record(line: str) -> Any:
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _points(by_step: dict[int, float]) -> tuple[Point, ...]:
    return tuple(Point(step, loss) for step, loss in sorted(by_step.items()))


def thinned(points: Sequence[Point], most: int) -> Iterator[Point]:
    """At most so many points, each the mean of its neighbours: what a drawing of that width can show. The last one is kept."""
    if len(points) <= most:
        yield from points
        return
    edges = [len(points) * index // most for index in range(most + 1)]
    for start, end in itertools.pairwise(edges):
        part = points[start:end]
        yield Point(part[-1].step, sum(point.loss for point in part) / len(part))


def summary(told: Curve) -> Iterator[str]:
    """A line for each attempt: its steps, from which loss to which, and how it ended."""
    for one in told.attempts:
        ended = f", {one.ended}" if one.ended else ", under way"
        if not one.points:
            yield f"attempt {one.number}: no step is known{ended}"
            continue
        first, last = one.points[0], one.points[-1]
        way = (
            f"step {last.step}, loss {last.loss:.4g}"
            if first == last
            else (f"steps {first.step} to {last.step}, loss {first.loss:.4g} to {last.loss:.4g}")
        )
        measured = f", held-out {one.held_out[-1].loss:.4g}" if one.held_out else ""
        yield f"attempt {one.number}: {way}{measured}{ended} (from the {one.source})"
    yield from told.notes
