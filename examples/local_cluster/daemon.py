"""Processes that outlive the command that started them, and how they are found again.

A daemon runs in a session of its own and is recorded by pid, start time and command line; a pid alone may belong to
somebody else tomorrow. Its environment carries a mark with the cluster's home, which also finds what was started but
never recorded (the starter was killed in between) and what a daemon left behind (containerd's shims).
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from json import dumps, loads
from pathlib import Path

from examples.local_cluster.home import Home, replace_text

MARK = "DEEPSEEK_CLUSTER_PROCESS_OF"


@dataclass(frozen=True)
class Daemon:
    """A program to be kept running. `inputs` are files whose change asks for a restart."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    inputs: tuple[Path, ...] = ()

    def digest(self) -> str:
        """Changes when the process would have to be another one."""
        content = [path.read_text() for path in self.inputs]
        return sha256(dumps([self.argv, dict(self.env), content], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """A started process. `start_ticks` is field 22 of /proc/<pid>/stat: clock ticks after boot."""

    name: str
    pid: int
    start_ticks: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    digest: str

    def is_alive(self) -> bool:
        """The very process that was started, not a later one with its pid."""
        return start_ticks(self.pid) == self.start_ticks and command_line(self.pid) == self.argv


def ensure(home: Home, daemon: Daemon) -> bool:
    """Start the daemon unless the same one runs already; a changed one is restarted. True if it was started."""
    record = read_record(home, daemon.name)
    if record and record.is_alive():
        if record.digest == daemon.digest():
            return False
        stop(home, daemon.name)
    _end_unrecorded(home, daemon.argv)
    start(home, daemon)
    return True


def _end_unrecorded(home: Home, argv: tuple[str, ...]) -> None:
    """An earlier `ensure` may have been killed between starting and recording: its process holds our ports."""
    for pid in marked(home):
        ticks = start_ticks(pid)
        if ticks is not None and command_line(pid) == argv:
            _end(pid, ticks, grace_s=5)


def restart(home: Home, name: str) -> None:
    """Start a part again with the command line that it had; ProcessLookupError if it was never started."""
    record = read_record(home, name)
    if record is None:
        raise ProcessLookupError(f"{name} was never started in {home.root}")
    stop(home, name)
    _spawn(home, record)


def start(home: Home, daemon: Daemon) -> None:
    """Start the process in its own session, with its log in the home."""
    cwd = str(daemon.cwd or home.root)
    _spawn(home, Record(daemon.name, 0, 0, daemon.argv, dict(daemon.env), cwd, daemon.digest()))


def _spawn(home: Home, wanted: Record) -> None:
    home.logs.mkdir(parents=True, exist_ok=True)
    with (home.logs / f"{wanted.name}.log").open("ab") as log:
        process = subprocess.Popen(
            wanted.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=wanted.cwd,
            env={**os.environ, **wanted.env, MARK: str(home.root)},
            start_new_session=True,
        )
    _wait_shown(process.pid)
    record = replace(wanted, pid=process.pid, start_ticks=start_ticks(process.pid) or 0)
    process.returncode = 0  # It is meant to outlive this process: no warning when the handle is dropped.
    replace_text(home.run / f"{record.name}.json", dumps(asdict(record), indent=2))


def stop(home: Home, name: str, grace_s: float = 20.0) -> None:
    """End a recorded process: SIGCONT (it may be paused), SIGTERM, after the grace SIGKILL. Nothing if it is gone."""
    record = read_record(home, name)
    if record and record.is_alive():
        _end(record.pid, record.start_ticks, grace_s)
    (home.run / f"{name}.json").unlink(missing_ok=True)


def send(home: Home, name: str, number: signal.Signals) -> None:
    """Send a signal to a recorded process; ProcessLookupError if it does not run."""
    record = read_record(home, name)
    if record is None or not record.is_alive():
        raise ProcessLookupError(f"{name} does not run in {home.root}")
    os.kill(record.pid, number)
    if number == signal.SIGKILL:
        _wait_gone(record.pid, record.start_ticks, 10)


def sweep(home: Home) -> list[str]:
    """End every process that carries the home's mark; returns their command lines."""
    ended = []
    for pid in sorted(marked(home)):
        ticks = start_ticks(pid)
        if ticks is not None:
            ended.append(" ".join(command_line(pid))[:120])
            _end(pid, ticks, grace_s=5)
    return ended


def marked(home: Home) -> Iterator[int]:
    """Pids of the processes whose environment carries the home's mark."""
    mark = f"{MARK}={home.root}".encode()
    others = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()} - {os.getpid()}
    yield from (pid for pid in others if mark in _environment(pid).split(b"\0"))


def read_record(home: Home, name: str) -> Record | None:
    """The record of a process, alive or not; None if it was never started."""
    path = home.run / f"{name}.json"
    if not path.exists():
        return None
    value = loads(path.read_text())
    return Record(**{**value, "argv": tuple(value["argv"])})


def records(home: Home) -> list[Record]:
    """Every recorded process, by name."""
    names = sorted(path.stem for path in home.run.glob("*.json"))
    return [record for name in names if (record := read_record(home, name))]


def start_ticks(pid: int) -> int | None:
    """Start time of a living process; None if it is gone or a zombie."""
    try:
        # The name in parentheses may hold spaces: the fields are counted after the last one closes.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def command_line(pid: int) -> tuple[str, ...]:
    """Arguments of a process; empty if it is gone."""
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1])
    except OSError:
        return ()


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _wait_shown(pid: int) -> None:
    """The kernel shows neither arguments nor environment for a moment after exec: nothing would know the process."""
    deadline = time.monotonic() + 5
    while start_ticks(pid) is not None and not _environment(pid) and time.monotonic() < deadline:
        time.sleep(0.001)


def _end(pid: int, ticks: int, grace_s: float) -> None:
    for number, wait_s in ((signal.SIGCONT, 0.0), (signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        if start_ticks(pid) != ticks:
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        _wait_gone(pid, ticks, wait_s)


def _wait_gone(pid: int, ticks: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while start_ticks(pid) == ticks and time.monotonic() < deadline:
        _reap(pid)
        time.sleep(0.02)


def _reap(pid: int) -> None:
    """A child of this very process would stay a zombie otherwise."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
