"""The PromQL that measures one revision of a serving over a window, by the names that its engine publishes.

Two revisions behind one serving are told apart by the label that a scrape gives their pods. Each value is of a whole
revision, as its count of requests is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.programs.engines.measures import QUANTILES, has
from deepseek_operator.domain.programs.engines.table import ENGINES, USUAL
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.domain.values.version import rendered
from deepseek_operator.kinds.serving.revision import record_of
from deepseek_operator.kinds.serving.signals import quantile_of, series


@dataclass(frozen=True)
class Measures:
    """Expressions of one revision over `window_seconds`, of one number each; KeyError where its engine doesn't publish what
    one needs.

    Attributes:
        engine: its type, and the `version` that was asked for: another one than the spec's, where that changed.
    """

    owner: DeepSeekServing
    revision: str
    engine: str
    version: str | None
    window_seconds: int

    def answers(self) -> str:
        """Requests that were answered, whatever with; a store may extrapolate to a fraction of one."""
        return self._increase(Signal.ANSWERS)

    def errors(self) -> str:
        """Answers with a status of 5xx. Those that never were have no series: that is none where answers are counted, else
        no data."""
        return f"({self._increase(Signal.ERRORS)} or 0 * {self.answers()})"

    def error_rate(self) -> str:
        """The share of errors among the answers, 0 to 1; not a number where nothing was answered."""
        return f"{self.errors()} / {self.answers()}"

    def quantile(self, measure: str, quantile: str) -> str:
        """Seconds within which that share of requests is: of one of `QUANTILES`."""
        return quantile_of(self._of(f"{self.names[QUANTILES[measure]]}_bucket"), quantile, self.window)

    @cached_property
    def names(self) -> Mapping[Signal, str]:
        """What the revision's engine publishes."""
        return ENGINES[self.engine].metric_names(self.version)

    def has(self, measure: str) -> bool:
        """Whether the engine publishes what the measure needs."""
        return has(ENGINES[self.engine], self.version, measure)

    @property
    def window(self) -> str:
        """As PromQL has it."""
        return f"{self.window_seconds}s"

    def _increase(self, signal: Signal) -> str:
        return f"sum(increase({self._of(self.names[signal])}[{self.window}]))"

    def _of(self, name: str) -> str:
        return series(self.owner, name, deepseek_revision=self.revision)


def measures(seen: Seen[DeepSeekServing], revision: str, window_seconds: int) -> Measures:
    """Of a revision of the serving, by the engine that it was rendered for.

    Of one whose record is gone, was made from what ran, or says what no release can have written, that is the spec's.
    """
    owner, engine = seen.owner, _rendered_for(record_of(seen, revision))
    kind, version = engine or (owner.spec.engine.type, owner.spec.engine.version)
    return Measures(owner, revision, kind, version, window_seconds)


def _rendered_for(record: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """Type and version of the engine in a revision's record, which leaves out what is neutral."""
    said = record.get("input")
    engine = said.get("engine", {}) if isinstance(said, Mapping) else None
    if not isinstance(engine, Mapping):
        return None
    kind, version = engine.get("type", USUAL.type), engine.get("version")
    if not isinstance(kind, str) or kind not in ENGINES:
        return None
    try:
        return kind, rendered(version) if isinstance(version, str) else None
    except ValueError:
        return kind, None
