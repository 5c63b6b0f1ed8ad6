"""By what replicas are counted, and which of an engine's signals each count needs."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.values.command import Signal


class Class(Enum):
    """How a signal's value follows the number of replicas."""

    DEMAND = "demand"
    """A sum that replicas share."""
    LATENCY = "latency"
    """A quantile of seconds, of all requests."""
    SATURATION = "saturation"
    """A mean share of what each replica has."""


IN_FLIGHT, REQUEST_RATE, TOKENS_PER_SECOND = "InFlight", "RequestRate", "TokensPerSecond"
TIME_TO_FIRST_TOKEN, INTER_TOKEN, END_TO_END = "TimeToFirstToken", "InterToken", "EndToEnd"
KV_CACHE, DEVICE_UTILIZATION, PROMQL = "KVCache", "DeviceUtilization", "PromQL"

QUANTILES: Mapping[str, Signal] = MappingProxyType(
    {
        TIME_TO_FIRST_TOKEN: Signal.TIME_TO_FIRST_TOKEN,
        INTER_TOKEN: Signal.INTER_TOKEN_LATENCY,
        END_TO_END: Signal.END_TO_END_LATENCY,
    }
)
"""Those that are quantiles of a histogram, which engines have in seconds."""
LOADS: Mapping[str, Class] = MappingProxyType(
    {
        IN_FLIGHT: Class.DEMAND,
        REQUEST_RATE: Class.DEMAND,
        TOKENS_PER_SECOND: Class.DEMAND,
        PROMQL: Class.DEMAND,
        **dict.fromkeys(QUANTILES, Class.LATENCY),
        KV_CACHE: Class.SATURATION,
        DEVICE_UTILIZATION: Class.SATURATION,
    }
)
"""Every signal that replicas may be counted by, in the order in which they are told to a user."""
_ALWAYS = frozenset({Signal.RUNNING})
"""Who reports is counted by it."""
NEEDS: Mapping[str, frozenset[Signal]] = MappingProxyType(
    {
        **dict.fromkeys(LOADS, _ALWAYS),
        IN_FLIGHT: _ALWAYS | {Signal.WAITING},
        REQUEST_RATE: _ALWAYS | {Signal.WAITING, Signal.ANSWERS},
        TOKENS_PER_SECOND: _ALWAYS | {Signal.GENERATION_TOKENS},
        KV_CACHE: _ALWAYS | {Signal.KV_USAGE},
        **{load: _ALWAYS | {signal} for load, signal in QUANTILES.items()},
    }
)
"""The engine's signals without which it can't be had; the rest is of the device's exporter, or the user's query."""
USUAL_TARGETS: Mapping[str, int] = MappingProxyType(
    {REQUEST_RATE: 100, TIME_TO_FIRST_TOKEN: 500, KV_CACHE: 80, DEVICE_UTILIZATION: 70}
)
"""What is aimed at where a resource says nothing. Of the others nothing is usual: what is in flight or generated depends on
the model and its devices, and the time of a whole answer on its length. At a KV cache above 80 % engines soon preempt."""


def of_class(of: Class) -> tuple[str, ...]:
    """The signals of a class."""
    return tuple(load for load, found in LOADS.items() if found is of)


def tells(entry: EngineEntry, version: str | None, load: str) -> bool:
    """Whether the engine tells what the count needs at a release, or at the usual one."""
    return entry.metric_names(version).keys() >= NEEDS[load]
