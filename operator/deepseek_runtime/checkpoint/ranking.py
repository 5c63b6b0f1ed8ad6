"""Which checkpoint is best, by one order that saving, retention, exports and `resume.from: Best` share.

Better is the higher exact-match accuracy on held-out prompts, among equals the lower loss on held-out
data, among equals the later step. While no prompt is answered the accuracy tells nothing, and the loss
decides alone. Only healthy checkpoints compete. The training loss never ranks: it is one batch's, and a
batch that happens to be easy is no better model. Without held-out data nothing is best, and whoever asks
for the best gets the latest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deepseek_runtime.checkpoint.manifest import Manifest, finite

Metric = Literal["accuracy", "evalLoss"]
Measures = Mapping[str, float | None]


@dataclass(frozen=True)
class Best:
    """The best checkpoint and the value of the measure that tells so: the loss while no prompt is answered."""

    manifest: Manifest
    metric: Metric
    value: float

    def to_json(self) -> dict[str, object]:
        return {"step": self.manifest.step, "metric": self.metric, "value": self.value}


def ranked(candidates: Sequence[Manifest]) -> list[Best]:
    """Healthy candidates that were measured on held-out data, best first."""
    measured = [m for m in candidates if m.healthy and is_measured(m.metrics)]
    return [_told(m) for m in sorted(measured, key=lambda m: (_order(m.metrics), -m.step))]


def best(candidates: Sequence[Manifest]) -> Best | None:
    """The best healthy candidate, None when none was measured on held-out data."""
    return next(iter(ranked(candidates)), None)


def is_better(measured: Measures, known: Best | None) -> bool:
    """Whether what was just measured is better than the best checkpoint; None is beaten by whatever was measured."""
    return is_measured(measured) and (known is None or _order(measured) < _order(known.manifest.metrics))


def is_measured(metrics: Measures) -> bool:
    """Whether there is a measure on held-out data."""
    return any(finite(metrics.get(name)) is not None for name in ("accuracy", "evalLoss"))


def _order(metrics: Measures) -> tuple[bool, float, float]:
    """The lower the better: with an accuracy before without, then the accuracy downwards, the loss upwards."""
    accuracy, loss = finite(metrics.get("accuracy")), finite(metrics.get("evalLoss"))
    return (accuracy is None, -(accuracy or 0.0), loss if loss is not None else math.inf)


def _told(manifest: Manifest) -> Best:
    accuracy, loss = finite(manifest.metrics.get("accuracy")), finite(manifest.metrics.get("evalLoss"))
    if loss is None or accuracy:
        return Best(manifest, "accuracy", accuracy or 0.0)
    return Best(manifest, "evalLoss", loss)
