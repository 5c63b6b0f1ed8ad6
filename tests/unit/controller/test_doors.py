"""Strangers at a door, over real sockets: each is answered or cut in time, and nobody else waits for them."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from aiohttp import web

from deepseek_operator.controller import doors
from deepseek_operator.controller.doors import EXTERNAL_METRICS, METRICS, PROBES, Door, Limits, raise_file_limit

HOST = "127.0.0.1"
LIMITS = Limits(guests=6, per_peer=3, arrivals_per_s=1000, answers_per_s=1000, first_s=0.2, idle_s=0.2)
PATIENCE_S = 30.0
"""A hundred times what the door allows: it only ends a test that fails."""
PATIENT = replace(LIMITS, first_s=2 * PATIENCE_S, idle_s=2 * PATIENCE_S)
"""Nobody is cut here for being slow."""
ASK = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
PAGE = b"x" * 100_000


async def _page(request: web.Request) -> web.Response:
    return web.Response(body=PAGE)


@pytest.fixture
async def door(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Door, int]]:
    limits = getattr(request, "param", LIMITS)
    application = web.Application()
    application.router.add_get("/page", _page)
    door = Door("tests", application, limits)
    yield door, await door.open(HOST, 0)
    await door.close()


class Guest:
    """A connection from an address of the loopback network."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def come(cls, port: int, peer: str = HOST) -> "Guest":
        return cls(*await asyncio.open_connection(HOST, port, local_addr=(peer, 0)))

    async def ask(self) -> int:
        """The status of an answer that is read whole."""
        self._writer.write(ASK)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        await asyncio.wait_for(self._reader.readexactly(len(PAGE)), PATIENCE_S)
        return int(head.split()[1])

    async def is_cut(self) -> bool:
        """Whether the other side ends the connection before this one loses patience."""
        with suppress(ConnectionError):
            await asyncio.wait_for(self._reader.read(), PATIENCE_S)
        return True

    def leave(self) -> None:
        self._writer.close()


FIELD = b"X-%d: " + b"y" * 100 + b"\r\n"
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "half a line": b"GET /pa",
    "headers without an end": b"GET /page HTTP/1.1\r\nHost: x\r\nX: ",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
    "noise": bytes(range(256)) * 16,
    "zeros": bytes(4096),
    "an address of 1 MB": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    "a header of 1 MB": b"GET /page HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "10,000 headers": b"GET /page HTTP/1.1\r\n" + FIELD.replace(b"%d", b"1") * 10_000 + b"\r\n",
    "65 short headers": b"GET /page HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n",
    "a body that never comes": b"GET /page HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n",
    "a body of 1 MB": b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000),
    "a negative length": b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
    "garbage for a chunk": b"POST /page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nzz\r\n",
    "a chunk of 2^64": b"POST /page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    "chunks without end": b"GET /page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000,
    "a gzip bomb's head": b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n\x1f\x8b\x08",
    "waiting for 100": b"POST /page HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "another protocol": b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + bytes(9999),
    "a tunnel": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n",
    "a proxy": b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n",
    "TRACE": b"TRACE /page HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method of nobody's": b"BREW /page HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /page\r\n",
    "HTTP/1.0": b"GET /page HTTP/1.0\r\n\r\n",
    "HTTP/9.9": b"GET /page HTTP/9.9\r\n\r\n",
    "a step up": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a pipe of 1,000 requests that reads no answer": ASK * 1_000,
    "a pipe of 100,000 bytes of line ends": b"\r\n" * 50_000,
}  # fmt: skip


@pytest.mark.parametrize("door", [replace(LIMITS, guests=100, per_peer=100)], indirect=True)
async def test_whatever_a_stranger_says_is_answered_or_cut_in_time(door: tuple[Door, int]) -> None:
    async def lasts(words: bytes) -> bool:
        reader, writer = await asyncio.open_connection(HOST, door[1], limit=2**20)
        writer.write(words)
        try:
            async with asyncio.timeout(PATIENCE_S):
                with suppress(ConnectionError):
                    while await reader.read(2**20):
                        pass
        except TimeoutError:
            return True
        finally:
            writer.close()
        return False

    found = await asyncio.gather(*map(lasts, HOSTILE.values()))
    assert [name for name, is_open in zip(HOSTILE, found, strict=True) if is_open] == []
    assert door[0].guests == 0
    guest = await Guest.come(door[1])
    assert await guest.ask() == 200
    guest.leave()


async def test_one_byte_at_a_time_is_no_way_to_stay(door: tuple[Door, int]) -> None:
    reader, writer = await asyncio.open_connection(HOST, door[1])
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionError):
            for byte in b"GET /page HTTP/1.1\r\nX: " + b"a" * 1000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.01)
                if reader.at_eof():
                    break
    writer.close()


async def test_a_request_of_more_bytes_than_allowed_gets_no_answer(door: tuple[Door, int]) -> None:
    reader, writer = await asyncio.open_connection(HOST, door[1])
    writer.write(b"GET /page HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 40 + b"\r\n")
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()


async def test_who_never_reads_an_answer_is_cut(door: tuple[Door, int]) -> None:
    stranger = socket.create_connection((HOST, door[1]))
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stranger.setblocking(False)
    stranger.send(ASK * 40)
    async with asyncio.timeout(PATIENCE_S):
        while door[0].guests == 0:  # noqa: ASYNC110 - the door is in this loop
            await asyncio.sleep(0.01)
        while door[0].guests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stranger.close()


@pytest.mark.parametrize("door", [PATIENT], indirect=True)
async def test_a_peer_with_too_many_connections_loses_its_own_oldest(door: tuple[Door, int]) -> None:
    greedy = [await Guest.come(door[1], "127.0.0.2") for _ in range(LIMITS.per_peer)]
    other = await Guest.come(door[1], "127.0.0.3")
    newest = await Guest.come(door[1], "127.0.0.2")
    assert await greedy[0].is_cut()
    assert [await guest.ask() for guest in (other, newest, *greedy[1:])] == [200] * 4


@pytest.mark.parametrize("door", [PATIENT], indirect=True)
async def test_a_full_door_lets_in_whoever_comes_for_who_got_no_answer_yet(
    door: tuple[Door, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STAY_S", 0.05)
    served = await Guest.come(door[1], "127.0.0.3")
    assert await served.ask() == 200
    crowd = [await Guest.come(door[1], f"127.0.0.{4 - n % 2}") for n in range(LIMITS.guests - 1)]
    assert await (await Guest.come(door[1], "127.0.0.9")).ask() == 200
    assert await crowd[0].is_cut()
    assert await served.ask() == 200


@pytest.mark.parametrize("door", [PATIENT], indirect=True)
async def test_nobody_loses_a_place_to_a_newcomer_before_there_was_time_to_ask(
    door: tuple[Door, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STAY_S", 2 * PATIENCE_S)
    crowd = [await Guest.come(door[1], f"127.0.0.{2 + n % 3}") for n in range(LIMITS.guests)]
    newcomer = asyncio.create_task((await Guest.come(door[1], "127.0.0.9")).ask())
    assert [await guest.ask() for guest in crowd] == [200] * LIMITS.guests
    assert not newcomer.done()
    crowd[0].leave()
    assert await newcomer == 200


@pytest.mark.parametrize("door", [replace(PATIENT, first_s=0.6)], indirect=True)
async def test_who_got_an_answer_may_stay_longer_than_who_got_none(door: tuple[Door, int]) -> None:
    guest, other = await Guest.come(door[1]), await Guest.come(door[1])
    assert await guest.ask() == 200
    assert await other.is_cut()
    assert await guest.ask() == 200


@contextmanager
def no_file_left() -> Iterator[None]:
    """Whatever opens a file now fails, until the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, before[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for file in taken:
            os.close(file)


async def test_a_probe_is_answered_when_no_descriptor_is_left(
    door: tuple[Door, int], caplog: pytest.LogCaptureFixture
) -> None:
    clients = [socket.socket() for _ in range(2)]
    for client in clients:
        client.setblocking(False)
    loop = asyncio.get_running_loop()
    with no_file_left():
        for client in clients:
            await loop.sock_connect(client, (HOST, door[1]))
            await loop.sock_sendall(client, ASK)
            assert (await asyncio.wait_for(loop.sock_recv(client, 20), PATIENCE_S)).startswith(b"HTTP/1.1 200")
            client.close()
            await asyncio.sleep(0.05)
    assert caplog.messages == [f"no descriptor is left for tests: {os.strerror(errno.EMFILE)}"]


def test_the_soft_limit_of_files_is_raised_and_one_that_is_too_low_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits, now = [(256, 4096), (256, 300)], []
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: now.append(pair))
    for pair in limits:
        monkeypatch.setattr(resource, "getrlimit", lambda _, pair=pair: pair)
        raise_file_limit((PROBES, METRICS, EXTERNAL_METRICS))
    assert now == [(4096, 4096), (300, 300)]
    assert caplog.messages == ["this process may open 300 files and needs up to 454: raise the limit (ulimit -n)"]
