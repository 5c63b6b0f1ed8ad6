"""An engine that has a key answers nobody without it, and says it to nobody."""

import hmac
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from deepseek_runtime.bencher.asking import first_model
from deepseek_runtime.engine import guard
from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.settings import read_settings
from deepseek_runtime.engine.state import Engine
from deepseek_runtime.examiner.exam import examine

KEY = "sk-engine-0123456789"
CLOSED = ("/v1/models", "/v1/completions", "/v1/chat/completions", "/nothing")


def an_engine(key: str = KEY) -> Engine:
    metrics = Metrics("demo")
    return Engine("demo", Scheduler(1, 1, metrics), metrics, key=key)


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    """Of an engine whose model is still loading: who gets in is told 503 of the models, or 404 of nothing."""
    async with TestServer(application(an_engine())) as running:
        yield str(running.make_url("/")).rstrip("/")


def bearer(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {key}"}


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "headers",
    [{}, bearer("sk-guessed"), bearer(KEY[:-1]), bearer(KEY + "a"), bearer(KEY, "Basic"), bearer(""), {"x-api-key": KEY}, {"Authorization": KEY}],
)  # fmt: skip
async def test_without_the_key_nobody_is_answered(url: str, path: str, headers: dict[str, str]) -> None:
    async with ClientSession() as session, session.post(url + path, json={"prompt": "a"}, headers=headers) as answer:
        told = await answer.json()
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert told["error"]["type"] == "AuthenticationError"
        assert "sk-" not in str(told)


@pytest.mark.parametrize("headers", [bearer(KEY), bearer(KEY, "bearer"), bearer(f" {KEY} ")])
async def test_with_the_key_everything_is_as_without_one(url: str, headers: dict[str, str]) -> None:
    async with ClientSession(headers=headers) as session:
        async with session.get(f"{url}/v1/models") as answer:
            assert answer.status == 503
        async with session.get(f"{url}/nothing") as answer:
            assert answer.status == 404


async def test_two_keys_are_none(url: str) -> None:
    headers = [("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer sk-guessed")]
    async with ClientSession() as session, session.get(f"{url}/v1/models", headers=headers) as answer:
        assert answer.status == 401


async def test_probes_and_prometheus_come_without_one(url: str) -> None:
    async with ClientSession() as session:
        async with session.get(f"{url}/health") as answer:
            assert answer.status == 503  # it is loading: the probe waits, and is not turned away
        async with session.get(f"{url}/metrics") as answer:
            page = await answer.text()
            assert answer.status == 200
        async with session.get(f"{url}/metrics/") as answer:
            assert answer.status == 401
    assert "vllm:num_requests_running" in page
    assert KEY not in page


async def test_who_is_turned_away_counts_as_the_clients_error(url: str) -> None:
    async with ClientSession() as session:
        async with session.post(f"{url}/v1/completions", json={}) as answer:
            assert answer.status == 401
        async with session.get(f"{url}/metrics") as answer:
            page = await answer.text()
    assert 'http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 1.0' in page


async def test_an_engine_without_a_key_asks_nobody_for_one() -> None:
    async with TestServer(application(an_engine(""))) as running, ClientSession() as session:
        for headers in ({}, bearer("sk-a-clients")):
            async with session.get(running.make_url("/v1/models"), headers=headers) as answer:
                assert answer.status == 503


async def test_who_of_ours_asks_shows_it(url: str) -> None:
    marks = await examine(url, "demo", [("a=", "A")], KEY)
    assert "503" in marks.why  # in, and the model is loading
    assert "401" in (await examine(url, "demo", [("a=", "A")])).why
    async with ClientSession(f"{url}/", headers=bearer(KEY)) as session:
        with pytest.raises(Exception, match="503"):
            await first_model(session)


def test_keys_are_compared_by_digests_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is called and with what: no test judges speed by the clock."""
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    for shown in (f"Bearer {KEY}", "Bearer a", "", "Basic b"):
        guard._is_shown(KEY, [shown])
    assert len(compared) == 4
    assert {len(part) for pair in compared for part in pair} == {32}


@pytest.mark.parametrize("text", ["", f"{KEY}\n", f" {KEY}", "schlüssel", "two words"])
def test_a_key_that_no_header_can_hold_ends_the_engine_and_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="newline at its end") as error:
        read_settings({"DEEPSEEK_API_KEY": text})
    assert not text.strip() or text.strip() not in str(error.value)


def test_nothing_that_is_printed_holds_the_key() -> None:
    settings = read_settings({"DEEPSEEK_API_KEY": KEY})
    assert settings.key == KEY
    assert read_settings({}).key == ""
    assert KEY not in repr(settings)
    assert KEY not in repr(replace(an_engine()))
