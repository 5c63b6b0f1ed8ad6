"""How long a model may take to load, and how an engine is watched afterwards.

Start-up budget = twice the time to read the weights plus ten minutes for compilation and warm-up: 642 GiB at 1 GB/s
take 11.5 minutes to read, so V3 gets 33. One constant for all sizes would kill large models or hide dead small ones. Where the
claim was measured to be slower than that, its own rate counts; a faster one may be a cache's, and shortens nothing.
"""

from deepseek_operator.domain.programs.engines.request import PORT, EngineRequest
from deepseek_operator.domain.values.command import Probe

PERIOD_SECONDS = 10
WARM_UP_SECONDS = 600
LONGEST_SECONDS = 86400
USUAL_RATE = 1_000_000_000
"""Bytes a second, of a node's disk or a fast network's."""
AFTER_DRAIN_SECONDS = 30
"""What an engine needs after its requests are done, to free devices and exit, before it is killed."""


def startup_seconds(weights_bytes: int, bytes_per_second: int) -> int:
    """Return the start-up budget in seconds, rounded up to whole probe periods; a day at most."""
    budget = reading_seconds(weights_bytes, bytes_per_second) + WARM_UP_SECONDS
    return min(-(-budget // PERIOD_SECONDS) * PERIOD_SECONDS, LONGEST_SECONDS)


def reading_seconds(weights_bytes: int, bytes_per_second: int) -> int:
    """Return twice the seconds that weights take to be read."""
    return 2 * -(-weights_bytes // bytes_per_second)


def load_rate(measured: int | None) -> int:
    """Bytes a second at which weights are taken to be read. ``measured``: of the claim that they lie on."""
    return min(measured or USUAL_RATE, USUAL_RATE)


def startup_probe(asked: EngineRequest, path: str) -> Probe:
    """Return the probe that waits for the model to be loaded."""
    budget = startup_seconds(asked.weights_bytes, asked.load_bytes_per_second)
    return Probe(path, PORT, PERIOD_SECONDS, budget // PERIOD_SECONDS)


def grace_seconds(drain_seconds: int) -> int:
    """Return the termination grace of an engine that drains for ``drain_seconds``."""
    return drain_seconds + AFTER_DRAIN_SECONDS
