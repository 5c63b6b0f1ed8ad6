"""Which checkpoint is best, by one order that saving, retention, exports, early stopping and `resume.from: Best` share.

Where a metric is asked for, that one decides, whoever measured it, and what was not measured so does not compete.
Else better is the higher exact-match accuracy on held-out prompts, among equals the lower loss on held-out data. Among
equals of the metric the same two decide, then the later step. Where no prompt is answered by anybody, all are equal
and the loss decides. Only healthy checkpoints compete. The training loss never ranks: it is one batch's, and a batch
that happens to be easy is no better model. Without a measure nothing is best, and whoever asks for the best gets the
latest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_runtime.checkpoint.manifest import Manifest, finite
from deepseek_runtime.contract import Measure

Measures = Mapping[str, float | None]

USUAL = (Measure("accuracy", "Max"), Measure("evalLoss", "Min"))


@dataclass(frozen=True)
class Best:
    """The best checkpoint and the value of the measure that tells so: the loss while no prompt is answered."""

    manifest: Manifest
    metric: str
    value: float

    def to_json(self) -> dict[str, object]:
        return {"step": self.manifest.step, "metric": self.metric, "value": self.value}


def ranked(candidates: Sequence[Manifest], by: Measure | None) -> list[Best]:
    """Healthy candidates that were measured, best first. `by` None: the usual order."""
    measured = [m for m in candidates if m.healthy and is_measured(m.metrics, by)]
    return [_told(m, by) for m in sorted(measured, key=lambda m: (_order(m.metrics, by), -m.step))]


def best(candidates: Sequence[Manifest], by: Measure | None) -> Best | None:
    """The best healthy candidate, None when none was measured."""
    return next(iter(ranked(candidates, by)), None)


def is_better(measured: Measures, known: Measures | None, by: Measure | None, *, least: float = 0.0) -> bool:
    """Whether the one is better than the other, by more than `least` of the first measure in which they differ.

    None is beaten by whatever was measured.
    """
    if known is None or not is_measured(measured, by):
        return is_measured(measured, by)
    for new, old in zip(_order(measured, by), _order(known, by), strict=True):
        if new != old:
            return old - new > least
    return False


def is_measured(metrics: Measures, by: Measure | None) -> bool:
    """Whether there is a measure that ranks."""
    return any(finite(metrics.get(one.metric)) is not None for one in ((by,) if by else USUAL))


def _order(metrics: Measures, by: Measure | None) -> list[float]:
    """The lower the better, the first that differs decides; what was not measured comes last."""
    return [_cost(metrics, one) for one in ((by,) if by else ()) + USUAL]


def _cost(metrics: Measures, one: Measure) -> float:
    value = finite(metrics.get(one.metric))
    return math.inf if value is None else -value if one.mode == "Max" else value


def _told(manifest: Manifest, by: Measure | None) -> Best:
    known = {name: value for name, given in manifest.metrics.items() if (value := finite(given)) is not None}
    if by is not None:
        return Best(manifest, by.metric, known[by.metric])
    if "evalLoss" not in known or known.get("accuracy"):
        return Best(manifest, "accuracy", known.get("accuracy", 0.0))
    return Best(manifest, "evalLoss", known["evalLoss"])
