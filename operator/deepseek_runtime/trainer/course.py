"""What a training knows of its way and can't be derived again: which batches of the order it leaves out, and how many
evaluations ago it was better than ever.

Each checkpoint records it in `course.json`, so that whoever goes on from it learns from the same batches in the same
order and ends at the same step. A training with nothing to record leaves no such file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from deepseek_runtime.checkpoint.document import Unreadable
from deepseek_runtime.checkpoint.manifest import WHOLE_LIMIT, finite
from deepseek_runtime.checkpoint.ranking import Measures, is_better
from deepseek_runtime.contract import Measure
from deepseek_runtime.documents import parsed

MOST_SKIPS = 1000
"""The most rollbacks that a training is allowed; a file with more is not ours."""


@dataclass(frozen=True)
class Skip:
    """Batches that are left out since the numbers ceased to be finite.

    Attributes:
        step: at which they did.
        to: the step of the checkpoint that was gone back to.
        first: the first step that learns from another batch than before.
        count: how many batches further on in the order its batch lies, and those of all later steps.
    """

    step: int
    to: int
    first: int
    count: int

    @staticmethod
    def before(step: int, to: int, count: int) -> "Skip":
        """Leaves `count` batches out, that of `step` among them: the last ones before it, as far as they were undone."""
        return Skip(step, to, max(to + 1, step - count + 1), count)


@dataclass(frozen=True)
class Waiting:
    """For an evaluation that is better than the one after `step`, for so many `evaluations` in vain; `metrics` are that one's."""

    step: int
    metrics: Measures
    evaluations: int = 0

    def encode(self) -> dict[str, object]:
        metrics = {name: finite(value) for name, value in self.metrics.items()}
        return {"step": self.step, "metrics": metrics, "evaluations": self.evaluations}


@dataclass
class Course:
    """`skips` in the order in which they were decided; `waiting` is None until the first evaluation of a training that may
    stop early."""

    skips: tuple[Skip, ...] = ()
    waiting: Waiting | None = None

    def evaluated(self, step: int, metrics: Measures, by: Measure | None, least: float) -> None:
        """One more evaluation: a better one, by more than `least` of what `by` measures, is waited for from now on."""
        known = self.waiting
        if known is None or is_better(metrics, known.metrics, by, least=least):
            self.waiting = Waiting(step, metrics)
        else:
            self.waiting = replace(known, evaluations=known.evaluations + 1)

    def batch_of(self, step: int) -> int:
        """Which batch of the order a step learns from, both counted from 1."""
        # Each skip speaks of the steps as they were when it was decided, with those before it in force.
        for skip in reversed(self.skips):
            step += skip.count if step >= skip.first else 0
        return step

    def told(self) -> dict[str, object]:
        """Fields of /progress: how often it was gone back, and of the last time from where, to where, past how many batches;
        and how many evaluations ago it was better than ever."""
        told: dict[str, object] = {}
        if self.skips:
            last = self.skips[-1]
            told["rollbacks"] = {"count": len(self.skips), "step": last.step, "to": last.to, "skipped": last.count}
        if self.waiting is not None:
            told["evaluationsSinceBest"] = self.waiting.evaluations
        return told

    def stopped(self) -> dict[str, object] | None:
        """What /progress tells of a training that stopped early: which step was not bettered, and by how many evaluations."""
        waiting = self.waiting
        return None if waiting is None else {"best": waiting.step, "evaluations": waiting.evaluations}

    def encode(self) -> bytes | None:
        """The content of course.json, None where there is nothing to record."""
        told: dict[str, object] = {"skips": [vars(skip) for skip in self.skips]} if self.skips else {}
        if self.waiting is not None:
            told["waiting"] = self.waiting.encode()
        return json.dumps(told).encode() if told else None


def decode(content: bytes | None) -> Course:
    """The course that a checkpoint records. Raises Unreadable for what this trainer never writes."""
    if content is None:
        return Course()
    try:
        value = parsed(content.decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {error}") from None
    if not isinstance(value, Mapping) or not {"skips", "waiting"} >= value.keys():
        raise Unreadable("it tells no course of a training")
    skips, waiting = value.get("skips", []), value.get("waiting")
    if not isinstance(skips, list) or len(skips) > MOST_SKIPS:
        raise Unreadable("it names batches that nobody can leave out")
    return Course(tuple(_skip(entry) for entry in skips), None if waiting is None else _waiting(waiting))


def _skip(entry: object) -> Skip:
    is_whole = isinstance(entry, Mapping) and entry.keys() == Skip.__annotations__.keys()
    if isinstance(entry, Mapping) and is_whole and all(_is_count(number) for number in entry.values()):
        return Skip(**entry)
    raise Unreadable("it names batches that nobody can leave out")


def _waiting(entry: object) -> Waiting:
    match entry:
        case {"step": int(step), "metrics": dict(metrics), "evaluations": int(evaluations)}:
            known = {str(name): finite(value) for name, value in metrics.items() if isinstance(value, int | float)}
            if _is_count(step) and _is_count(evaluations):
                return Waiting(step, known, evaluations)
    raise Unreadable("it waits for nothing that an evaluation could be")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < WHOLE_LIMIT
