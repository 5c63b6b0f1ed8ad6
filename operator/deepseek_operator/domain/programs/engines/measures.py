"""By what two versions behind an engine are compared, and which of its signals each measure needs."""

from collections.abc import Mapping
from types import MappingProxyType

from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.values.command import Signal

ERROR_RATE, LATENCY, TIME_TO_FIRST_TOKEN = "ErrorRate", "Latency", "TimeToFirstToken"
QUANTILES: Mapping[str, Signal] = MappingProxyType(
    {LATENCY: Signal.END_TO_END_LATENCY, TIME_TO_FIRST_TOKEN: Signal.TIME_TO_FIRST_TOKEN}
)
"""Measures that are quantiles of a histogram, in seconds."""
MEASURES: Mapping[str, frozenset[Signal]] = MappingProxyType(
    {
        ERROR_RATE: frozenset({Signal.ERRORS, Signal.ANSWERS}),
        **{measure: frozenset({signal}) for measure, signal in QUANTILES.items()},
    }
)
"""Every measure, with the signals without which it can't be had."""


def has(entry: EngineEntry, version: str | None, measure: str) -> bool:
    """Whether the engine tells what the measure needs at a release, or at the usual one."""
    return entry.metric_names(version).keys() >= MEASURES[measure]
