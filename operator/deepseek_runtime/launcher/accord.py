"""How the launchers of a gang agree to start their processes again: each keeps a connection to that of node 0.

    crash    node → 0   a process of mine has ended so
    again    0 → all    end yours: the gang starts again, because of this
    ready    node → 0   none of mine lives any more
    go       0 → all    all are ready: start
    over     0 → all    the gang does not start again

Nobody starts before the last process of the round before is dead, on whichever node: no rank ever meets one of another
round, and no file has two writers. A launcher that can't be reached, has gone, or is too late ends it: then each pod ends
as its own processes did, and the operator judges. A message is one line of JSON; the uid of the attempt's Job keeps out
whoever only finds the port, as at the meeting of the ranks, and a NetworkPolicy whoever could read it.
"""

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from deepseek_runtime.contract import Contract, ExitCode

COLLECT_S = 1.0
"""How long node 0 waits for other crashes of the same moment: one that a broken connection led to may be heard first."""
READY_S = 60.0
"""The end of the last process: the driver of a device may hold a killed one for tens of seconds."""
PATIENCE_S = READY_S + 15.0
"""Of a node for the word of node 0."""
CONNECT_EVERY_S = 1.0
HELLO_S = 10.0
LINE_BYTES = 8192
_LOOK_S = 0.05
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""A node that is lost sends no farewell: 25 seconds later its connection counts as gone."""
FINAL = frozenset({ExitCode.COMPLETE, ExitCode.INVALID, ExitCode.FULL, ExitCode.SAVED, ExitCode.STALLED})
"""Ends with a meaning of their own. What stalls may be the node: another attempt may find another one."""
_MOST_STRANGERS = 16
"""Connections that have not said yet who they are; one more is sent away."""
_OWN_DEATHS = frozenset(128 + signal for signal in (4, 7, 8, 9, 11))
"""SIGILL, SIGBUS, SIGFPE, SIGKILL, SIGSEGV: no peer's end leads to one."""
_OF_A_PEER = re.compile(r"(?i)\bby (remote )?peer|remote (worker|process)|ncclRemoteError|broken pipe|likely closed")
"""In the words of one whose connection to another broke: gloo's, NCCL's, a TCPStore's and the system's."""


@dataclass(frozen=True)
class Crash:
    """How the first process of a node's ended, by its keeper's words."""

    node: int
    code: int
    message: str


class Accord(Protocol):
    """One launcher's side."""

    def recall(self) -> str | None:
        """Why this node's processes are to end although none of them has crashed; None as long as they are not."""

    def settle(
        self, own: Crash | None, refusal: Callable[[], str | None], is_stopping: Callable[[], bool]
    ) -> str | None:
        """The cause, once all may start again; None when they don't. None of this node's processes lives.

        `own` is None where another's crash ended them. `refusal` is asked on node 0 alone.
        """

    def stop(self) -> None:
        """This pod was asked to stop: the others must not wait for it. May be called by the handler of a signal."""

    def close(self) -> None:
        """No other launcher hears of this one any more."""


class Unheard:
    """A pod of several whose launcher can't speak with the others: it never starts again in place."""

    def recall(self) -> str | None:
        return None

    def settle(
        self, own: Crash | None, refusal: Callable[[], str | None], is_stopping: Callable[[], bool]
    ) -> str | None:
        return None

    def stop(self) -> None:
        return

    def close(self) -> None:
        return


class Alone(Unheard):
    """A gang of one pod, which has nobody to ask."""

    def settle(
        self, own: Crash | None, refusal: Callable[[], str | None], is_stopping: Callable[[], bool]
    ) -> str | None:
        may = own is not None and own.code not in FINAL and not is_stopping()
        return own.message if own is not None and may and refusal() is None else None


def accord_of(contract: Contract) -> Accord:
    """This launcher's side of the gang. A port that is taken must not stop a training."""
    gang = contract.gang
    if gang.nodes == 1:
        return Alone()
    if contract.max_in_place_restarts == 0:
        return Unheard()
    try:
        return First(contract) if gang.node_rank == 0 else Member(contract)
    except OSError as error:
        print(f"launcher: no restarts in place: port {contract.launcher_port}: {error}", file=sys.stderr, flush=True)
        return Unheard()


class First:
    """Node 0: hears of every crash, decides once for a round, and waits until all are ready."""

    def __init__(self, contract: Contract) -> None:
        self._key, self._nodes = contract.job_uid, contract.gang.nodes
        self._round = 0
        self._changed = threading.Condition()
        self._members: dict[int, _Line] = {}
        self._crashes: dict[int, Crash] = {}
        self._ready: set[int] = set()
        self._is_broken = False
        self._strangers = threading.BoundedSemaphore(_MOST_STRANGERS)
        self._server = _listening(contract.launcher_port, contract.gang.nodes)
        threading.Thread(target=self._accept, name="accord", daemon=True).start()

    def recall(self) -> str | None:
        with self._changed:
            crash = self._cause()
        return None if crash is None or crash.code in FINAL else crash.message

    def settle(
        self, own: Crash | None, refusal: Callable[[], str | None], is_stopping: Callable[[], bool]
    ) -> str | None:
        if own is not None:
            if own.code in FINAL:
                self._say({"over": self._round})
                return None
            with self._changed:
                self._crashes.setdefault(0, own)
        self._wait(COLLECT_S, lambda: self._is_broken, is_stopping)
        with self._changed:
            cause, is_whole = self._cause(), not self._is_broken and len(self._members) == self._nodes - 1
        if cause is None or cause.code in FINAL or not is_whole or is_stopping() or refusal() is not None:
            self._say({"over": self._round})
            return None
        self._say({"again": self._round + 1, "cause": cause.message})
        everybody = set(range(1, self._nodes))
        self._wait(READY_S, lambda: self._is_broken or self._ready >= everybody, is_stopping)
        with self._changed:
            if self._is_broken or self._ready < everybody or is_stopping():
                self._say({"over": self._round})
                return None
            self._round += 1
            self._crashes, self._ready = {}, set()
        self._say({"go": self._round})
        return cause.message

    def stop(self) -> None:
        return

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for line in self._members.values():
            line.close()

    def _cause(self) -> Crash | None:
        """What others follow from: an end with a meaning of its own, else a death that no peer's end leads to, else one that
        does not speak of a peer, else the first."""
        heard = list(self._crashes.values())
        of_itself = [crash for crash in heard if not _OF_A_PEER.search(crash.message)]
        for found in (
            [crash for crash in heard if crash.code in FINAL],
            [crash for crash in heard if crash.code in _OWN_DEATHS],
            of_itself,
            heard,
        ):
            if found:
                return found[0]
        return None

    def _wait(self, limit_s: float, until: Callable[[], bool], is_stopping: Callable[[], bool]) -> None:
        end = time.monotonic() + limit_s
        with self._changed:
            while not until() and not is_stopping() and (left := end - time.monotonic()) > 0:
                self._changed.wait(min(left, _LOOK_S))

    def _say(self, message: Mapping[str, object]) -> None:
        for line in self._members.values():
            line.send(message)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            line = _Line(connection)
            if self._strangers.acquire(blocking=False):
                threading.Thread(target=self._listen, args=(line,), name="accord", daemon=True).start()
            else:
                line.close()

    def _known(self, line: "_Line") -> int | None:
        """The node that a connection is of; None for a stranger's."""
        try:
            line.patience(HELLO_S)
            match line.receive():
                case {"key": str(key), "node": int(node)} if key == self._key and 0 < node < self._nodes:
                    line.patience(None)
                    return node
            return None
        finally:
            self._strangers.release()

    def _listen(self, line: "_Line") -> None:
        """One member's messages; whoever does not know the key is sent away."""
        node = self._known(line)
        if node is None:
            line.close()
            return
        with self._changed:
            # A pod that came in the place of another knows nothing of the rounds before.
            self._is_broken |= node in self._members
            self._members[node] = line
        while (message := line.receive()) is not None:
            self._hear(node, message)
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()

    def _hear(self, node: int, message: object) -> None:
        with self._changed:
            match message:
                case {"crash": int(number), "code": int(code), "message": str(text)} if number == self._round:
                    self._crashes.setdefault(node, Crash(node, code, text))
                case {"ready": int(number)} if number == self._round + 1:
                    self._ready.add(node)
            self._changed.notify_all()


class Member:
    """Any other node: tells of its crash, and does what node 0 says."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._round = 0
        self._changed = threading.Condition()
        self._line: _Line | None = None
        self._is_closed = False
        self._again: str | None = None
        self._gone = self._over = -1
        threading.Thread(target=self._run, name="accord", daemon=True).start()

    def recall(self) -> str | None:
        with self._changed:
            return self._again

    def settle(
        self, own: Crash | None, refusal: Callable[[], str | None], is_stopping: Callable[[], bool]
    ) -> str | None:
        del refusal
        if own is not None and (line := self._line) is not None:
            line.send({"crash": self._round, "code": own.code, "message": own.message[:1024]})
        if own is not None and own.code in FINAL:
            return None
        cause = self._awaited(is_stopping, lambda: self._again)
        if cause is None or (line := self._line) is None:
            return None
        line.send({"ready": self._round + 1})
        if self._awaited(is_stopping, lambda: "go" if self._gone == self._round + 1 else None) is None:
            return None
        with self._changed:
            self._round += 1
            self._again = None
        return cause

    def stop(self) -> None:
        self.close()

    def close(self) -> None:
        self._is_closed = True
        if (line := self._line) is not None:
            line.close()

    def _awaited(self, is_stopping: Callable[[], bool], said: Callable[[], str | None]) -> str | None:
        end = time.monotonic() + PATIENCE_S
        with self._changed:
            while said() is None:
                if self._over == self._round or self._line is None or is_stopping() or time.monotonic() > end:
                    return None
                self._changed.wait(_LOOK_S)
            return said()

    def _run(self) -> None:
        gang = self._contract.gang
        while not self._is_closed:
            with suppress(OSError):
                connection = socket.create_connection((gang.master_addr, self._contract.launcher_port), 10)
                line = _Line(connection)
                line.send({"key": self._contract.job_uid, "node": gang.node_rank})
                self._line = line
                break
            time.sleep(CONNECT_EVERY_S)
        known = self._line
        while known is not None and (message := known.receive()) is not None:
            self._hear(message)
        with self._changed:
            self._line = None
            self._changed.notify_all()

    def _hear(self, message: object) -> None:
        with self._changed:
            match message:
                case {"again": int(number), "cause": str(cause)} if number == self._round + 1:
                    self._again = cause
                case {"go": int(number)}:
                    self._gone = number
                case {"over": int(number)}:
                    self._over = number
            self._changed.notify_all()


def _listening(port: int, waiting: int) -> socket.socket:
    """On every address of the pod, of either family. Raises OSError when the port is taken."""
    with suppress(OSError):
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=waiting)
    return socket.create_server(("", port), backlog=waiting)


class _Line:
    """A connection, as lines of JSON. Whatever goes wrong with it is its end."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        self._connection = connection
        self._file = connection.makefile("rb")

    def patience(self, limit_s: float | None) -> None:
        """How long the next message is waited for."""
        self._connection.settimeout(limit_s)

    def receive(self) -> object | None:
        """The next message; None at the end, and for what is none."""
        try:
            line = self._file.readline(LINE_BYTES)
            return json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError, RecursionError):
            return None

    def send(self, message: Mapping[str, object]) -> None:
        with suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
