"""What a training has decided on its way and can't be derived again: which batches of the order it leaves out.

Each checkpoint of such a training records it in `course.json`, so that whoever goes on from it learns from the same
batches in the same order. Without a decision there is no such file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_runtime.checkpoint.document import Unreadable
from deepseek_runtime.checkpoint.manifest import WHOLE_LIMIT
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


@dataclass
class Course:
    """`skips` in the order in which they were decided."""

    skips: tuple[Skip, ...] = ()

    def batch_of(self, step: int) -> int:
        """Which batch of the order a step learns from, both counted from 1."""
        # Each skip speaks of the steps as they were when it was decided, with those before it in force.
        for skip in reversed(self.skips):
            step += skip.count if step >= skip.first else 0
        return step

    def told(self) -> dict[str, object]:
        """The field of /progress: how often it was gone back, and of the last time from where, to where, past how many."""
        if not self.skips:
            return {}
        last = self.skips[-1]
        told = {"count": len(self.skips), "step": last.step, "to": last.to, "skipped": last.count}
        return {"rollbacks": told}

    def encode(self) -> bytes | None:
        """The content of course.json, None where there is nothing to record."""
        return json.dumps({"skips": [vars(skip) for skip in self.skips]}).encode() if self.skips else None


def decode(content: bytes | None) -> Course:
    """The course that a checkpoint records. Raises Unreadable for what this trainer never writes."""
    if content is None:
        return Course()
    try:
        value = parsed(content.decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {error}") from None
    match value:
        case {"skips": [*skips]} if len(skips) <= MOST_SKIPS:
            return Course(tuple(_skip(entry) for entry in skips))
    raise Unreadable("it tells no course of a training")


def _skip(entry: object) -> Skip:
    if isinstance(entry, Mapping) and entry.keys() == Skip.__annotations__.keys():
        numbers = list(entry.values())
        if all(type(number) is int and 0 <= number < WHOLE_LIMIT for number in numbers):
            return Skip(**entry)
    raise Unreadable("it names batches that nobody can leave out")
