"""Metrics of the user's own: a program measures the model as it is, beside the ranks, which wait for it.

It finds the model in the form of an export in the folder DEEPSEEK_MODEL, the files of the Heldout datasets in
DEEPSEEK_HELDOUT, a JSON list, and the step in DEEPSEEK_STEP; the last line that it prints is a JSON object of numbers by
name, {"bleu": 31.2}. Whatever else it does is told, and fails nothing: the evaluation has no such metric then. A stop ends
it at once, since the grace period is for saving. It runs beside the trainer, or in a container of its own.
"""

import json
import math
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from deepseek_runtime.checkpoint.files import remove
from deepseek_runtime.checkpoint.volume import TORN_PREFIX
from deepseek_runtime.documents import parsed
from deepseek_runtime.evaluation import METRIC_NAME, MOST_METRICS, Evaluation
from deepseek_runtime.rundir import HEARTBEAT_VARIABLE, VARIABLE
from deepseek_runtime.stopping import die_with_parent
from deepseek_runtime.trainer.exporting import Exporter
from deepseek_runtime.trainer.gang import broadcast
from deepseek_runtime.trainer.own_beside import TAIL, Beside
from deepseek_runtime.trainer.rank import Rank

RESERVED = frozenset({"time", "event", "step", "loss", "evalLoss", "accuracy"})
LOOK_EVERY_S = 0.1
_SHOWN = 120
_DRAIN_S = 2.0
"""How long the last words are waited for once it has ended: what it started may hold its output open."""
_OF_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""It is no rank, and libraries that find these would wait for others."""


class Absurd(ValueError):
    """What a program printed is no metric; the message says why."""


@dataclass(frozen=True)
class Failed:
    """Why there are no metrics, in a sentence."""

    message: str


@dataclass(frozen=True)
class OwnMetrics:
    """Measures by `program`; both methods are called by all ranks together."""

    rank: Rank
    exporter: Exporter
    program: Evaluation

    def measure(self, step: int) -> dict[str, float] | Failed | None:
        """The metrics of the model as it is, the same on every rank; None where any rank was asked to stop."""
        place = self.rank.volume.root / self.exporter.incarnation / f"{TORN_PREFIX}evaluation"
        if self.rank.gang.is_first:
            with suppress(OSError):
                remove(place)  # of processes that were killed here
        job = self.exporter.write(place)
        running: _Running | Failed | None = None
        if self.rank.gang.is_first and job is not None:
            error = job.exception()
            running = Failed(f"the model could not be written for it: {error}") if error else self._start(place, step)
        try:
            found = self._wait(running)
        finally:
            if isinstance(running, _Program | Beside):
                running.end()
            if self.rank.gang.is_first:
                with suppress(OSError):
                    remove(place)
        # Ranks take plain values from each other.
        told = broadcast(found.message if isinstance(found, Failed) else found)
        assert told is None or isinstance(told, dict | str)
        return Failed(told) if isinstance(told, str) else told

    def _start(self, place: Path, step: int) -> "_Running | Failed":
        heldout = [str(one.path) for one in self.rank.spec.datasets if one.split == "Heldout" and one.path is not None]
        told = {"DEEPSEEK_MODEL": str(place), "DEEPSEEK_HELDOUT": json.dumps(heldout), "DEEPSEEK_STEP": str(step)}
        hidden = (*_OF_RANKS, VARIABLE, HEARTBEAT_VARIABLE)
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        try:
            if self.program.folder is not None:
                return Beside(self.program.folder, told, self.program.timeout_s)
            return _Program(self.program, {**environment, **told})
        except (OSError, ValueError) as error:
            return Failed(f"it can't be started: {error}")

    def _wait(self, running: "_Running | Failed | None") -> dict[str, float] | Failed | None:
        """On rank 0 what came of it; None where any rank was asked to stop, and on the others."""
        while True:
            is_over = not isinstance(running, _Program | Beside) or running.is_over
            over, stops = self.rank.gang.total([is_over, self.rank.wants_stop()])
            self.rank.heartbeat.beat()
            if stops:
                return None
            if over == self.rank.gang.world_size:
                return _outcome(running) if isinstance(running, _Program | Beside) else running
            time.sleep(LOOK_EVERY_S)


class _Program:
    """The program as it runs, in a process group of its own. Raises OSError where it can't be started."""

    def __init__(self, program: Evaluation, environment: Mapping[str, str]) -> None:
        self._timeout_s = program.timeout_s
        self._since = time.monotonic()
        self._process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=dict(environment),
            cwd=tempfile.gettempdir(),
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        self._said: deque[bytes] = deque(maxlen=TAIL // 1024)
        self._reader = threading.Thread(target=self._read, name="metrics", daemon=True)
        self._reader.start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or had its time."""
        return self._process.poll() is not None or time.monotonic() - self._since > self._timeout_s

    def code(self) -> int | None:
        """Its exit code, less than 0 for a signal's number; None while it runs."""
        return self._process.poll()

    def said(self) -> bytes:
        """The end of what it printed, once it has ended."""
        self._reader.join(_DRAIN_S)
        return b"".join(self._said)

    @property
    def late(self) -> str:
        """Why there is no code once its time is over."""
        return f"it took longer than evaluation.timeoutSeconds {self._timeout_s}"

    def end(self) -> None:
        """Ends it, and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        """Keeps the end of what it prints; a pipe that nobody reads would hold it up."""
        assert self._process.stdout is not None
        while part := os.read(self._process.stdout.fileno(), 1024):
            self._said.append(part)


_Running: TypeAlias = _Program | Beside


def _outcome(running: _Running) -> dict[str, float] | Failed:
    """What came of it, once it is over."""
    code = running.code()
    if code is None:
        return Failed(running.late)
    if code:
        how = f"exit code {code}" if code > 0 else signal.strsignal(-code) or f"signal {-code}"
        return Failed(f"it ended with {how}; its own words are in the log")
    try:
        return metrics_of(running.said().decode(errors="replace"))
    except Absurd as error:
        return Failed(str(error))


def metrics_of(output: str) -> dict[str, float]:
    """The numbers by name in the last line that says anything. Raises Absurd."""
    line = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    if not line:
        raise Absurd('it printed nothing; its last line must be a JSON object of numbers, for example {"bleu": 31.2}')
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
    try:
        said = parsed(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, Mapping) or not said:
        raise Absurd(f'its last line must be a JSON object of numbers, for example {{"bleu": 31.2}}, and is {shown}')
    if len(said) > MOST_METRICS:
        raise Absurd(f"it printed {len(said)} metrics, and at most {MOST_METRICS} are taken")
    return {_name(name): _number(name, value) for name, value in said.items()}


def _name(name: str) -> str:
    if name in RESERVED:
        raise Absurd(f"{name} is the trainer's own: print another name")
    if not METRIC_NAME.fullmatch(name):
        raise Absurd(
            f"{name[:_SHOWN]!r} is no name of a metric: at most 64 letters, digits, '_', '.' and '-', a letter first"
        )
    return name


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Absurd(f"{name} is {json.dumps(value)[:_SHOWN]}, which is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Absurd(f"{name} is not finite")
    return number
