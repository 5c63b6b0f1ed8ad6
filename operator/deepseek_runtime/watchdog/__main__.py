"""The first process of an engine's container, where `engine.watchdog` asks for it.

python3 -m deepseek_runtime.watchdog --stall-seconds 300 --port 8000 --path /metrics \
    --running NAME --waiting NAME --tokens NAME -- PROGRAM ARGUMENT...

It passes on the signals that it gets and ends as the program ends; once that stands still, all of it is ended and the
exit code is 76, with the cause in the termination message and the stacks in the log. The pod leaves its Service with its
container, and the kubelet starts that again.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from deepseek_runtime import termination
from deepseek_runtime.contract import ExitCode
from deepseek_runtime.stopping import STOPS
from deepseek_runtime.watchdog.ending import adopt, end, kill, prepare
from deepseek_runtime.watchdog.judging import Judge, Stall
from deepseek_runtime.watchdog.telling import LONGEST_ANSWER_S, Names, ask

PASSED_ON = frozenset((*STOPS, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH))
STACKS = {"PYTHONFAULTHANDLER": "1"}
"""By it Python says where it is when it is aborted."""
LOOKS_PER_LIMIT = 20
SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.1, 5.0
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""As a shell says it."""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code of the container."""
    options, program = _divided(arguments)
    asked = _parser().parse_args(options)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    adopt()
    try:
        engine = subprocess.Popen(program, env={**environment, **STACKS}, preexec_fn=prepare)
    except OSError as error:
        _say(f"{program[0]}: {error.strerror}")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    watch = _Watch(asked)
    watch.start()
    while True:
        heard = signal.sigtimedwait({*PASSED_ON, signal.SIGCHLD}, SHORTEST_LOOK_S * 2)
        if heard is not None and heard.si_signo in PASSED_ON:
            if heard.si_signo in STOPS:
                watch.is_over.set()  # what drains is bounded by the pod's grace
            engine.send_signal(heard.si_signo)
        if (code := _reaped(engine)) is not None:
            kill()  # as the end of process 1 does in a container
            return code if code >= 0 else 128 - code
        if watch.stall is not None and not watch.is_over.is_set():
            return _ended(engine, watch.stall, environment)


class _Watch(threading.Thread):
    """Looks at the engine while the first thread waits for signals; `stall` once it stands still."""

    def __init__(self, asked: argparse.Namespace) -> None:
        super().__init__(name="watch", daemon=True)
        self._port, self._path, self._limit_s = asked.port, asked.path, asked.stall_seconds
        self._names = Names(asked.running, asked.waiting, asked.tokens)
        self.stall: Stall | None = None
        self.is_over = threading.Event()

    def run(self) -> None:
        every_s = min(LONGEST_LOOK_S, max(SHORTEST_LOOK_S, self._limit_s / LOOKS_PER_LIMIT))
        judge = Judge(self._limit_s, 2 * (every_s + LONGEST_ANSWER_S))
        while self.stall is None and not self.is_over.wait(every_s):
            self.stall = judge.look(ask(self._port, self._path, self._names), time.monotonic())


def _reaped(engine: subprocess.Popen[bytes]) -> int | None:
    """The engine's exit code once it is over; collects what else has died below it."""
    with suppress(ChildProcessError):
        # Which child it is is looked at first: the engine's own end is for `poll`.
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid == engine.pid:
                engine.poll()
            else:
                os.waitpid(found.si_pid, os.WNOHANG)
    return engine.poll()


def _ended(engine: subprocess.Popen[bytes], stall: Stall, environment: Mapping[str, str]) -> int:
    message = f"{stall.message}; its stacks are in the log of the container that was ended"
    _say(stall.message)
    log = Path(environment.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
    # First of all, since what is ended may take this process with it.
    termination.write(termination.Termination(termination.result_of(ExitCode.STALLED), message), log)
    asked = end(lambda: _reaped(engine))
    _say(f"ended it; {asked} of its processes were asked for their stacks")
    return ExitCode.STALLED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deepseek_runtime.watchdog", allow_abbrev=False)
    parser.add_argument("--stall-seconds", type=float, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    for name in ("--running", "--waiting", "--tokens"):
        parser.add_argument(name, required=True)
    return parser


def _divided(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What stands before the first `--`, and the program behind it."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    if not arguments[at + 1 :]:
        _parser().error("write -- and the program that is watched")
    return arguments[:at], arguments[at + 1 :]


def _say(text: str) -> None:
    print(f"watchdog: {text}", file=sys.stderr, flush=True)


def run() -> NoReturn:
    """Ends the process at once: what can't be killed is not waited for, and the looking thread may be in the middle of a look."""
    code = main(sys.argv[1:], os.environ)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
