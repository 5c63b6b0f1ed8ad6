"""What restarts an engine that has work and makes no tokens, in its own container: the command around its command.

It looks at the engine's page of metrics by the names that the entry lists, so it needs none that an engine counts only when
a request ends: an answer may take half an hour. What runs is `deepseek_runtime.watchdog`, and tests hold both ends.
"""

from dataclasses import replace
from math import ceil

from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.values.command import Metrics, Probe, Signal

USUAL_STALL_SECONDS = 300
"""A prompt of 128 Ki tokens takes slow devices two minutes in which some engines tell of no token."""
AFTER_SECONDS = 60
"""By how much the kubelet's own patience with an engine that does not answer is longer, so that the stall has its record."""
FOLDER = "/etc/deepseek"
"""Where the first container puts the watchdog beside an engine of another image."""
SCRIPT = "watchdog.py"
FILES = {SCRIPT: "from deepseek_runtime.watchdog.__main__ import run\n\nrun()\n"}
"""A script is found with its folder, so that nothing of ours is on the path on which the engine looks for its modules."""
INSTALL = ("python3", "-m", "deepseek_runtime.foreign.installing", FOLDER)
_OURS = ("python3", "-m", "deepseek_runtime.watchdog")
_BESIDE = ("python3", f"{FOLDER}/{SCRIPT}")


def is_beside(entry: EngineEntry) -> bool:
    """Whether the engine's image is not ours, so that the watchdog must be brought."""
    return entry.start is not Start.OURS


def watched(entry: EngineEntry, command: tuple[str, ...], stall_seconds: int, published: Metrics) -> tuple[str, ...]:
    """The command that starts `command` and watches over it."""
    names = published.names
    return (
        *(_BESIDE if is_beside(entry) else _OURS),
        *("--stall-seconds", str(stall_seconds), "--port", str(published.port), "--path", published.path),
        *("--running", names[Signal.RUNNING], "--waiting", names[Signal.WAITING]),
        *("--tokens", names[Signal.STEP_TOKENS], "--", *command),
    )


def patient(liveness: Probe, stall_seconds: int) -> Probe:
    """A liveness probe that gives the watchdog the first word."""
    least = ceil((stall_seconds + AFTER_SECONDS) / liveness.period_seconds)
    return replace(liveness, failure_threshold=max(liveness.failure_threshold, least))
