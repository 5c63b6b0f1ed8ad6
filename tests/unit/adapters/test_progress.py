"""Rank 0 is untrusted: what it may say, and how it can't hurt."""

import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from deepseek_operator.adapters.progress import LIMIT_BYTES, HttpProgress
from deepseek_operator.core.seen import Unavailable
from tests.support.told import SAID as TOLD

POD = {"metadata": {"name": "p"}, "status": {"podIP": "127.0.0.1"}}
SAID = {
    "formatVersion": 1,
    "step": 7,
    "loss": 0.5,
    "state": "Training",
    "latest": {"step": 5, "time": "t", "seconds": 1},
}

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[HttpProgress]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a rank 0 with the given handler and gives a client for its port."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> HttpProgress:
        application = web.Application()
        application.router.add_get("/progress", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return HttpProgress(port=runner.addresses[0][1], is_asked=lambda address: True)

    yield start
    for runner in runners:
        await runner.cleanup()


async def pulled(serve: Serve, body: bytes, status: int = 200, **headers: str) -> Any:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    async with await serve(answer) as client:
        return await client.pull(POD)


async def test_known_keys_are_taken_and_unknown_ones_dropped(serve: Serve) -> None:
    said = await pulled(serve, json.dumps({**SAID, "evil": "x" * 100, "evalLoss": None}).encode())
    assert said == {**SAID, "latest": {"step": 5, "time": "t", "seconds": 1.0}}


async def test_what_a_status_tells_comes_through_the_door(serve: Serve) -> None:
    assert await pulled(serve, json.dumps(TOLD).encode()) == TOLD


@pytest.mark.parametrize("state", ["Starting", "Preparing", "Training", "Saving", "Evaluating", "Stopping", "Complete"])
async def test_every_state_of_a_trainer_comes_through_the_door(serve: Serve, state: str) -> None:
    assert (await pulled(serve, json.dumps({**SAID, "state": state}).encode()))["state"] == state


@pytest.mark.parametrize(
    "said",
    [
        {**SAID, "step": "7"},
        {**SAID, "step": -1},
        {**SAID, "step": 1.5},
        {**SAID, "step": True},
        {**SAID, "step": 2**60},
        {**SAID, "loss": "0.5"},
        {**SAID, "state": "Mining"},
        {**SAID, "incarnation": "x" * 257},
        {**SAID, "exports": [1] * 129},
        {**SAID, "latest": {"step": None}},
        {**SAID, "formatVersion": 2},
        {},
        [],
        7,
    ],
)
async def test_a_wrong_type_or_bound_is_unavailable_and_says_where(serve: Serve, said: object) -> None:
    assert isinstance(await pulled(serve, json.dumps(said).encode()), Unavailable)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"loss": NaN}', b'{"formatVersion":1,"loss":1e999}', b"\xff\xfe", b"[" * 60_000]
)
async def test_what_is_not_json_is_unavailable(serve: Serve, body: bytes) -> None:
    assert isinstance(await pulled(serve, body), Unavailable)


async def test_an_answer_over_the_limit_is_cut_off(serve: Serve) -> None:
    said = await pulled(serve, b" " * (LIMIT_BYTES + 1))
    assert said == Unavailable(f"ValueError: the answer has more than {LIMIT_BYTES} bytes")


@pytest.mark.parametrize(("status", "headers"), [(302, {"Location": "http://169.254.169.254/"}), (500, {}), (404, {})])
async def test_a_redirect_or_an_error_is_not_followed(serve: Serve, status: int, headers: dict[str, Any]) -> None:
    assert await pulled(serve, json.dumps(SAID).encode(), status, **headers) == Unavailable(
        f"ValueError: HTTP status {status}"
    )


async def test_what_is_packed_is_not_unpacked(serve: Serve) -> None:
    bomb = gzip.compress(json.dumps({**SAID, "x": " " * 30_000_000}).encode())
    assert len(bomb) < LIMIT_BYTES
    for coding in ("gzip", "deflate", "identity"):
        headers: dict[str, Any] = {"Content-Encoding": coding}
        said = await pulled(serve, bomb, **headers)
        assert isinstance(said, Unavailable)
        assert said.reason.startswith("the answer is not JSON")


NOBODYS = ("127.0.0.1", "127.9.9.9", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "::", "fe80::1", "ff02::1",
           "::ffff:127.0.0.1", "::ffff:169.254.169.254")  # fmt: skip


@pytest.mark.parametrize("address", ["", "metadata.google.internal", "127.0.0.1/evil", "127.0.0.1:80", *NOBODYS])
async def test_only_an_address_is_asked(address: str) -> None:
    async with HttpProgress() as client:
        assert isinstance(await client.pull({"status": {"podIP": address}}), Unavailable)
