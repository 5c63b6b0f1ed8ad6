"""The gate behind a real Envoy: what clients get, what reaches the engine, and what no client can make it believe."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from examples.local_cluster.progress import wait_for
from tests.support.envoy import MOST, Bed, keys_of
from tests.support.gate import KEY, entry, models_map, token

CHAT = "/v1/chat/completions"
REVOKED_WITHIN_S = 5.0


def reached(content: bytes) -> dict[str, str]:
    """Headers that the backend got."""
    headers: dict[str, str] = json.loads(content)["headers"]
    return headers


def error(content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content)["error"]
    return found


def test_a_key_reaches_the_serving_of_the_model_with_its_identity(bed: Bed) -> None:
    for shown in ({"key": KEY}, {"x_api_key": KEY}):
        status, _, content = bed.ask(CHAT, {"model": "deepseek-chat"}, **shown)
        headers = reached(content)
        assert (status, headers["x-reached"]) == (200, "chat")
        assert {name: value for name, value in headers.items() if name.startswith("x-deepseek")} == {
            "x-deepseek-client": "alice",
            "x-deepseek-limits": "gold",
            "x-deepseek-model": "chat",
            "x-deepseek-route": "team/chat",
            "x-deepseek-counted": "true",
        }


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        (None, {"model": "chat"}, 401, "invalid_api_key"),
        ("sk-ds-guessed", {"model": "chat"}, 401, "invalid_api_key"),
        (KEY, {"model": "reasoner"}, 403, "insufficient_permissions"),
        (KEY, {"model": "gpt-4o"}, 404, "model_not_found"),
        (KEY, b'{"model": "chat", "model": "reasoner"}', 400, None),
        (KEY, b"model=chat", 400, None),
    ],
)
def test_a_client_is_told_why_in_openais_form(
    bed: Bed, key: str | None, body: Any, status: int, code: str | None
) -> None:
    found, headers, content = bed.ask(CHAT, body, key)
    assert (found, error(content)["code"]) == (status, code)
    assert headers["content-type"] == "application/json"
    assert ("www-authenticate" in headers) == (status == 401)


def test_a_revoked_key_is_worth_nothing_within_five_seconds(bed: Bed) -> None:
    bed.config_maps[0] = {**keys_of(bob=entry("sk-ds-bob", "*")), "metadata": changed(bed, "2")}
    begun = time.monotonic()
    while bed.ask(CHAT, {"model": "chat"}, "sk-ds-bob")[0] != 200:
        assert time.monotonic() - begun < REVOKED_WITHIN_S
    bed.config_maps[0] = {**keys_of(), "metadata": changed(bed, "3")}
    begun = time.monotonic()
    while bed.ask(CHAT, {"model": "chat"}, "sk-ds-bob")[0] != 401:
        assert time.monotonic() - begun < REVOKED_WITHIN_S
    assert bed.ask(CHAT, {"model": "chat"}, KEY)[0] == 200


def changed(bed: Bed, version: str) -> dict[str, Any]:
    return {**bed.config_maps[0]["metadata"], "resourceVersion": version}


def test_what_only_the_gateway_may_say_is_stripped_from_what_clients_say(bed: Bed) -> None:
    spoofed = {
        "x_deepseek_client": "root",
        "X_DeepSeek_Model": "r1",
        "x_deepseek_revision": "chat-1",
        "x_deepseek_jwt_sub": "root",
        "x_deepseek_jwt_scopes": "deepseek:*",
    }
    status, _, content = bed.ask(CHAT, {"model": "chat"}, KEY, **spoofed)
    headers = reached(content)
    assert (status, headers["x-reached"], headers["x-deepseek-client"]) == (200, "chat", "alice")
    assert not {"x-deepseek-revision", "x-deepseek-jwt-sub", "x-deepseek-jwt-scopes"} & set(headers)
    assert bed.ask(CHAT, {"model": "chat"}, **spoofed)[0] == 401


def test_what_a_client_writes_reaches_nobody_also_where_nothing_strips_it_before(careless: Bed) -> None:
    spoofed = {
        "x_deepseek_client": "root",
        "x_deepseek_model": "r1",
        "x_deepseek_revision": "chat-1",
        "x_deepseek_limits": "gold",
        "x_deepseek_route": "team/r1",
        "x_deepseek_jwt_sub": "root",
        "x_deepseek_jwt_scopes": "deepseek:*",
    }
    status, _, content = careless.ask(CHAT, {"model": "chat"}, "sk-ds-bob", **spoofed)
    headers = reached(content)
    assert (status, headers["x-reached"]) == (200, "chat")
    assert {name: value for name, value in headers.items() if name.startswith("x-deepseek")} == {
        "x-deepseek-client": "bob",
        "x-deepseek-model": "chat",
        "x-deepseek-route": "team/chat",
        "x-deepseek-counted": "true",
    }
    assert careless.ask(CHAT, {"model": "chat"}, **spoofed)[0] == 401
    assert careless.ask(CHAT, {"model": "reasoner"}, "sk-ds-bob", **spoofed)[0] == 403


def test_no_key_reaches_the_replicas(bed: Bed) -> None:
    for shown in ({"key": KEY}, {"x_api_key": KEY}):
        status, _, content = bed.ask(CHAT, {"model": "chat"}, **shown)
        assert status == 200
        assert KEY not in content.decode()


def test_large_bodies_pass_whole_and_larger_ones_are_refused(bed: Bed) -> None:
    def of(size: int) -> bytes:
        start, end = b'{"model": "chat", "prompt": "', b'"}'
        return start + b"a" * (size - len(start) - len(end)) + end

    status, _, content = bed.ask(CHAT, of(MOST - 1), KEY)
    assert (status, json.loads(content)["bytes"]) == (200, MOST - 1)
    assert bed.ask(CHAT, of(33 * 1024 * 1024), KEY)[0] == 413
    assert bed.ask(CHAT, of(20 * 1024 * 1024), "sk-ds-guessed")[0] == 401


def test_streams_come_as_they_are_written(bed: Bed) -> None:
    first, heard = bed.streamed()
    assert b"second" not in first
    assert b"data: second" in heard


def test_models_are_listed_for_the_key(bed: Bed) -> None:
    status, _, content = bed.ask("/v1/models", key=KEY, method="GET")
    assert (status, [one["id"] for one in json.loads(content)["data"]]) == (200, ["chat", "deepseek-chat"])
    assert json.loads(bed.ask("/v1/models/chat", key=KEY, method="GET")[2])["id"] == "chat"
    assert bed.ask("/v1/models/reasoner", key=KEY, method="GET")[0] == 404
    assert bed.ask("/v1/models", method="GET")[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        "/v1/load_lora_adapter",
        "/v1/chat/../load_lora_adapter",
        "/v1/chat/completions/..%2f..%2fload_lora_adapter",
        "/metrics",
        "/",
    ],
)
def test_an_engines_other_paths_are_closed(bed: Bed, path: str) -> None:
    assert bed.ask(path, {"model": "chat"}, KEY)[0] in (404, 307)


def test_a_header_twice_is_one_key_or_none(bed: Bed) -> None:
    body = b'{"model": "chat"}'
    lines = f"Authorization: Bearer {KEY}\r\nAuthorization: Bearer sk-ds-guessed\r\n"
    with socket.create_connection(("127.0.0.1", bed.port), 30) as client:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nHost: a\r\n{lines}Content-Type: application/json\r\nContent-Length: {len(body)}"
        )
        client.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        assert b" 401 " in client.recv(4096).split(b"\r\n")[0]


def test_a_verified_token_is_judged_by_its_scopes(verified: Bed) -> None:
    scopes = "openid deepseek:chat"
    claims = {"x_deepseek_jwt_sub": "bob", "x_deepseek_jwt_scopes": scopes}
    shown = token("bob", scopes)
    status, _, content = verified.ask(CHAT, {"model": "chat"}, shown, **claims)
    assert (status, reached(content)["x-deepseek-client"]) == (200, "jwt:bob")
    assert verified.ask(CHAT, {"model": "reasoner"}, shown, **claims)[0] == 403
    assert verified.ask(CHAT, {"model": "chat"}, token("bob", "openid"), **claims)[0] == 401
    assert verified.ask(CHAT, {"model": "chat"}, **claims)[0] == 401
    assert verified.ask(CHAT, {"model": "chat"})[0] == 401
    assert verified.ask(CHAT, {"model": "chat"}, KEY)[0] == 401


def test_a_pinned_key_is_sent_to_its_revision(bed: Bed) -> None:
    pinned = entry("sk-ds-pinned", "chat", revision="chat-2")
    gone = entry("sk-ds-gone", "chat", revision="chat-0")
    bed.config_maps[:] = [{**keys_of(pinned=pinned, gone=gone), "metadata": changed(bed, "9")}, models_map()]
    begun = time.monotonic()
    while (answer := bed.ask(CHAT, {"model": "chat"}, "sk-ds-pinned"))[0] != 200:
        assert time.monotonic() - begun < REVOKED_WITHIN_S
    assert reached(answer[2])["x-deepseek-revision"] == "chat-2"
    assert bed.ask(CHAT, {"model": "chat"}, "sk-ds-gone")[0] == 400


def test_a_name_that_one_revision_alone_answers_to_is_sent_there(bed: Bed) -> None:
    revisions: dict[str, Any] = {"chat-1": {}, "chat-2": {}}
    entries = {
        "chat": {"serving": "chat", "revisions": revisions},
        "come": {"serving": "chat", "revisions": {"chat-2": {}}, "only": "chat-2"},
        "later": {"serving": "chat", "revisions": {}, "ready": 0, "holdSeconds": 0},
    }
    models = models_map({"models": entries})
    models["metadata"]["resourceVersion"] = "91"
    before, bed.config_maps[:] = list(bed.config_maps), [bed.config_maps[0], models]
    try:
        begun = time.monotonic()
        while (answer := bed.ask(CHAT, {"model": "come"}, KEY))[0] != 200:
            assert time.monotonic() - begun < REVOKED_WITHIN_S
        assert reached(answer[2])["x-deepseek-route"] == "team/chat/chat-2"
        assert "x-deepseek-revision" not in reached(answer[2])
        assert reached(bed.ask(CHAT, {"model": "chat"}, KEY)[2])["x-deepseek-route"] == "team/chat"
        status, headers, content = bed.ask(CHAT, {"model": "later"}, KEY)
        assert (status, headers["retry-after"]) == (429, "5")
        assert json.loads(content)["error"]["code"] == "model_not_ready"
    finally:
        bed.config_maps[:] = before


def _sleeping(bed: Bed, version: str, ready: int) -> None:
    """All names are of a serving with so many replicas, for which a request waits at most 12 s."""
    entry_of = {"serving": "chat", "ready": ready, "holdSeconds": 12}
    models = models_map({"models": {"chat": entry_of}})
    models["metadata"]["resourceVersion"] = version
    bed.config_maps[:] = [bed.config_maps[0], models]


def _waiting(bed: Bed) -> float:
    """Requests that are held, by the gate's metric; -1: it knows no such serving."""
    found = re.search(r'deepseek_gate_waiting\{namespace="team",serving="chat"\} (\S+)', bed.gate.health("/metrics")[1])
    return float(found[1]) if found else -1


def test_requests_for_a_sleeping_serving_are_held_until_it_has_a_replica(bed: Bed) -> None:
    _sleeping(bed, "10", 0)
    time.sleep(2 * REVOKED_WITHIN_S / 3)
    with ThreadPoolExecutor(20) as clients:
        asked = [clients.submit(bed.ask, CHAT, {"model": "chat"}, KEY) for _ in range(20)]
        wait_for("all are held", lambda: _waiting(bed) == 20, timeout_s=30)
        _sleeping(bed, "11", 1)
        assert [one.result(30)[0] for one in asked] == [200] * 20
    assert _waiting(bed) == 0


def test_whoever_waits_in_vain_is_told_when_to_come_again(bed: Bed) -> None:
    _sleeping(bed, "12", 0)
    wait_for("it is known", lambda: _status_of_a_hold(bed) == 429, timeout_s=60)
    status, headers, content = bed.ask(CHAT, {"model": "chat"}, KEY)
    assert (status, headers["retry-after"], error(content)["code"]) == (429, "5", "model_not_ready")


def _status_of_a_hold(bed: Bed) -> int:
    return bed.ask(CHAT, {"model": "chat"}, KEY)[0]


def test_a_client_that_goes_is_held_no_longer(bed: Bed) -> None:
    _sleeping(bed, "13", 0)
    body = b'{"model": "chat"}'
    head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json"
    with socket.create_connection(("127.0.0.1", bed.port), 30) as client:
        client.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for("it is held", lambda: _waiting(bed) == 1, timeout_s=10)
    wait_for("it is held no longer", lambda: _waiting(bed) == 0, timeout_s=8)
    _sleeping(bed, "14", 1)
    wait_for("it is awake", lambda: bed.ask(CHAT, {"model": "chat"}, KEY)[0] == 200, timeout_s=30)


def test_without_a_gate_nobody_is_let_in_and_no_log_has_a_key_or_a_prompt(bed: Bed) -> None:
    """The last of this file: the gate is gone after it."""
    bed.ask(CHAT, {"model": "chat", "prompt": "the secret of the company"}, KEY)
    process = bed.gate.process
    assert process is not None
    process.terminate()
    assert process.wait(30) == 0
    assert bed.ask(CHAT, {"model": "chat"}, KEY)[0] == 403
    wait_for("it is logged", lambda: bed.logged()[-1]["status"] == 403, timeout_s=10)
    assert ("alice", 200) in [(line["client"], line["status"]) for line in bed.logged()]
    logs = bed.gate.log.read_text() + bed.log.read_text()
    assert KEY not in logs
    assert "the secret of the company" not in logs
