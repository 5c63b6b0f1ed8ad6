"""SIGTERM that comes while a program is still being started is heard as soon as it can be answered."""

import signal
import sys
import time
from pathlib import Path

import pytest

from tests.runtime.pods import LIMIT_S, Attempt, Process, spec


def holds_stops(process: Process) -> bool:
    """Whether the kernel keeps SIGTERM for it (see proc(5), SigBlk)."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    blocked = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(blocked, 16) >> (signal.SIGTERM - 1) & 1)


def stop_at_once(process: Process) -> None:
    """As early as a signal is kept: Python itself takes 20 ms until a program's first line."""
    end = time.monotonic() + LIMIT_S
    while not holds_stops(process):
        assert process.popen.poll() is None, "it has ended"
        assert time.monotonic() < end, "it lets SIGTERM end it while it starts"
    process.terminate()


def test_launcher_that_is_stopped_while_it_starts_says_so_with_75(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 1, "early", spec())
    process = attempt.execute()
    stop_at_once(process)
    assert process.ended() == 75, process.log
    assert attempt.termination()["result"] == "Preempted"
    assert "stopped before the first step" in str(attempt.termination()["message"])
    assert not attempt.root.exists(), "it began nothing"


def test_engine_that_is_stopped_while_it_starts_leaves_with_0(tmp_path: Path) -> None:
    variables = {"DEEPSEEK_MODEL_PATH": str(tmp_path), "DEEPSEEK_PORT": "0", "DEEPSEEK_DRAIN_SECONDS": "1"}
    process = Process.start([sys.executable, "-m", "deepseek_runtime.engine"], variables)
    stop_at_once(process)
    assert process.ended() == 0, process.log
    assert "draining 0 requests" in process.log


@pytest.mark.parametrize("module", ["launcher", "engine"])
def test_whoever_only_imports_a_program_keeps_its_signals(module: str) -> None:
    code = f"import deepseek_runtime.{module}, signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    process = Process.start([sys.executable, "-c", code], {})
    assert process.ended() == 0
    assert process.log == "set()\n"
