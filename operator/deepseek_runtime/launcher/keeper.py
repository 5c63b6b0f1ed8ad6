"""How the pod's workers end, and with which exit code the pod says so.

all workers 0                    0
all saved after SIGTERM         75
SIGTERM before anything began   75   (there is nothing to save)
no heartbeat for the limit      76   (stacks of all threads go to stderr first)
no first one for its limit      76   (likewise)
no room for a checkpoint        73   (what lies there is whole; another try after a wait)
anything else                   code of the first cause; its peers are killed
"""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from deepseek_runtime.contract import ExitCode
from deepseek_runtime.launcher.stall import StallWatch
from deepseek_runtime.launcher.workers import Exit, Workers
from deepseek_runtime.rundir import RunDirectory

LOOK_EVERY_S = 0.05
# Between the keeper's own end of patience and the kubelet's SIGKILL: time for the last words.
LAST_WORDS_S = 2.0
# Dumping the stacks of a few dozen threads to a pipe takes milliseconds; a busy node may need more.
STACKS_S = 1.5
SIGTERM_CODE = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Verdict:
    """The pod's end: exit code, the rank that caused it (None for no single one) and a sentence.

    `is_recalled`: none of its workers had crashed, the gang was to start again.
    """

    code: int
    rank: int | None
    message: str
    is_recalled: bool = False


NOTHING_BEGAN = Verdict(ExitCode.SAVED, None, "stopped before the first step; nothing was there to save")


STOPPED_BETWEEN = Verdict(
    ExitCode.SAVED, None, "stopped before it had started again after a crash; what was saved is whole"
)


class Keeper:
    """Watches the workers until they have ended.

    `builtin` workers understand SIGUSR1. `has_heartbeat`: somebody sends heartbeats, so the first one is waited for, and before
    it nothing is there to save. `failed` tells why nobody keeps what they save any more; None while somebody does. `on_stop` is called when SIGTERM arrives, before the workers get it.
    `recall` tells why they are to end although none of them crashed, which the verdict says; None while they are not.
    """

    def __init__(
        self,
        workers: Workers,
        run: RunDirectory,
        *,
        stall_timeout_s: float | None,
        start_timeout_s: float | None = None,
        grace_s: float,
        builtin: bool,
        has_heartbeat: bool | None = None,
        failed: Callable[[], BaseException | None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        recall: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._workers = workers
        self._run = run
        self._watch = StallWatch(stall_timeout_s)
        self._has_heartbeat = builtin if has_heartbeat is None else has_heartbeat
        self._start_timeout_s = (
            start_timeout_s if self._has_heartbeat else None
        )  # whoever never sends a heartbeat owes no first one
        self._failed, self._on_stop, self._recall = failed, on_stop, recall
        self._since, self._prepared = clock(), dict[str, str]()
        self._patience_s = max(grace_s - LAST_WORDS_S, grace_s / 2)
        self._builtin = builtin
        self._clock = clock
        self._pause = pause
        self._stop_since: float | None = None

    @property
    def is_stopping(self) -> bool:
        return self._stop_since is not None

    def stop(self) -> None:
        """SIGTERM arrived: workers get it as well; built-in ones save at the end of their step."""
        if self._stop_since is None:
            self._stop_since = self._clock()
            self._on_stop()
            self._workers.signal(signal.SIGTERM)

    def watch(self) -> Verdict:
        """Returns when no worker runs any more."""
        while True:
            verdict = self._verdict(self._workers.look())
            if verdict is not None:
                self._workers.kill()
                return verdict
            self._pause(LOOK_EVERY_S)

    def _verdict(self, exits: list[Exit]) -> Verdict | None:
        return (
            self._nothing_begun()
            or self._unkept()
            or self._first_failure(exits)
            or self._recalled()
            or self._all_ended()
            or self._stopped()
            or self._stalled()
            or self._not_begun()
        )

    def _nothing_begun(self) -> Verdict | None:
        """Before the first step there is nothing to save, and a worker that has no handler yet dies of the signal."""
        is_early = self._stop_since is not None and self._has_heartbeat and not self._run.beats()
        return NOTHING_BEGAN if is_early else None

    def _unkept(self) -> Verdict | None:
        error = self._failed()
        return None if error is None else Verdict(1, None, f"{type(error).__name__}: {error}")

    def _first_failure(self, exits: list[Exit]) -> Verdict | None:
        for one in exits:
            if one.code not in (ExitCode.COMPLETE, ExitCode.SAVED):
                return Verdict(one.code, one.rank, _sentence(one))
        return None

    def _recalled(self) -> Verdict | None:
        cause = self._recall()
        if cause is None or self._stop_since is not None:
            return None
        return Verdict(1, None, f"ended with its gang: {cause}", is_recalled=True)

    def _all_ended(self) -> Verdict | None:
        if self._workers.running:
            return None
        if any(one.code == ExitCode.SAVED for one in self._workers.exits):
            return Verdict(ExitCode.SAVED, None, "saved after SIGTERM")
        return Verdict(ExitCode.COMPLETE, None, "training is complete")

    def _stopped(self) -> Verdict | None:
        if self._stop_since is None:
            return None
        if self._clock() - self._stop_since < self._patience_s:
            return None
        return Verdict(SIGTERM_CODE, None, f"did not save within {self._patience_s:.0f} s after SIGTERM and was killed")

    def _stalled(self) -> Verdict | None:
        running = {self._run.heartbeat_file(rank).name for rank in self._workers.running}
        beats = {name: beat for name, beat in self._run.beats().items() if name in running}
        silent = self._watch.stalled(beats, self._clock())
        if not silent:
            return None
        self._dump_stacks()
        text = ", ".join(f"rank {name.rpartition('-')[2]} for {silence:.0f} s" for name, silence in silent.items())
        return Verdict(ExitCode.STALLED, None, f"no heartbeat: {text}; stacks are in the log")

    def _not_begun(self) -> Verdict | None:
        """Loading, reading a checkpoint and the meeting of the ranks may take long, but not for ever.

        As long as data is being prepared, the limit counts from the last sign of it.
        """
        if (prepared := self._run.preparations()) != self._prepared:
            self._since, self._prepared = self._clock(), prepared
        if self._start_timeout_s is None or self._clock() - self._since <= self._start_timeout_s:
            return None
        beats = self._run.beats()
        silent = [rank for rank in self._workers.running if self._run.heartbeat_file(rank).name not in beats]
        if not silent:
            return None
        self._dump_stacks()
        text = ", ".join(f"rank {rank}" for rank in silent)
        since = "the last sign of preparing data" if self._prepared else "the start"
        return Verdict(
            ExitCode.STALLED,
            None,
            f"not ready to train {self._start_timeout_s:.0f} s after {since}: {text}; stacks are in the log;"
            " failurePolicy.startTimeoutSeconds sets the limit",
        )

    def _dump_stacks(self) -> None:
        """Built-in workers registered SIGUSR1; in others PYTHONFAULTHANDLER answers SIGABRT. Stopped ones go on first."""
        print("keeper: stalled; stacks of all threads follow", file=sys.stderr, flush=True)
        self._workers.signal(signal.SIGUSR1 if self._builtin else signal.SIGABRT)
        self._workers.signal(signal.SIGCONT)
        self._pause(STACKS_S)


def _sentence(one: Exit) -> str:
    if one.is_signal:
        number = one.code - 128
        name = signal.Signals(number).name if number in signal.valid_signals() else str(number)
        hint = " (often out of memory)" if number == signal.SIGKILL else ""
        return f"rank {one.rank} died of {name}{hint}"
    if one.code == ExitCode.FULL:
        return f"rank {one.rank} found no room"
    return f"rank {one.rank} exited with code {one.code}"
