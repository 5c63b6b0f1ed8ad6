"""How everything that an engine started ends, wherever it hangs: what runs Python says first where it was.

Python that was started with PYTHONFAULTHANDLER answers SIGABRT with the stacks of all its threads, even while one holds
the interpreter in native code, and dies of it; a process that does not answer it would die of it without a word, and is
left to SIGKILL. A stopped process hears neither before it goes on.

One is asked after the other, while the others are stopped: faulthandler writes word by word, and those that write at once
write into each other's lines.
"""

import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

STACKS_S = 2.0
"""Of each process: stacks of hundreds of threads take milliseconds; a busy node may need more."""
ALL_STACKS_S = 10.0
"""Of all together, where some hang in a driver and answer nothing: what is left then is asked at once."""
GONE_S = 5.0
"""Until what was killed is gone."""
_LOOK_EVERY_S = 0.01
_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt() -> None:
    """From now on whatever an engine starts stays below this process, also what is left alone by its parent: in a container
    process 1 has that by itself."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


def prepare() -> None:
    """What an engine's process calls before its program: it hears all signals, and leaves no image of its memory, which an
    abort would write: hundreds of GB. A limit of 1 stops that also where the node hands such images to a program (core(5))."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard == resource.RLIM_INFINITY or hard >= 1:
        resource.setrlimit(resource.RLIMIT_CORE, (1, hard))


def end(reap: Callable[[], object]) -> int:
    """Ends all processes below this one, and returns how many were asked for their stacks. `reap` collects the dead."""
    asked = [pid for pid in below(os.getpid()) if _catches(pid, signal.SIGABRT)]
    _send(asked, signal.SIGSTOP)
    until = time.monotonic() + ALL_STACKS_S
    for pid in reversed(asked):  # children first, since some are killed when their parent ends
        _send([pid], signal.SIGABRT)
        _send([pid], signal.SIGCONT)
        _wait(reap, lambda pid=pid: pid not in below(os.getpid()), min(STACKS_S, until - time.monotonic()))  # type: ignore[misc]
    kill()
    # One that hangs in a driver can't be killed: the end of this process is all that is left to do then.
    _wait(reap, lambda: not below(os.getpid()), GONE_S)
    return len(asked)


def kill() -> None:
    """Sends SIGKILL to all processes below this one."""
    _send(below(os.getpid()), signal.SIGKILL)


def below(ancestor: int) -> tuple[int, ...]:
    """All living processes that descend from this one, parents first."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(ancestor, ()))
    for pid in found:
        found += children.get(pid, ())
    return tuple(found)


def _processes() -> Iterator[tuple[int, int]]:
    """Each process that is no zombie, and its parent."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with (
                suppress(OSError, ValueError, IndexError),
                open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file,
            ):
                state, parent = file.read().rpartition(")")[2].split()[:2]  # the name before it may hold anything
                if state not in "ZX":
                    yield int(name), int(parent)


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal (proc(5), SigCgt)."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        masks = [line.split()[1] for line in file if line.startswith("SigCgt:")]
        return bool(masks) and bool(int(masks[0], 16) >> (number - 1) & 1)
    return False


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait(reap: Callable[[], object], is_over: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not is_over() and time.monotonic() < until:
        reap()
        time.sleep(_LOOK_EVERY_S)
    reap()
