"""The port that Envoy asks at, over real HTTP: what it answers, and what of a request reaches the log."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web

from deepseek_gate.__main__ import _listening
from deepseek_gate.metrics import Metrics
from deepseek_gate.reader import Reader
from deepseek_gate.server import Asking, health
from deepseek_gate.waiting import Waiting
from tests.support.gate import KEY, config_map, entry, models_map, token

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BEARER = {"Authorization": f"Bearer {KEY}"}
ASK = "/authorize/team/keys/v1/chat/completions"
MOST = 100_000


class Fixed:
    """One namespace that never changes, and one that is never read."""

    async def list_config_maps(self, namespace: str) -> list[Mapping[str, Any]]:
        return [config_map("keys", {"alice": entry(KEY, "chat", limits="gold")}), models_map()]


class Gate:
    """Both ports."""

    def __init__(self, session: ClientSession, ports: list[int]) -> None:
        self._session = session
        self.port, self.health_port = ports

    async def ask(
        self, path: str, body: Any = None, headers: Mapping[str, str] = BEARER, method: str = "POST"
    ) -> tuple[int, Mapping[str, str], bytes]:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        url = f"http://127.0.0.1:{self.port}{path}"
        sent = {"Content-Type": "application/json", **headers} if data is not None else headers
        async with self._session.request(method, url, data=data, headers=sent) as response:
            return response.status, response.headers, await response.read()

    async def health(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self.health_port}{path}") as response:
            return response.status, await response.text()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    reader = Reader(Fixed(), ["team", "unread"], lambda: 0.0)
    await reader.read("team")
    waiting = Waiting(reader)
    metrics = Metrics(reader, waiting)
    asking = Asking(reader, waiting, metrics, lambda: NOW, MOST).application()
    runners: list[web.AppRunner] = [
        await _listening("questions", asking, "127.0.0.1", 0),
        await _listening("health", health(reader, metrics), "127.0.0.1", 0),
    ]
    async with ClientSession() as session:
        yield Gate(session, [runner.addresses[0][1] for runner in runners])
    for runner in runners:
        await runner.cleanup()


async def test_a_known_key_goes_on_with_its_identity(gate: Gate) -> None:
    status, headers, _ = await gate.ask(ASK + "?api-version=1", {"model": "deepseek-chat"})
    assert status == 200
    told = {name: value for name, value in headers.items() if name.lower().startswith("x-deepseek")}
    said = {"client": "alice", "limits": "gold", "model": "chat", "route": "team/chat"}
    assert told == {f"x-deepseek-{name}": value for name, value in said.items()}
    assert "authorization" in headers["x-envoy-auth-headers-to-remove"].split(",")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"model": "chat"}, {}, 401),
        ({"model": "chat"}, {"Authorization": "Bearer sk-ds-other"}, 401),
        ({"model": "reasoner"}, BEARER, 403),
        ({"model": "gpt-4o"}, BEARER, 404),
        (b"{", BEARER, 400),
        (b'{"model": "chat"}', {**BEARER, "Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b"\x1f\x8b", {**BEARER, "Content-Encoding": "gzip"}, 415),
        (b"a" * (MOST + 1), BEARER, 413),
        ({"model": "chat"}, {**BEARER, "x-envoy-auth-partial-body": "true"}, 413),
    ],
)
async def test_whatever_is_denied_is_worded_as_openai_words_it(
    gate: Gate, body: Any, headers: Mapping[str, str], status: int
) -> None:
    found, told, content = await gate.ask(ASK, body, headers)
    assert (found, told["Content-Type"]) == (status, "application/json")
    assert set(json.loads(content)["error"]) == {"message", "type", "param", "code"}
    assert not [name for name in told if name.lower().startswith("x-deepseek")]


async def test_a_body_that_does_not_say_its_length_is_bounded_too(gate: Gate) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 10_000

    assert (await gate.ask(ASK, endless()))[0] == 413


async def test_a_namespace_that_was_never_read_lets_nobody_in(gate: Gate) -> None:
    status, headers, _ = await gate.ask(ASK.replace("team", "unread"), {"model": "chat"})
    assert (status, headers["Retry-After"]) == (429, "2")
    assert (await gate.ask(ASK.replace("team", "other"), {"model": "chat"}))[0] == 404
    assert await gate.health("/readyz") == (503, "no keys were read yet")
    assert (await gate.health("/healthz"))[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/authorize", "/authorize/team", "/authorize/team/none/v1/chat/completions", "/models/team", "/%00"],
)
async def test_other_paths_are_nobodys(gate: Gate, path: str) -> None:
    assert (await gate.ask(path, {"model": "chat"}))[0] == 404


async def test_claims_count_where_the_path_says_so(gate: Gate) -> None:
    claims = {
        "Authorization": f"Bearer {token('bob', 'deepseek:chat')}",
        "x-deepseek-jwt-sub": "bob",
        "x-deepseek-jwt-scopes": "deepseek:chat",
    }
    assert (await gate.ask(ASK, {"model": "chat"}, claims))[0] == 401
    for way in ("jwt", "any", "jwt.0a1b2c", "any.0a1b2c"):
        status, headers, _ = await gate.ask(ASK.replace("keys", way), {"model": "chat"}, claims)
        assert (status, headers["x-deepseek-client"]) == (200, "jwt:bob")
        assert (await gate.ask(ASK.replace("keys", way), {"model": "reasoner"}, claims))[0] == 403


CALL = "/grpc/team/keys/chat/inference.GRPCInferenceService/ModelStreamInfer"


async def test_a_call_by_grpc_goes_on_for_the_serving_that_the_policy_names_without_a_body(gate: Gate) -> None:
    status, headers, _ = await gate.ask(CALL)
    assert status == 200
    told = {name: value for name, value in headers.items() if name.lower().startswith("x-deepseek")}
    said = {"client": "alice", "limits": "gold", "model": "chat", "route": "team/chat"}
    assert told == {f"x-deepseek-{name}": value for name, value in said.items()}
    assert "authorization" in headers["x-envoy-auth-headers-to-remove"].split(",")


@pytest.mark.parametrize(
    ("path", "headers", "found"),
    [
        (CALL, {}, (401, "16")),
        (CALL, {"Authorization": "Bearer sk-ds-other"}, (401, "16")),
        (CALL.replace("chat", "r1"), BEARER, (403, "7")),
        (CALL.replace("ModelStreamInfer", "RepositoryModelUnload"), BEARER, (404, "12")),
        (CALL.replace("/inference", "/chat/inference"), BEARER, (404, "12")),
        (CALL.replace("chat", "other"), BEARER, (404, "5")),
        (CALL.replace("team", "unread"), BEARER, (429, "14")),
        ("/grpc/team/keys/chat", BEARER, (404, "12")),
        ("/grpc/team/keys", BEARER, (404, "12")),
        ("/grpc/team/none/chat/inference.GRPCInferenceService/ModelInfer", BEARER, (404, "12")),
    ],
)
async def test_what_is_denied_by_grpc_says_so_in_its_words(
    gate: Gate, path: str, headers: Mapping[str, str], found: tuple[int, str]
) -> None:
    status, told, content = await gate.ask(path, headers=headers)
    assert (status, told["grpc-status"]) == found
    assert content.isascii()
    assert not content.startswith(b"{")
    assert not [name for name in told if name.lower().startswith("x-deepseek")]


async def test_what_matches_no_route_is_told_so(gate: Gate) -> None:
    status, _, content = await gate.ask("/unrouted", {"model": "chat"})
    assert (status, json.loads(content)["error"]["code"]) == (404, "model_not_found")


async def test_what_is_led_here_since_no_replica_was_known_is_told_to_come_again_a_moment_later(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Envoy, which tries a 503 again: by then it knows the replica."""
    monkeypatch.setattr("deepseek_gate.server._AGAIN_S", 0.01)
    routed = {"x-deepseek-route": "team/chat"}
    status, headers, content = await gate.ask("/v1/chat/completions", {"model": "chat"}, headers=routed)
    assert (status, json.loads(content)["error"]["code"]) == (503, "model_not_ready")
    assert headers["Retry-After"] == "1"
    assert (await gate.ask("/v1/chat/completions", {"model": "chat"}, headers={}))[0] == 404
    asked = {**routed, "Authorization": "Bearer of nobody"}
    assert (await gate.ask("/authorize/team/keys/v1/chat/completions", {"model": "chat"}, headers=asked))[0] == 401


async def test_models_are_listed_by_the_gate_itself_for_a_key(gate: Gate) -> None:
    status, headers, _ = await gate.ask("/authorize/team/keys/v1/models", method="GET")
    assert (status, headers.get("x-deepseek-model")) == (200, None)
    status, _, content = await gate.ask("/models/team/keys", method="GET")
    assert status == 200
    assert [one["id"] for one in json.loads(content)["data"]] == ["chat", "deepseek-chat"]
    assert json.loads((await gate.ask("/models/team/keys/deepseek%2Dchat", method="GET"))[2])["id"] == "deepseek-chat"
    assert (await gate.ask("/models/team/keys/reasoner", method="GET"))[0] == 404
    assert (await gate.ask("/models/team/keys", headers={}, method="GET"))[0] == 401


async def test_decisions_are_counted_without_a_name_of_a_client(gate: Gate) -> None:
    await gate.ask(ASK, {"model": "chat"})
    await gate.ask(ASK, {"model": "chat"}, {})
    _, page = await gate.health("/metrics")
    assert 'deepseek_gate_decisions_total{namespace="team",result="allowed",serving="chat"} 1.0' in page
    assert 'deepseek_gate_decisions_total{namespace="team",result="no_key",serving=""} 1.0' in page
    assert "deepseek_gate_decision_seconds_count 2.0" in page
    assert 'deepseek_gate_keys{namespace="team"} 1.0' in page
    assert "alice" not in page


async def test_nothing_of_a_request_reaches_the_log(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="deepseek_gate")
    prompt = "the secret of the company"
    await gate.ask(ASK, {"model": "chat", "prompt": prompt})
    await gate.ask(ASK + f"?key={KEY}", {"model": "gpt-4o", "prompt": prompt})
    await gate.ask(f"/authorize/team/keys/{KEY}", {"model": "chat", "prompt": prompt})
    await gate.ask(ASK, (prompt + KEY).encode())
    assert KEY not in caplog.text
    assert prompt not in caplog.text


async def test_an_own_fault_lets_nobody_in_and_is_told_by_its_type(
    gate: Gate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"about {KEY}")

    monkeypatch.setattr("deepseek_gate.server.permit", broken)
    assert (await gate.ask(ASK, {"model": "chat"}))[0] == 403
    assert "RuntimeError" in caplog.text
    assert KEY not in caplog.text


async def test_large_bodies_wait_outside_when_there_are_too_many(gate: Gate) -> None:
    """Four of the largest size are read at a time; the fifth is told to try again, and finds room when they are gone."""
    gone = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"model": '
        await gone.wait()
        yield b'"chat"}'

    waiting = [asyncio.create_task(gate.ask(ASK, slow())) for _ in range(4)]
    answers = [(await gate.ask(ASK, {"model": "chat"}))[0] for _ in range(50)]
    gone.set()
    assert [(await one)[0] for one in waiting] == [200] * 4
    assert answers[-1] == 429
    assert (await gate.ask(ASK, {"model": "chat"}))[0] == 200
