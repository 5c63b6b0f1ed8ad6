"""What reaches an API server, as it was asked for."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from deepseek_operator.adapters.api_server import ApiServer, path_of
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.core.resources import SERVICE

BODIES: dict[str, Mapping[str, Any]] = {
    "plain": {"b": 1, "a": {"d": [True, None], "c": "x"}},
    "what HTML knows": {"a": '<a href="x">&amp;</a>', "<": "\u2028\u2029"},
    "foreign letters": {"ü": "größer", "\U0001f600": "\uffff", "\uffff": "\x7f"},
    "controls": {"a": "\x00\b\f\n\r\t\x1f\\/"},
    "an integer beyond 64 bits": {"a": 2**70, "<": "&"},
}
QUERIES: list[dict[str, str]] = [
    {},
    {"fieldManager": "deepseek-operator", "force": "true"},
    {"limit": "500", "labelSelector": "app.kubernetes.io/managed-by=deepseek-operator,x in (a, b)"},
    {"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEi+/=&#?% ü"},
]


class _Listener:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.rel_url.raw_path, dict(request.query), await request.read()))
        return web.json_response({})


class _Open:
    """Credentials that anybody has."""

    def __init__(self, server: str) -> None:
        self.server = server

    def ssl_context(self) -> bool:
        return True

    def authorization(self) -> None:
        return None


class _Uncounted:
    def requested(self, *_: object) -> None:
        """Nobody asks."""


@pytest.fixture
def listener() -> _Listener:
    return _Listener()


@pytest_asyncio.fixture
async def server(listener: _Listener) -> AsyncIterator[ApiServer]:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", listener.answer)
    async with TestServer(app) as there:
        credentials = cast(Credentials, _Open(f"http://{there.host}:{there.port}/k8s/clusters/c-1"))
        async with ApiServer(credentials, SystemClock(), _Uncounted()) as server:
            yield server


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_is_written_as_the_server_itself_would(
    server: ApiServer, listener: _Listener, body: dict[str, Any]
) -> None:
    await server.request("create", "POST", "/api", resource="x", body=body)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    assert listener.asked[0][2] == text.encode()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: " ".join(query) or "none")
async def test_a_query_arrives_as_it_was_meant(server: ApiServer, listener: _Listener, query: dict[str, str]) -> None:
    path = path_of(SERVICE, "team", "a.b-c")
    await server.request("get", "GET", path, resource="services", query=query)
    async with server.stream(path, query, idle_s=5) as chunks:
        assert chunks is not None
    asked = ("/k8s/clusters/c-1/api/v1/namespaces/team/services/a.b-c", query, b"")
    assert listener.asked == [asked, asked]


async def test_no_cookie_of_whoever_stands_before_it_is_sent_back() -> None:
    told: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        told.append(request.headers.get("Cookie", ""))
        response = web.json_response({})
        response.set_cookie("route", "server-1")
        return response

    app = web.Application()
    app.router.add_get("/version", answer)
    async with TestServer(app) as there:
        # By its name: of addresses no client library keeps any by itself.
        credentials = cast(Credentials, _Open(f"http://localhost:{there.port}"))
        async with ApiServer(credentials, SystemClock(), _Uncounted()) as server:
            for _ in range(2):
                await server.request("get", "GET", "/version", resource="version")
    assert told == ["", ""]
