"""Which data a training learns from and for how many steps: the same on every rank, and in every attempt.

Each checkpoint records it in `data.json`. The content of the files decides, not the tokens made of them: a newer
tokenizer library must not end a training, a file that was changed under it must. Checkpoints of earlier versions
recorded the tokens' fingerprint alone; they are gone on from, and their data can't be told to be other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepseek_runtime.checkpoint.manifest import WHOLE_LIMIT
from deepseek_runtime.contract import Invalid


@dataclass(frozen=True)
class Mark:
    """One dataset as it was read: `examples` are those that are used, `sha256` is of its content."""

    name: str
    sha256: str
    examples: int


@dataclass(frozen=True)
class Identity:
    """What is compared.

    Attributes:
        fingerprint: of the training examples' tokens, in order.
        epochs: as the specification asks for; None where it names steps.
        marks: of all datasets, in the specification's order; None in checkpoints of earlier versions, like max_steps.
    """

    fingerprint: str
    seed: int
    global_batch_size: int
    epochs: int | None = None
    max_steps: int | None = None
    marks: tuple[Mark, ...] | None = None

    def continues(self, before: "Identity | None") -> bool:
        """Whether the steps after a checkpoint of `before` are those that an undisturbed training would have taken."""
        return before is not None and self._order == before._order

    @property
    def _order(self) -> tuple[str, int, int]:
        return self.fingerprint, self.seed, self.global_batch_size


def encode(identity: Identity) -> bytes:
    """The content of data.json."""
    return json.dumps(
        {
            "fingerprint": identity.fingerprint,
            "seed": identity.seed,
            "globalBatchSize": identity.global_batch_size,
            "epochs": identity.epochs,
            "maxSteps": identity.max_steps,
            "datasets": None if identity.marks is None else [vars(mark) for mark in identity.marks],
        }
    ).encode()


def decode(content: bytes) -> Identity | None:
    """Reads data.json of this version or an earlier one; None for anything else, such as a foreign trainer's."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    match value:
        case {"fingerprint": str(fingerprint), "seed": int(seed), "globalBatchSize": int(batch)}:
            steps, epochs = value.get("maxSteps"), value.get("epochs")
            return Identity(
                fingerprint,
                seed,
                batch,
                epochs if isinstance(epochs, int) else None,
                steps if isinstance(steps, int) and 1 <= steps < WHOLE_LIMIT else None,
                _marks(value.get("datasets")),
            )
        case _:
            return None


def kept_to(now: Identity, before: Identity | None, step: int) -> Identity:
    """What an attempt that goes on from `step` of its own training keeps to: the steps that were planned.

    Raises Invalid when the data is not what the earlier steps were trained on.
    """
    if before is None:
        return now
    if before.marks is not None and now.marks is not None and (words := _difference(before.marks, now.marks)):
        raise Invalid(
            f"{words[0]} is not what steps 1 to {step} were trained on: it held {words[1]}, now {words[2]};"
            " start a new training from this one's checkpoint to go on with the data as it is now"
            " (checkpoints.resume.from), and change no file that a training reads"
        )
    # Derived from the data, not written by a person: what was planned stays.
    if now.epochs is not None and now.epochs == before.epochs and before.max_steps is not None:
        return replace(now, max_steps=before.max_steps)
    if before.marks is None and not now.continues(before) and now.epochs is not None and step >= (now.max_steps or 0):
        raise Invalid(
            f"the training data has changed since step {step}: with what it is now, {now.max_steps} steps would be all;"
            " start a new training from this one's checkpoint (checkpoints.resume.from) that says how many more"
        )
    return now


def check_ranks(identities: Sequence[object]) -> None:
    """Raises Invalid, on every rank alike, when one of them has read something else than rank 0."""
    first = identities[0]
    for rank, other in enumerate(identities):
        if other == first or not isinstance(first, Identity) or not isinstance(other, Identity):
            continue
        words = _difference(first.marks or (), other.marks or ())
        said = (
            f"{words[0]} holds {words[2]} for rank {rank} and {words[1]} for rank 0"
            if words
            else f"rank {rank} makes other tokens of the same data than rank 0"
        )
        raise Invalid(f"{said}; let all pods read the same files, from a volume that all of their nodes share")


def _difference(first: Sequence[Mark], other: Sequence[Mark]) -> tuple[str, str, str] | None:
    """The first dataset that differs, with what it held in the one and in the other; None when all are the same."""
    if len(first) != len(other):
        return "datasets", f"{len(first)} entries", f"{len(other)}"
    for one, two in zip(first, other, strict=True):
        if one.sha256 != two.sha256:
            return f"dataset {two.name}", _shown(one), _shown(two)
    return None


def _shown(mark: Mark) -> str:
    return f"{mark.examples:,} examples (sha256 {mark.sha256[:12]})"


def _marks(value: object) -> tuple[Mark, ...] | None:
    if not isinstance(value, list):
        return None
    found = [_mark(entry) for entry in value]
    return tuple(mark for mark in found if mark is not None) if all(found) else None


def _mark(entry: object) -> Mark | None:
    match entry:
        case {"name": str(name), "sha256": str(sha256), "examples": int(examples)}:
            return Mark(name, sha256, examples)
        case _:
            return None
