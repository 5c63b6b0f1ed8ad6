"""A reverse proxy between the operator and a real API server: it kills, lies and falls silent on demand.

It passes everything through, watches included. What it can do beside that, each at any time and from any thread:

- `decide` sees each write first: `Pass`; `KillBefore`: the operator gets SIGKILL and the write is never sent;
  `KillAfter`: the write is committed and the operator gets SIGKILL instead of the answer; `Hold`: it is sent no earlier
  than at `let_go`, whatever became of who asked. Leases and events are not counted: losing one loses nothing.
- `heard` is told how the API server answered each of those that were sent.
- `answer` sees every request first and may answer in the API server's place: an `Answer` or `NoAnswer`, or `After` the
  API server has carried the request out, one of these.
- `tell` puts lines into the open watches of a resource, ends them, or cuts them off in the middle of a line.
- `deaf_to`: the watches of these resources are half-open from their next word on: they tell nothing, not even their end.
- `wake`: what is half-open or waits for an answer in vain is reset, as by a peer that has come back.
- `refuse` and `listen`: nobody is there, as far as TCP knows; and again. Twice the same is once.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web

_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "upgrade"}


class Fate(Enum):
    """What happens to a write."""

    PASS = "pass"
    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"
    HOLD = "hold"


@dataclass(frozen=True)
class Write:
    """One request, as a rule a mutating one; `path` without its query."""

    verb: str
    path: str

    @property
    def is_counted(self) -> bool:
        """Leases and events may be lost at any time."""
        return "/leases" not in self.path and "/events" not in self.path and "reviews" not in self.path


@dataclass(frozen=True)
class Asked:
    """Any request; `path` without its query."""

    verb: str
    path: str
    query: Mapping[str, str]
    accept: str

    @property
    def last(self) -> str:
        """The last part of the path: a plural for lists and watches of a resource."""
        return self.path.rpartition("/")[2]

    @property
    def watches(self) -> bool:
        """It asks for a stream."""
        return self.query.get("watch") == "true"

    @property
    def lists_whole(self) -> bool:
        """It asks for whole objects of a resource over all owners: what a watch begins with, and no audit."""
        whole = "PartialObjectMetadata" not in self.accept and "owner-uid" not in self.query.get("labelSelector", "")
        return self.verb == "GET" and not self.watches and whole


@dataclass(frozen=True)
class Answer:
    """Sent in the place of the API server's answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class NoAnswer(Enum):
    """The request is accepted and that is all, or its connection is reset."""

    SILENCE = "silence"
    RESET = "reset"


@dataclass(frozen=True)
class After:
    """The API server carries the request out, and this is what the one who asked hears."""

    instead: Answer | NoAnswer


@dataclass(frozen=True)
class End:
    """The stream ends after these bytes: as agreed, or by a reset connection."""

    words: bytes = b""
    is_reset: bool = False


class Wake(Enum):
    """A stream that is half-open is reset."""

    UP = "up"


Told: TypeAlias = bytes | End | Wake
"""Bytes are sent as they are, a line break is theirs to bring; the stream goes on after them."""


def status(code: int | None, message: str = "a planted fault") -> dict[str, Any]:
    """A Status of the API server, as answers and ERROR events carry it."""
    told = {} if code is None else {"code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, **told}


def line(type_: object, object_: object) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": type_, "object": object_}).encode() + b"\n"


def failing(code: int, **headers: str) -> Answer:
    """An answer with that status code; `Retry_After="1"` is a header."""
    return Answer(code, json.dumps(status(code)).encode(), {name.replace("_", "-"): v for name, v in headers.items()})


@dataclass
class FaultProxy:
    """Serves on a free port of the loopback address until `stop`.

    Attributes:
        writes: the counted ones; requests: all but the watches; asked: all of them.
        deaf_to: plurals of the resources whose watches fall silent for good.
    """

    upstream: str
    tls: ssl.SSLContext
    kill: Callable[[], None]
    decide: Callable[[int, Write], Fate] = lambda _number, _write: Fate.PASS
    heard: Callable[[Write, int], None] = lambda _write, _status: None
    answer: Callable[[Asked], Answer | NoAnswer | After | None] = lambda _asked: None
    writes: list[Write] = field(default_factory=list)
    requests: list[Write] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    deaf_to: set[str] = field(default_factory=set)
    url: str = ""
    _is_ended: bool = False
    _port: int = 0
    _open: dict[str, set["asyncio.Queue[Told]"]] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _let_go: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> "FaultProxy":
        """Starts the server in a thread of its own."""
        ready = threading.Event()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait(10)
        return self

    def stop(self) -> None:
        """Closes every connection."""
        self._is_ended = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    def tell(self, plural: str, *told: Told) -> int:
        """Puts that into all open watches of the resource; returns their number."""

        async def put() -> int:
            watches = self._open.get(plural, set())
            for watch in watches:
                for words in told:
                    watch.put_nowait(words)
            return len(watches)

        return asyncio.run_coroutine_threadsafe(put(), self._loop).result(10)

    def open_watches(self, plural: str) -> int:
        """How many streams of the resource are open."""
        return self.tell(plural)

    def wake(self) -> None:
        """Resets every connection that is silent by a fault; nothing is silent any more."""

        async def reset() -> None:
            for watches in self._open.values():
                for watch in watches:
                    watch.put_nowait(Wake.UP)
            self._woken.set()
            self._woken = asyncio.Event()

        self.deaf_to.clear()
        if not self._is_ended:  # By then nothing is open.
            asyncio.run_coroutine_threadsafe(reset(), self._loop).result(10)

    def let_go(self) -> None:
        """Sends what was held until now."""

        async def send() -> None:
            self._let_go.set()
            self._let_go = asyncio.Event()

        asyncio.run_coroutine_threadsafe(send(), self._loop).result(10)

    def refuse(self) -> None:
        """Resets all connections and refuses new ones."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result(10)

    def listen(self) -> None:
        """Takes connections again, at the same address."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def _serve(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._run(ready))

    async def _run(self, ready: threading.Event) -> None:
        self._stopped = asyncio.Event()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as self._session:
            app = web.Application(client_max_size=16 * 2**20)
            app.router.add_route("*", "/{path:.*}", self._served)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
            await self._runner.setup()
            await self._listen()
            self.url = f"http://127.0.0.1:{self._port}"
            ready.set()
            await self._stopped.wait()
            await self._runner.cleanup()

    async def _listen(self) -> None:
        if self._runner.sites:
            return
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def _refuse(self) -> None:
        if self._runner.sites:
            await self._site.stop()
        for connection in list(self._runner.server.connections if self._runner.server else ()):
            if connection.transport is not None:
                connection.transport.abort()

    async def _served(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._pass(request)
        except (ConnectionResetError, aiohttp.ClientError):  # Either side has gone, or was made to.
            _reset(request)
            return web.Response()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        write = Write(request.method, request.path)
        asked = Asked(request.method, request.path, dict(request.query), request.headers.get("Accept", ""))
        fate = Fate.PASS
        self.asked.append(asked)
        if not asked.watches:
            self.requests.append(write)
        instead = self.answer(asked)
        if instead is not None and not isinstance(instead, After):
            return await self._answered(request, instead)
        is_judged = request.method not in {"GET", "HEAD"} and write.is_counted
        if is_judged:
            self.writes.append(write)
            fate = self.decide(len(self.writes), write)
        if fate is Fate.KILL_BEFORE:
            self.kill()
            raise web.HTTPBadGateway
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = await request.read()
        if fate is Fate.HOLD:
            await self._let_go.wait()
        async with self._session.request(
            request.method, self.upstream + request.raw_path, headers=headers, data=body or None
        ) as answer:
            if is_judged:
                self.heard(write, answer.status)
            if fate is Fate.KILL_AFTER:
                await answer.read()
                self.kill()
                raise web.HTTPBadGateway
            if isinstance(instead, After):
                await answer.read()
                return await self._answered(request, instead.instead)
            if asked.watches and answer.status == 200:
                return await self._watch(request, answer, asked.last)
            return await _whole(request, answer)

    async def _answered(self, request: web.Request, instead: Answer | NoAnswer) -> web.StreamResponse:
        if instead is NoAnswer.SILENCE:
            await self._woken.wait()
        if isinstance(instead, Answer):
            headers = {"Content-Type": instead.content_type, **instead.headers}
            return web.Response(status=instead.status, body=instead.body, headers=headers)
        _reset(request)
        return web.Response()

    async def _watch(self, request: web.Request, answer: aiohttp.ClientResponse, plural: str) -> web.StreamResponse:
        response = await _begun(request, answer)
        lines: asyncio.Queue[Told] = asyncio.Queue()
        self._open.setdefault(plural, set()).add(lines)
        reader = asyncio.create_task(_read_lines(answer, lines))
        is_deaf = False
        try:
            while True:
                words = await lines.get()
                if words is Wake.UP and is_deaf:
                    _reset(request)
                    return response
                is_deaf = is_deaf or plural in self.deaf_to
                if is_deaf or words is Wake.UP:
                    continue
                if isinstance(words, End):
                    if words.words:
                        await response.write(words.words)
                    if words.is_reset:
                        _reset(request)
                        return response
                    break
                await response.write(words)
            await response.write_eof()
        finally:
            self._open[plural].discard(lines)
            reader.cancel()
        return response


async def _read_lines(answer: aiohttp.ClientResponse, lines: "asyncio.Queue[Told]") -> None:
    """Whole lines only, so that what is told between two of them stands alone."""
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            whole, found, begun = (rest + chunk).rpartition(b"\n")
            rest = begun
            if found:
                lines.put_nowait(whole + found)
        lines.put_nowait(End(rest))
    except aiohttp.ClientError:
        lines.put_nowait(End(rest, is_reset=True))


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _begun(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    return response


async def _whole(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = await _begun(request, answer)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response
