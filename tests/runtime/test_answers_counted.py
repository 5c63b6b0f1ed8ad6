"""Answers are counted by status under vLLM's name, so that one query tells errors of either engine."""

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import pytest
import pytest_asyncio
from aiohttp import ClientPayloadError
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from deepseek_runtime.engine import api
from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.scheduler import Scheduler, Ticket
from deepseek_runtime.engine.sequence import Answer, Piece
from deepseek_runtime.engine.state import Engine
from tests.runtime.bare_model import model

Client: TypeAlias = TestClient[Request, Application]


@pytest.fixture
def engine() -> Engine:
    metrics = Metrics("demo")
    return Engine("demo", Scheduler(1, 1, metrics), metrics, model=model())


@pytest_asyncio.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(engine))) as client:
        yield client


async def answers(client: Client) -> dict[tuple[str, str, str], float]:
    """Answers that were given by path, method and class of status."""
    text = await (await client.get("/metrics")).text()
    lines = [line for line in text.splitlines() if line.startswith("http_requests_total{")]
    found: dict[tuple[str, str, str], float] = {}
    for line in lines:
        labels, _, value = line.partition("{")[2].partition("} ")
        told = dict(label.split("=") for label in labels.replace('"', "").split(","))
        found[told["handler"], told["method"], told["status"]] = float(value)
    return {labels: value for labels, value in found.items() if value}


async def test_errors_are_there_at_zero_before_the_first_one(client: Client) -> None:
    text = await (await client.get("/metrics")).text()
    assert 'http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx"} 0.0' in text


async def test_each_answer_is_counted_by_its_status(client: Client, engine: Engine) -> None:
    await client.post("/v1/completions", data=b"{")
    await client.get("/v1/models")
    await client.get("/health")
    await client.post("/elsewhere")
    engine.model = None
    await client.post("/v1/chat/completions", json={})
    assert await answers(client) == {
        ("/v1/completions", "POST", "4xx"): 1,
        ("/v1/models", "GET", "2xx"): 1,
        ("none", "POST", "4xx"): 1,
        ("/v1/chat/completions", "POST", "5xx"): 1,
    }


async def test_a_failure_of_our_own_is_an_error(client: Client) -> None:
    answer = await client.post("/v1/completions", json={"prompt": "hi", "max_tokens": 1})  # the bare model has no cache
    assert answer.status == 500
    assert await answers(client) == {("/v1/completions", "POST", "5xx"): 1}


async def test_a_stream_that_breaks_off_is_an_error_although_it_began_well(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(answer: Answer, deliver: Callable[[Piece | Exception], None]) -> Ticket:
        deliver(RuntimeError("the device is gone"))
        return Ticket(answer, deliver, 0.0)

    monkeypatch.setattr(api, "Answer", lambda *_: None)
    monkeypatch.setattr(engine.scheduler, "submit", break_off)
    answer = await client.post("/v1/completions", json={"prompt": "hi", "max_tokens": 1, "stream": True})
    assert answer.status == 200
    with pytest.raises(ClientPayloadError):
        await answer.read()
    assert await answers(client) == {("/v1/completions", "POST", "5xx"): 1}
