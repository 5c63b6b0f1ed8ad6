"""The workers of one pod from their start to the pod's end: they may start again in between, with those of the other pods.

What decides whether they do is in `rounds`, how the pods agree on it in `accord`, how a run of them ends in `keeper`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import RESTART_VARIABLE, Contract, ExitCode
from deepseek_runtime.foreign.keeping import Keeping
from deepseek_runtime.launcher import report
from deepseek_runtime.launcher.accord import Accord, Crash, Unheard, accord_of
from deepseek_runtime.launcher.keeper import STOPPED_BETWEEN, Keeper, Verdict
from deepseek_runtime.launcher.preparing import prepare
from deepseek_runtime.launcher.rounds import Restarted, Rounds
from deepseek_runtime.launcher.stops import StopRequests
from deepseek_runtime.launcher.workers import Workers
from deepseek_runtime.rundir import RunDirectory


@dataclass
class Life:
    """`command` is what each worker runs; only a `builtin` trainer starts again in place, because it goes on from what its own
    pod has saved. With `keeping` the command is one process that starts the workers itself."""

    command: Sequence[str]
    builtin: bool
    keeping: Keeping | None
    stops: StopRequests
    contract: Contract
    run: RunDirectory
    environment: Mapping[str, str]
    _rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        self._rounds = Rounds(self.contract.max_in_place_restarts, follows_crash=self.contract.follows_crash)

    @property
    def restarted(self) -> Restarted | None:
        """The last restart in place; None before the first."""
        return self._rounds.last

    def lead(self) -> Verdict:
        """Returns when no worker runs any more, and none will. Raises Superseded, Full and OSError for a volume that is
        another attempt's, full or gone when they were to start again."""
        accord = accord_of(self.contract) if self.builtin else Unheard()
        try:
            while True:
                keeper = self._begin(accord)
                verdict = keeper.watch()
                if keeper.is_stopping:
                    return self._told(verdict)
                if not self._starts_again(verdict, accord):
                    return STOPPED_BETWEEN if _was_stopped(self.stops, verdict) else self._told(verdict)
        finally:
            accord.close()

    def _begin(self, accord: Accord) -> Keeper:
        start = Workers.start if self.keeping is None else Workers.start_one
        told = {**self.environment, RESTART_VARIABLE: str(self._rounds.count)}
        workers = start(self.command, self.contract.gang, self.run, told)
        keeper = Keeper(
            workers,
            self.run,
            stall_timeout_s=self.contract.stall_timeout_s,
            start_timeout_s=_start_timeout_s(self.contract),
            grace_s=self.contract.grace_s,
            builtin=self.builtin,
            has_heartbeat=None if self.keeping is None else self.keeping.has_heartbeat,
            failed=lambda: self.keeping.failure if self.keeping is not None else None,
            on_stop=self._on_stop(accord),
            recall=accord.recall,
        )
        if self.keeping is not None:
            self.keeping.begin()
        self.stops.send_to(keeper)
        return keeper

    def _on_stop(self, accord: Accord) -> Callable[[], None]:
        def stop() -> None:
            accord.stop()
            if self.keeping is not None:
                self.keeping.stop()

        return stop

    def _starts_again(self, verdict: Verdict, accord: Accord) -> bool:
        """Whether the gang does; if so everything is as at the start of the pod, but for what lies on the volume."""
        told = self.run.progress()
        cause = accord.settle(self._crash(verdict), lambda: self._refusal(told), lambda: self.stops.is_pending)
        if cause is None:
            return False
        print(f"launcher: starts again in place: {cause}", file=sys.stderr, flush=True)
        self._rounds.begin(told, cause)
        self.run.clear()
        if self.contract.gang.node_rank == 0:
            with writing(self.contract.checkpoints.root, "a file of this attempt"):
                prepare(Volume(self.contract.checkpoints.root), self.contract)
        return True

    def _refusal(self, told: Mapping[str, object]) -> str | None:
        why = self._rounds.refusal(told)
        if why is not None and self.contract.max_in_place_restarts:
            print(f"launcher: does not start again in place: {why}", file=sys.stderr, flush=True)
        return why

    def _crash(self, verdict: Verdict) -> Crash | None:
        """What the other launchers hear of this end; None where another's crash led to it."""
        if verdict.is_recalled:
            return None
        name = self.contract.node_name
        where = f" on node {name}" if name and verdict.rank is not None else ""
        said = report.explained(self.contract, self.run, replace(verdict, message=f"{verdict.message}{where}"))
        return Crash(self.contract.gang.node_rank, verdict.code, said)

    def _told(self, verdict: Verdict) -> Verdict:
        """The pod's verdict, with what was tried before."""
        if self.restarted is not None and verdict.code != ExitCode.COMPLETE:
            times = "once" if self.restarted.count == 1 else f"{self.restarted.count} times"
            verdict = replace(verdict, message=f"{verdict.message}; the gang had started again in place {times}")
        if self.keeping is None:
            return verdict
        code, message = self.keeping.end(verdict.code)
        return verdict if message is None else Verdict(code, None, message)


def _was_stopped(stops: StopRequests, verdict: Verdict) -> bool:
    """Whether SIGTERM came when no worker was left to hear it: they had crashed, and would have started again."""
    return stops.is_pending and verdict.code not in (
        ExitCode.COMPLETE,
        ExitCode.INVALID,
        ExitCode.FULL,
        ExitCode.STALLED,
    )


def _start_timeout_s(contract: Contract) -> int | None:
    """The first pod of several may have waited for the last one for as long as the operator lets it come late."""
    limit = contract.start_timeout_s
    return limit * 2 if limit is not None and contract.gang.nodes > 1 else limit
