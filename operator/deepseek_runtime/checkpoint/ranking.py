"""Which checkpoint is best.

The measure is the strongest that any candidate carries: exact-match accuracy on held-out prompts,
else the loss on held-out data, else the training loss. Only healthy checkpoints that carry the
measure compete; among equals the lower held-out loss, then the later step wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from deepseek_runtime.checkpoint.manifest import Manifest

Metric = Literal["accuracy", "evalLoss", "loss"]
METRICS: tuple[Metric, ...] = ("accuracy", "evalLoss", "loss")


@dataclass(frozen=True)
class Best:
    """The best checkpoint and the value of the measure by which it is best."""

    manifest: Manifest
    metric: Metric
    value: float

    def to_json(self) -> dict[str, object]:
        return {"step": self.manifest.step, "metric": self.metric, "value": self.value}


def ranked(candidates: Sequence[Manifest]) -> list[Best]:
    """Healthy candidates that carry the measure, best first."""
    healthy = [manifest for manifest in candidates if manifest.healthy]
    for metric in METRICS:
        measured = [
            Best(manifest, metric, value) for manifest in healthy if (value := manifest.metrics.get(metric)) is not None
        ]
        if measured:
            return sorted(measured, key=_order)
    return []


def best(candidates: Sequence[Manifest]) -> Best | None:
    """The best healthy candidate, None when none carries a measure."""
    return next(iter(ranked(candidates)), None)


def _order(one: Best) -> tuple[float, float, int]:
    held_out = one.manifest.metrics.get("evalLoss")
    tie = held_out if held_out is not None else float("inf")
    return (-one.value if one.metric == "accuracy" else one.value, tie, -one.manifest.step)
