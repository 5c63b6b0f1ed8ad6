"""What Prometheus may answer, and that nothing of it is ever an exception."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from math import inf, isnan
from typing import Any

import pytest
from aiohttp import web

from deepseek_operator.adapters.prometheus import LIMIT_BYTES, MOST_SERIES, Prometheus, series_of, signal_of
from deepseek_operator.core.seen import NoData, Sample, Signal, Unavailable
from deepseek_operator.domain.policy.analysis import Reading

AT = datetime(2026, 1, 1, tzinfo=UTC)


def vector(*values: str) -> list[dict[str, Any]]:
    return [{"metric": {"pod": str(n)}, "value": [AT.timestamp(), value]} for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("result", "signal"),
    [
        (vector("3.5"), Sample(3.5, AT)),
        (vector("0"), Sample(0.0, AT)),
        ([AT.timestamp(), "2"], Sample(2.0, AT)),
        ([], NoData()),
        (vector("NaN"), NoData()),
        (vector("+Inf"), NoData()),
        (vector("-Inf"), NoData()),
    ],
)
def test_a_number_is_a_sample_and_anything_that_is_none_is_no_data(result: object, signal: Signal) -> None:
    assert signal_of(result) == signal


@pytest.mark.parametrize("result", [vector("1", "2"), vector("one"), None, {}, "1", [{"values": []}], [{"value": [1]}]])
def test_an_answer_of_another_form_is_unavailable(result: object) -> None:
    assert isinstance(signal_of(result), Unavailable)


@pytest.mark.parametrize(
    ("result", "values"),
    [
        (vector("3.5", "0"), (3.5, 0.0)),
        ([AT.timestamp(), "2"], (2.0,)),
        ([], ()),
        (vector("+Inf", "-Inf"), (inf, -inf)),
        (vector(*["1"] * MOST_SERIES), (1.0,) * MOST_SERIES),
    ],
)
def test_all_series_are_read_as_they_are(result: object, values: tuple[float, ...]) -> None:
    assert series_of(result, AT) == Reading(values, AT)


def test_a_series_that_is_no_number_is_read_as_one_that_is_none() -> None:
    told = series_of(vector("NaN"), AT)
    assert isinstance(told, Reading)
    assert isnan(told.values[0])


@pytest.mark.parametrize(
    "result",
    [
        vector("one"),
        vector(*["1"] * (MOST_SERIES + 1)),
        None,
        {},
        "1",
        [{"values": []}],
        [{"value": [1]}],
        [1, 2],
        [[]],
    ],
    ids=str,
)
def test_series_of_another_form_or_without_an_end_are_unavailable(result: object) -> None:
    assert isinstance(series_of(result, AT), Unavailable)


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """A server on loopback whose answer the test sets: status, body."""
    answer: dict[str, Any] = {"status": 200, "body": b"", "headers": {}, "elsewhere": 0}

    async def query(request: web.Request) -> web.Response:
        answer["asked"] = dict(request.query)
        return web.Response(status=answer["status"], body=answer["body"], headers=answer["headers"])

    async def elsewhere(request: web.Request) -> web.Response:
        answer["elsewhere"] += 1
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": vector("7")}})

    application = web.Application()
    application.router.add_get("/api/v1/query", query)
    application.router.add_get("/elsewhere", elsewhere)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", answer
    await runner.cleanup()


async def test_a_query_is_asked_for_its_moment(server: tuple[str, dict[str, Any]]) -> None:
    url, answer = server
    answer["body"] = json.dumps({"status": "success", "data": {"resultType": "vector", "result": vector("7")}})
    store = Prometheus(url)
    assert await store.read('sum(up{a="b"})', AT) == Sample(7.0, AT)
    assert answer["asked"] == {"query": 'sum(up{a="b"})', "time": str(AT.timestamp())}
    store.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"down"),
        (200, b"<html>"),
        (200, b"{}"),
        (200, b'{"data": []}'),
        (200, b"[]"),
        (422, b'{"error": "parse"}'),
        (200, b"[" * 500_000),
        (200, b'{"data":' * 100_000),
        (200, b'{"data": {"result": ' + b"9" * 500_000 + b"}}"),
        (200, gzip.compress(b'{"data": {"result": []}}' + b" " * 30_000_000)),
    ],
)
async def test_every_failure_is_a_value(server: tuple[str, dict[str, Any]], status: int, body: bytes) -> None:
    url, answer = server
    answer.update(status=status, body=body)
    store = Prometheus(url)
    assert isinstance(await store.read("up", AT), Unavailable)
    assert isinstance(await store.read_all("up", AT), Unavailable)
    store.close()


async def test_nobody_is_asked_whom_the_server_names(server: tuple[str, dict[str, Any]]) -> None:
    url, answer = server
    answer.update(status=307, headers={"Location": f"{url}/elsewhere"})
    store = Prometheus(url)
    assert isinstance(await store.read("up", AT), Unavailable)
    assert answer["elsewhere"] == 0
    store.close()


async def test_an_answer_without_an_end_is_not_read_for_long(server: tuple[str, dict[str, Any]]) -> None:
    url, answer = server
    number = json.dumps({"status": "success", "data": {"resultType": "vector", "result": vector("7")}}).encode()
    answer["body"] = number + b" " * LIMIT_BYTES
    store = Prometheus(url)
    assert await store.read("up", AT) == Unavailable(
        f"Prometheus: RequestException: the answer has more than {LIMIT_BYTES} bytes"
    )
    answer["body"] = number + b" " * (LIMIT_BYTES - len(number))
    assert await store.read("up", AT) == Sample(7.0, AT)
    store.close()


async def test_an_answer_that_trickles_does_not_hold_its_thread() -> None:
    released = asyncio.Event()

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not released.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    application = web.Application()
    application.router.add_get("/api/v1/query", trickle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    store = Prometheus(f"http://127.0.0.1:{runner.addresses[0][1]}", timeout_s=0.2)
    answer = await store.read("up", AT)
    released.set()
    store.close()
    await runner.cleanup()
    assert answer == Unavailable("Prometheus: RequestException: the answer takes more than 0.2 s")


async def test_why_it_is_unavailable_is_said_in_the_same_words_each_time() -> None:
    store = Prometheus("http://127.0.0.1:9", timeout_s=1.0)
    refused = Unavailable("Prometheus: ConnectionRefusedError: [Errno 111] Connection refused")
    assert [await store.read(query, AT) for query in ("up", "down")] == [refused, refused]
    store.close()


async def test_it_is_unavailable_while_nobody_is_there_and_not_for_what_one_query_does(
    server: tuple[str, dict[str, Any]],
) -> None:
    assert Prometheus(None).unavailable == await Prometheus(None).read("up", AT)
    url, answer = server
    store = Prometheus(url)
    assert store.unavailable is None
    answer.update(status=422, body=b'{"error": "parse"}')
    await store.read("up(", AT)
    assert store.unavailable is None
    away = Prometheus("http://127.0.0.1:9", timeout_s=1.0)
    assert await away.read("up", AT) == away.unavailable
    away._client = store._client
    answer.update(status=200, body=json.dumps({"status": "success", "data": {"result": vector("7")}}).encode())
    await away.read("up", AT)
    assert away.unavailable is None
    store.close()
    away.close()


async def test_an_absent_server_and_an_absent_address_are_unavailable() -> None:
    store = Prometheus("http://127.0.0.1:9", timeout_s=1.0)
    assert isinstance(await store.read("up", AT), Unavailable)
    store.close()
    assert "PROMETHEUS_URL" in str(await Prometheus(None).read("up", AT))
