"""The pods' programs as `python -m MODULE` runs them, in forks of a process that has imported torch: four seconds less each.

A fork reads its variables, writes its output and ends as a process of its own does, and so do the trainers that a launcher
in a fork starts. What it can't show is a program's start: `Process.start` is for that, and for variables that libraries read
while they are loaded.
"""

import faulthandler
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pytest

ROOT = Path(__file__).parents[2]
PRELOADED = [
    "tests.runtime.forked",
    "tests.runtime.gangs",
    "deepseek_runtime.engine.api",
    "deepseek_runtime.engine.model",
    "deepseek_runtime.launcher.life",
    "deepseek_runtime.trainer.preparing",
]
TRAINER = "deepseek_runtime.trainer"


def context() -> ForkServerContext:
    """All tests share the process that has imported torch and nothing else."""
    made = get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:  # For the process that is forked, if it is not there yet.
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "operator"), str(ROOT))))
        patch.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()
    return made


@dataclass
class Program:
    """A program in a fork, as subprocess.Popen shows one; `stdout` is what it writes to standard output and error."""

    process: ForkServerProcess
    stdout: TextIO

    @staticmethod
    def start(module: str, arguments: Sequence[str], variables: Mapping[str, str]) -> "Program":
        """`python -m MODULE ARGUMENTS`, told these variables alone."""
        made = context()
        reader, writer = made.Pipe(duplex=False)
        process = made.Process(target=_live, args=(module, tuple(arguments), dict(variables), writer))
        process.start()
        writer.close()
        stdout = open(os.dup(reader.fileno()), encoding="utf-8", errors="replace")  # noqa: SIM115
        reader.close()
        return Program(process, stdout)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float) -> int:
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"it has not ended in {timeout} s"
        return self.process.exitcode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _live(module: str, arguments: tuple[str, ...], variables: dict[str, str], output: Connection) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    from deepseek_runtime.launcher import workers

    # The one name by which workers are started.
    vars(workers)["subprocess"] = SimpleNamespace(Popen=_begin)
    sys.exit(_run(module, arguments, variables))


def _run(module: str, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [module, *arguments]
    if "PYTHONUNBUFFERED" in variables:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if "PYTHONFAULTHANDLER" in variables:
        faulthandler.enable()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr, flush=True)
            return 1
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _begin(
    command: Sequence[str], *, env: Mapping[str, str], start_new_session: bool, preexec_fn: Callable[[], None]
) -> "subprocess.Popen[bytes] | _Worker":
    """In a launcher's fork: the built-in trainer is a fork of it, any other command a process."""
    if list(command) != [sys.executable, "-m", TRAINER]:
        return subprocess.Popen(command, env=env, start_new_session=start_new_session, preexec_fn=preexec_fn)
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return _Worker(pid)
    code = 1
    try:
        os.setsid()
        preexec_fn()
        # What exec does: open files end but for the three, and nobody handles signals any more.
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        code = _run(TRAINER, (), env)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


@dataclass
class _Worker:
    """What a launcher asks of a process that it has started."""

    pid: int
    _code: int | None = None

    def poll(self) -> int | None:
        return self._collect(os.WNOHANG)

    def wait(self) -> int | None:
        return self._collect(0)

    def _collect(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code
