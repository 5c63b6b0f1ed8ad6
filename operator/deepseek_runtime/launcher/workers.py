"""The worker processes of one pod: start, signals, and which end came first.

When one worker dies its peers fail a moment later because a connection broke. The first cause is
therefore the earliest exit seen; among those seen at the same look a death by signal (out of memory,
a crash in native code) comes before an ordinary exit, which is what a broken connection ends in.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_runtime.contract import ExitCode, Gang
from deepseek_runtime.cpu import threads_per_process
from deepseek_runtime.rundir import HEARTBEAT_VARIABLE, VARIABLE, RunDirectory
from deepseek_runtime.stopping import die_with_parent

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""What a process is told of its place; one that starts the ranks tells them."""


@dataclass(frozen=True)
class Exit:
    """The end of one worker; `code` in the shell's form, 128 + n for signal n."""

    rank: int
    code: int

    @property
    def is_signal(self) -> bool:
        return self.code > 128


class Workers:
    def __init__(self, processes: Mapping[int, subprocess.Popen[bytes]]) -> None:
        self._processes = dict(processes)
        self.exits: list[Exit] = []

    @staticmethod
    def start(command: Sequence[str], gang: Gang, run: RunDirectory, environment: Mapping[str, str]) -> "Workers":
        """Starts this pod's share of the gang, each in its own process group."""
        processes = {}
        for local_rank in range(gang.processes_per_node):
            rank = gang.node_rank * gang.processes_per_node + local_rank
            own = environment_of(rank, local_rank, gang, run, environment)
            processes[rank] = subprocess.Popen(
                list(command), env=own, start_new_session=True, preexec_fn=die_with_parent()
            )
        return Workers(processes)

    @staticmethod
    def start_one(command: Sequence[str], gang: Gang, run: RunDirectory, environment: Mapping[str, str]) -> "Workers":
        """Starts one process that starts the others itself, as torchrun does: it is no rank, and is told of none."""
        own = environment_of(0, 0, gang, run, environment)
        for name in RANK_VARIABLES:
            own.pop(name, None)
        process = subprocess.Popen(list(command), env=own, start_new_session=True, preexec_fn=die_with_parent())
        return Workers({0: process})

    @property
    def running(self) -> list[int]:
        return [rank for rank in self._processes if all(one.rank != rank for one in self.exits)]

    def look(self) -> list[Exit]:
        """Exits since the last look, the likelier cause first."""
        fresh = []
        for rank in self.running:
            code = self._processes[rank].poll()
            if code is not None:
                fresh.append(Exit(rank, code if code >= 0 else 128 - code))
        fresh.sort(key=lambda one: (not one.is_signal, one.code != ExitCode.INVALID, one.rank))
        self.exits += fresh
        return fresh

    def signal(self, number: int) -> None:
        """Sends a signal to every worker still running, and to what it started."""
        for rank in self.running:
            try:
                os.killpg(self._processes[rank].pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """Ends all workers now, stopped ones as well, and collects them."""
        self.signal(signal.SIGKILL)
        for rank in self.running:
            self._processes[rank].wait()


def environment_of(
    rank: int, local_rank: int, gang: Gang, run: RunDirectory, environment: Mapping[str, str]
) -> dict[str, str]:
    """What one worker is told, in the variables that torch.distributed reads."""
    return {
        **environment,
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(gang.world_size),
        "LOCAL_WORLD_SIZE": str(gang.processes_per_node),
        "MASTER_ADDR": gang.master_addr,
        "MASTER_PORT": str(gang.master_port),
        "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS")
        or str(threads_per_process(gang.processes_per_node, environment)),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        VARIABLE: str(run.path),
        HEARTBEAT_VARIABLE: str(run.heartbeat_file(rank)),
    }
