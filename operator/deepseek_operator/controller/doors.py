"""Who is let in at a port of the operator, how many at a time, for how long, and with how much to say.

Every port is a `Door`: a socket and an accept of its own, with its own limits, so that a crowd at one of them takes
neither the descriptors nor the memory that the others, the API server's sessions and the watches need. A guest that is
over a limit costs an earlier one its place: of its own peer where that has too many, else one that has got no answer yet,
of the peer that has most. So a door that strangers fill stays open for whoever asks and goes, as kubelet, Prometheus and the aggregator do.

What a guest may do is one rule: each answer, the first one with its TLS handshake included, comes within a time and a
number of bytes, or the connection is cut. Slow and half-open connections, pipelines and endless bodies end by that.
"""

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from deepseek_operator.controller.bucket import TokenBucket

log = logging.getLogger(__name__)

OUTGOING_FILES = 256
"""Descriptors for all but the doors: sessions with the API server, watches, progress, Prometheus, files and the loop."""
RAISED_FILES = 65_536
"""No soft limit is raised above this: some kernels and runtimes have hard limits of 10^9 and tables that grow with it."""
_SHUTDOWN_S = 0.5
"""For a request under way when the process ends; the library's default is a minute."""
_BACKLOG = 128
_NO_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
STAY_S = 0.25
"""No newcomer of another peer takes a guest's place sooner: time enough to ask and be answered on a busy node."""
_LOOK_S = 0.02
"""How often a full door looks for somebody whose time is over."""
_RETRY_S = 0.1
"""Pause after an accept that failed for want of descriptors or memory."""
_LONGEST_LINE = 8190
_MOST_HEADERS = 64


@dataclass(frozen=True)
class Limits:
    """What one door allows.

    Attributes:
        guests: connections at a time, and per_peer: of one address among them.
        arrivals_per_s, answers_per_s: connections let in, and requests answered, over time; others wait. Neither a
            TLS handshake (a millisecond) nor a page of metrics (several) may take all of the loop's time.
        first_s: from the connection to its first answer, the handshake included; idle_s: from an answer to the next one.
        request_bytes: what a guest may send for one answer, as it comes out of TLS.
    """

    guests: int
    per_peer: int
    arrivals_per_s: float
    answers_per_s: float
    first_s: float
    idle_s: float
    request_bytes: int = 32_768


PROBES = Limits(guests=64, per_peer=8, arrivals_per_s=1000, answers_per_s=200, first_s=5, idle_s=15)
METRICS = Limits(guests=32, per_peer=8, arrivals_per_s=500, answers_per_s=20, first_s=5, idle_s=120)
"""A Prometheus keeps its connection between two scrapes."""
WANTED = Limits(guests=64, per_peer=32, arrivals_per_s=200, answers_per_s=400, first_s=5, idle_s=120)
"""KEDA asks twice in 15 s for each serving, from one pod."""
EXTERNAL_METRICS = Limits(guests=96, per_peer=24, arrivals_per_s=100, answers_per_s=200, first_s=5, idle_s=120)
"""The aggregator of each API server keeps idle connections for 90 s. A handshake under way holds about 300 KiB."""


class Door:
    """One port. `open` serves `application` there, until `close`."""

    def __init__(
        self, name: str, application: web.Application, limits: Limits, tls: ssl.SSLContext | None = None
    ) -> None:
        self._name = name
        self._limits = limits
        self._tls = tls
        application.middlewares.insert(0, self._renewed)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            lingering_time=0,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._guests: dict[_Guest, None] = {}
        self._by_protocol: dict[object, _Guest] = {}
        self._reserve = _Reserve()
        self._arrivals = TokenBucket(limits.arrivals_per_s, limits.guests)
        self._answers = TokenBucket(limits.answers_per_s, limits.guests)

    @property
    def guests(self) -> int:
        """Connections at the moment."""
        return len(self._guests)

    async def open(self, host: str, port: int) -> int:
        """Listens, and returns the port that it got. An empty host is every address of both families."""
        await self._runner.setup()
        self._socket = _listening(host, port)
        self._accepting = asyncio.create_task(self._accept(self._socket), name=f"door of {self._name}")
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Cuts all connections; the port is free afterwards."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._socket is not None:
            self._socket.close()
        for guest in list(self._guests):
            guest.cut()
        await self._runner.cleanup()
        self._reserve.release()

    async def _accept(self, listening: socket.socket) -> None:
        loop, told = asyncio.get_running_loop(), False
        while True:
            await _knock(listening)
            await self._arrivals.take()
            await self._room()
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno not in _NO_FILE:
                    continue  # The peer went before it was let in.
                if not told:
                    log.error("no descriptor is left for %s: %s", self._name, error.strerror)
                told = True
                self._reserve.release()
                await asyncio.sleep(_RETRY_S)
                continue
            peer = str(address[0])
            self._one_of(peer)
            guest = _Guest(self._limits, peer, connection, self._left)
            self._guests[guest] = None
            guest.enter(self._runner, self._tls, self._by_protocol)

    async def _room(self) -> None:
        """Returns when a guest more may come: at once, or when one has been here long enough to lose its place."""
        await asyncio.sleep(0)  # A crowd's connections are all there at once: others have their turn in between.
        while len(self._guests) >= self._limits.guests:
            now = asyncio.get_running_loop().time()
            counts = Counter(guest.peer for guest in self._guests)
            losers = [guest for guest in self._guests if not guest.answered] or list(self._guests)
            if stayed := [guest for guest in losers if now - guest.came_at >= STAY_S]:
                # Of the peers that have as many, the guest that has waited longest: the guests are in that order.
                max(stayed, key=lambda guest: counts[guest.peer]).cut()
            else:
                await asyncio.sleep(_LOOK_S)

    def _one_of(self, peer: str) -> None:
        """Cuts the connection of a peer with too many that has got no answer yet, else the one that waits longest."""
        theirs = [guest for guest in self._guests if guest.peer == peer]
        if len(theirs) >= self._limits.per_peer:
            min(theirs, key=lambda guest: guest.answered).cut()

    def _left(self, guest: "_Guest") -> None:
        self._guests.pop(guest, None)
        self._by_protocol.pop(guest.inner, None)
        self._reserve.take()

    @web.middleware
    async def _renewed(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Nobody here reads a body: whoever sends one, or is refused, gets this answer and no other."""
        await self._answers.take()
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            refusal.force_close()
            raise
        guest = self._by_protocol.get(request.protocol)
        if request.body_exists or response.status >= 400:
            response.force_close()
        elif guest is not None and guest in self._guests:
            guest.renew()
            self._guests[guest] = self._guests.pop(guest)  # It waits shortest now.
        return response


class _Guest(asyncio.Protocol):
    """One connection between its accept and its end; hands on to aiohttp's protocol what comes within the limits."""

    def __init__(self, limits: Limits, peer: str, connection: socket.socket, left: "Callable[[_Guest], None]") -> None:
        self.peer = peer
        self.answered = False
        self.came_at = asyncio.get_running_loop().time()
        self.inner: asyncio.Protocol | None = None
        self._limits = limits
        self._connection = connection
        self._left = left
        self._bytes = 0
        self._is_cut = False
        self._transport: asyncio.Transport | None = None
        self._entering: asyncio.Task[None] | None = None
        self._ends = asyncio.get_running_loop().call_later(limits.first_s, self.cut)

    def enter(self, runner: web.AppRunner, tls: ssl.SSLContext | None, by_protocol: "dict[object, _Guest]") -> None:
        """Begins the conversation, the handshake first where there is one."""
        assert runner.server is not None
        self.inner = cast(asyncio.Protocol, runner.server())
        by_protocol[self.inner] = self
        self._entering = asyncio.create_task(self._enter(tls))
        self._entering.add_done_callback(lambda _: self._connection.close() if self._transport is None else None)

    async def _enter(self, tls: ssl.SSLContext | None) -> None:
        patience_s = self._limits.first_s if tls is not None else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self,
                self._connection,
                ssl=tls,
                ssl_handshake_timeout=patience_s,
                ssl_shutdown_timeout=1.0 if tls is not None else None,
            )
        except OSError:  # No TLS, no certificate, or not in time.
            self._gone()

    def renew(self) -> None:
        """It got an answer: time and bytes count anew."""
        self.answered = True
        self._bytes = 0
        self._ends.cancel()
        self._ends = asyncio.get_running_loop().call_later(self._limits.idle_s, self.cut)

    def cut(self) -> None:
        """Ends the connection at once; what was not sent yet is not sent."""
        self._is_cut = True
        if self._transport is not None:
            self._transport.abort()
        elif self._entering is not None:
            self._entering.cancel()
        self._gone()

    def _gone(self) -> None:
        self._ends.cancel()
        self._left(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self.inner is not None
        self._transport = cast(asyncio.Transport, transport)
        self.inner.connection_made(transport)
        if self._is_cut:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self.inner is not None
        self._bytes += len(data)
        if self._bytes > self._limits.request_bytes:
            self.cut()
        else:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        assert self.inner is not None
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        assert self.inner is not None
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        assert self.inner is not None
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.inner is not None
        self.inner.connection_lost(exc)
        self._gone()


async def _knock(listening: socket.socket) -> None:
    """Waits until somebody is at the door: nobody loses a place before."""
    loop, knocked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listening, knocked.set)
    try:
        await knocked.wait()
    finally:
        loop.remove_reader(listening)


class _Reserve:
    """One descriptor kept for the next guest, for when all others are in use. Taken back when a guest has left."""

    def __init__(self) -> None:
        self._file: int | None = None
        self.take()

    def take(self) -> None:
        if self._file is None:
            with suppress(OSError):
                self._file = os.open(os.devnull, os.O_RDONLY)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _listening(host: str, port: int) -> socket.socket:
    dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)
    listening.setblocking(False)
    return listening


def raise_file_limit(doors: Iterable[Limits]) -> None:
    """Lifts the soft limit of open files to the hard one, and says so where that is not enough for these doors."""
    needed = OUTGOING_FILES + sum(limits.guests + 2 for limits in doors)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = RAISED_FILES if hard == resource.RLIM_INFINITY else min(hard, RAISED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < needed:
        log.warning("this process may open %d files and needs up to %d: raise the limit (ulimit -n)", soft, needed)
