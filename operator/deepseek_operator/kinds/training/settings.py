"""Which part of a spec an edit may change, as digests: fixed once started, or worth another attempt.

Fields at their default are left out before hashing, so that a field added by a later release does not stop running
gangs. Everything in neither digest is live, or counts from the next attempt on.
"""

from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.trainers import BUILT
from deepseek_operator.core.names import digest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.table import TRAINERS

_DEFAULT_GRACE_S = 120


@dataclass(frozen=True)
class Digests:
    """Both digests of one spec."""

    attempt: str
    fixed: str


def digests(spec: TrainingSpec) -> Digests:
    """What a running attempt embodies, and what cannot change once the first was recorded."""
    return Digests(attempt_digest(spec), fixed_digest(spec))


def attempt_digest(spec: TrainingSpec) -> str:
    """Digest of what a running attempt embodies: nodes, parallelism, accelerator, trainer. Another one is another attempt."""
    dumped = _dumped(spec, {"nodes", "parallelism", "accelerator", "trainer"})
    # What runs was hashed when the block was called so and a command said which trainer it was.
    spoken = {key: value for key, value in dumped.pop("trainer", {}).items() if key != "type" or value in BUILT}
    if trainer := spoken:
        dumped["runtime"] = trainer
    if spread := {name: value for name, value in dumped.pop("parallelism", {}).items() if not _is_usual(spec, value)}:
        dumped["parallelism"] = spread
    for part, field in (("nodes", "count"), ("accelerator", "perNode")):
        # One is what absence meant before it could be told from absence: both embody the same gang.
        if dumped.get(part, {}).get(field) == 1:
            dumped[part] = {key: value for key, value in dumped[part].items() if key != field}
    return digest({key: value for key, value in dumped.items() if value or key != "nodes"})


def fixed_digest(spec: TrainingSpec) -> str:
    """Digest of what cannot change once the first attempt was recorded."""
    data = {"datasets", "chat_template", "loss_on", "data"}
    fixed = _dumped(spec, {"objective", "model", "init_from", "method", "hyperparameters", *data})
    volume = spec.checkpoints.volume.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"size"})
    resume = spec.checkpoints.resume.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return digest({**fixed, "volume": volume, "resume": resume})


def grace_s(spec: TrainingSpec) -> int:
    """Seconds between SIGTERM and SIGKILL of a training pod."""
    return spec.trainer.pod.termination_grace_period_seconds or _DEFAULT_GRACE_S


def processes_per_node(spec: TrainingSpec) -> int:
    """Worker processes in each pod: one per device, one on the CPU."""
    accelerator = spec.accelerator
    return accelerator.devices if accelerator is not None and (accelerator.resource or accelerator.profile) else 1


def freeze_steps(spec: TrainingSpec) -> int | None:
    """Steps before 1-bit Adam compresses, which goes with no sharing out of states; None without it."""
    compression = spec.hyperparameters.gradient_compression
    return compression.freeze_steps if compression is not None else None


def _is_usual(spec: TrainingSpec, value: object) -> bool:
    """For the built-in trainer experts over one process, and states over all, are as without the field."""
    return TRAINERS[spec.trainer.type].start is Start.OURS and value in (1, "Full")


def is_hybrid(spec: TrainingSpec) -> bool:
    """Whether each node has a copy of all states, shared out among its processes."""
    return spec.parallelism is not None and spec.parallelism.sharding == "Hybrid"


def experts_over(spec: TrainingSpec) -> int:
    """Processes over which the experts of a layer are dealt out, as written; 1 where nothing is."""
    return (spec.parallelism.expert if spec.parallelism is not None else None) or 1


def _dumped(spec: TrainingSpec, include: set[str]) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=include)
