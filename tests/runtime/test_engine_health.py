"""What the engine says of itself when it is idle, busy, stuck or leaving, and which connections it keeps."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.sequence import Answer, Piece
from deepseek_runtime.engine.state import STALL_S, Engine


@dataclass
class Words:
    """An answer that makes one token per turn and never ends."""

    tokens: list[int] = field(default_factory=list)
    prompt: tuple[int, ...] = (1,)

    def step(self) -> Piece:
        self.tokens.append(1)
        return Piece("a", None)


@dataclass
class Bench:
    """An engine that computes only when `turn` is called, under a clock that a test sets."""

    client: TestClient  # type: ignore[type-arg]
    engine: Engine
    now_s: list[float]

    async def health(self) -> int:
        return (await self.client.get("/health")).status

    def submit(self) -> None:
        self.engine.scheduler.submit(cast(Answer, Words()), lambda piece: None)


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    now_s, metrics = [1000.0], Metrics("demo")
    scheduler = Scheduler(1, 1, metrics, lambda: now_s[0])
    engine = Engine("demo", scheduler, metrics, model=cast(Model, object()))
    async with TestClient(TestServer(application(engine))) as client:
        yield Bench(client, engine, now_s)


async def test_an_idle_engine_is_healthy_however_long(bench: Bench) -> None:
    bench.now_s[0] += 10 * STALL_S
    assert await bench.health() == 200
    bench.submit()
    assert await bench.health() == 200, "a request has only just come"


async def test_requests_without_a_token_for_long_make_the_engine_unhealthy_until_one_comes(bench: Bench) -> None:
    bench.submit()
    bench.now_s[0] += STALL_S
    assert await bench.health() == 200
    bench.now_s[0] += 1
    assert await bench.health() == 503
    bench.engine.scheduler.turn()
    assert await bench.health() == 200


async def test_requests_that_merely_wait_in_a_busy_engine_do_not_make_it_unhealthy(bench: Bench) -> None:
    bench.submit()
    bench.submit()
    for _ in range(5):
        bench.now_s[0] += STALL_S - 1
        bench.engine.scheduler.turn()
        assert await bench.health() == 200


class PanicException(BaseException):
    """As code in Rust panics through Python."""


class Panicking(Words):
    def step(self) -> Piece:
        raise PanicException("called `Option::unwrap()` on a `None` value")


async def test_request_that_panics_ends_alone(bench: Bench) -> None:
    """Were the computing thread to end with it, the engine would stand still without a word."""
    told: list[object] = []
    bench.engine.scheduler.submit(cast(Answer, Panicking()), told.append)
    bench.engine.scheduler.turn()
    (error,) = told
    assert isinstance(error, RuntimeError)
    assert "unwrap" in str(error)
    assert bench.engine.scheduler.in_flight == 0


async def test_while_draining_a_refusal_closes_its_connection_too(bench: Bench) -> None:
    kept = await bench.client.post("/v1/completions", data=b"{")
    assert kept.status == 400
    assert kept.headers.get("Connection", "") != "close"
    bench.engine.draining_since_s = time.monotonic()
    left = await bench.client.post("/v1/completions", data=b"{")
    assert left.status == 400
    assert left.headers["Connection"] == "close"


async def test_an_old_connection_is_closed_behind_an_answer_so_that_new_replicas_get_their_share(bench: Bench) -> None:
    assert (await bench.client.get("/health")).headers.get("Connection", "") != "close"
    bench.engine.connection_age_s = 0.0
    assert (await bench.client.get("/health")).headers["Connection"] == "close"
