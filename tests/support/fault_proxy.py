"""A reverse proxy between the operator and a real API server that can kill the operator around any write.

It passes everything through, watches included, and shows each write (verb, path) to a `decide` function first:
`Pass`; `KillBefore`: the operator gets SIGKILL and the write is never sent; `KillAfter`: the write is committed and
the operator gets SIGKILL instead of the answer. Leases and events are not counted: losing one loses nothing.
It can also make the operator deaf to a resource: its watches stay open and tell nothing.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import aiohttp
from aiohttp import web

_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "upgrade"}


class Fate(Enum):
    """What happens to a write."""

    PASS = "pass"
    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"


@dataclass(frozen=True)
class Write:
    """One request, as a rule a mutating one; `path` without its query."""

    verb: str
    path: str

    @property
    def is_counted(self) -> bool:
        """Leases and events may be lost at any time."""
        return "/leases" not in self.path and "/events" not in self.path and "reviews" not in self.path


@dataclass
class FaultProxy:
    """Serves on a free port of the loopback address until `stop`.

    Attributes:
        writes: the counted ones; requests: all but the watches.
        deaf_to: plurals of the resources whose watches tell nothing.
    """

    upstream: str
    tls: ssl.SSLContext
    kill: Callable[[], None]
    decide: Callable[[int, Write], Fate] = lambda _number, _write: Fate.PASS
    writes: list[Write] = field(default_factory=list)
    requests: list[Write] = field(default_factory=list)
    deaf_to: set[str] = field(default_factory=set)
    url: str = ""

    def start(self) -> "FaultProxy":
        """Starts the server in a thread of its own."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait(10)
        return self

    def stop(self) -> None:
        """Closes every connection."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run(ready))

    async def _run(self, ready: threading.Event) -> None:
        self._stopped = asyncio.Event()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as self._session:
            app = web.Application(client_max_size=16 * 2**20)
            app.router.add_route("*", "/{path:.*}", self._pass)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            self.url = f"http://127.0.0.1:{port}"
            ready.set()
            await self._stopped.wait()
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        write = Write(request.method, request.path)
        fate = Fate.PASS
        watches = request.query.get("watch") == "true"
        if not watches:
            self.requests.append(write)
        if request.method not in {"GET", "HEAD"} and write.is_counted:
            self.writes.append(write)
            fate = self.decide(len(self.writes), write)
        if fate is Fate.KILL_BEFORE:
            self.kill()
            raise web.HTTPBadGateway
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read()
        async with self._session.request(
            request.method, self.upstream + request.raw_path, headers=headers, data=body or None
        ) as answer:
            if fate is Fate.KILL_AFTER:
                await answer.read()
                self.kill()
                raise web.HTTPBadGateway
            is_deaf = watches and request.path.rpartition("/")[2] in self.deaf_to
            return await _stream(request, answer, is_deaf)


async def _stream(request: web.Request, answer: aiohttp.ClientResponse, is_deaf: bool) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, headers={k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
    )
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            if not is_deaf:
                await response.write(chunk)
    except (ConnectionResetError, aiohttp.ClientError, asyncio.CancelledError):
        return response
    await response.write_eof()
    return response
