"""Which end came first, when several are seen at one look."""

import subprocess
from pathlib import Path

from deepseek_runtime.contract import Gang
from deepseek_runtime.launcher.workers import Exit, Workers, environment_of
from deepseek_runtime.rundir import RunDirectory


class Ended(subprocess.Popen[bytes]):
    """A process that is over with the given return code; negative for a signal."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode

    def __del__(self) -> None:
        return


def test_death_by_signal_comes_before_the_broken_connections_it_caused() -> None:
    workers = Workers({0: Ended(1), 1: Ended(-9)})
    assert workers.look() == [Exit(1, 137), Exit(0, 1)]
    assert workers.running == []


def test_bad_configuration_comes_before_its_consequences() -> None:
    assert Workers({0: Ended(1), 1: Ended(64)}).look() == [Exit(1, 64), Exit(0, 1)]


def test_exit_is_seen_once() -> None:
    workers = Workers({0: Ended(0)})
    assert workers.look() == [Exit(0, 0)]
    assert workers.look() == []


def test_worker_is_told_its_place_in_the_gang(tmp_path: Path) -> None:
    gang = Gang(nodes=2, node_rank=1, processes_per_node=4, master_addr="a", master_port=1)
    told = environment_of(6, 2, gang, RunDirectory(tmp_path), {"OMP_NUM_THREADS": "3", "MINE": "x"})
    assert (told["RANK"], told["LOCAL_RANK"], told["WORLD_SIZE"], told["LOCAL_WORLD_SIZE"]) == ("6", "2", "8", "4")
    assert (told["OMP_NUM_THREADS"], told["MINE"]) == ("3", "x")
    assert told["DEEPSEEK_HEARTBEAT_FILE"] == str(tmp_path / "heartbeat-6")
