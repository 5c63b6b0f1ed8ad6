"""Answers before a revision, by a real nginx: which are kept, for whom, and what lies where."""

import json
import re
import socket
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.domain.programs.answer_cache.configuration import RESULT_HEADER
from examples.local_cluster.progress import wait_for
from tests.support.answering import Backend
from tests.support.nginx import CACHED, Nginx

MI = 1024 * 1024
PROMPTS = (f"prompt {number}" for number in count())
SECRET = b"the secret of the company"


def question(**more: Any) -> bytes:
    """A body that nobody has sent before, at temperature 0."""
    return json.dumps({"model": "chat", "prompt": next(PROMPTS), "temperature": 0, **more}).encode()


def met(nginx: Nginx, body: bytes, times: int = 3, **how: Any) -> list[str]:
    """What so many questions with the same body meet."""
    found = []
    for _ in range(times):
        found.append(nginx.ask(body, **how)[1])
        time.sleep(0.02)  # A client has the whole answer before nginx has given its file the name by which it is found.
    return found


KEPT, PASSED = ["MISS", "MISS", "HIT"], ["BYPASS"] * 3


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_an_answer_is_kept_once_it_was_asked_for_twice(nginx: Nginx, backend: Backend, path: str) -> None:
    body, before = question(), len(backend.asked)
    answers = [nginx.ask(body, path=path) for _ in range(5)]
    assert [said for _, said, _ in answers] == ["MISS", "MISS", "HIT", "HIT", "HIT"]
    assert len(backend.asked) == before + 2
    assert answers[1][2] == answers[2][2] == answers[4][2]


def test_another_client_revision_path_or_body_is_another_answer(nginx: Nginx, other: Nginx) -> None:
    body = question()
    assert met(nginx, body) == KEPT
    for differs in ({"client": "bob"}, {"client": "alice " + "x"}, {"path": "/v1/chat/completions"}):
        assert nginx.ask(body, **differs)[1] == "MISS"
    assert nginx.ask(body + b" ")[1] == "MISS"
    assert other.ask(body)[1] == "MISS"
    assert nginx.ask(body)[1] == "HIT"


def test_what_another_revision_has_left_is_never_given(backend: Backend, folder: Path) -> None:
    body = question()
    for revision, meets in (("chat-1", KEPT), ("chat-1", ["HIT"] * 3), ("chat-2", KEPT)):
        cached = replace(CACHED, revision=revision, port=backend.port)
        with Nginx(folder / "left", cached).running() as nginx:
            assert met(nginx, body) == meets


def test_an_answer_is_given_no_longer_than_it_may_be_kept(other: Nginx) -> None:
    body = question()
    assert met(other, body) == KEPT
    time.sleep(3)
    assert other.ask(body)[1] in ("EXPIRED", "MISS")


def _written(rest: str) -> bytes:
    return b'{"model": "chat", "prompt": "%s", %s}' % (next(PROMPTS).encode(), rest.encode())


@pytest.mark.parametrize("rest", ['"temperature": 0', '"temperature":0.0', '"temperature" :\n 0.00 , "n": 1'])
def test_a_temperature_of_zero_that_is_said_once_is_kept(nginx: Nginx, rest: str) -> None:
    assert met(nginx, _written(rest)) == KEPT


@pytest.mark.parametrize("stream", ["false", "null"])
def test_an_answer_that_is_said_to_be_no_stream_is_kept(nginx: Nginx, stream: str) -> None:
    assert met(nginx, _written(f'"stream": {stream}, "temperature": 0')) == KEPT


def test_a_prompt_about_temperatures_is_kept_like_any_other(nginx: Nginx) -> None:
    assert met(nginx, question(messages=[{"content": 'set "temperature": 0.7, or "stream": true'}])) == KEPT


@pytest.mark.parametrize(
    "rest",
    [
        '"n": 1',
        '"temperature": 0.7',
        '"temperature": 1e-9',
        '"temperature": -0',
        '"temperature": 0e0',
        '"temperature": 1e-400',
        '"temperature": "0"',
        '"temperature": null',
        '"temperature": false',
        '"temperature": [0]',
        '"temperature": 00',
        '"Temperature": 0',
        '"options": {"temperature": 0}',
        '"note": "\\"temperature\\": 0"',
        '"note": "\\"temperature\\": 0, ", "temperature": 0.7',
        '"temperature": 0.7, "temperature": 0',
        '"temperature": 0, "temperature": 0.7',
        '"temperature": 0, "options": {"temperature": 0.7}',
        '"temper\\u0061ture": 0.7, "temperature": 0',
        '"temperature": 0, "temper\\u0061ture": 0.7',
        '"temper\\u0061ture": 0',
        '"temperature": 0, "stream": 1',
        '"temperature": 0, "stream": "false"',
        '"temperature": 0,',
    ],
)
def test_any_other_body_is_passed(nginx: Nginx, rest: str) -> None:
    assert met(nginx, _written(rest)) == PASSED


@pytest.mark.parametrize("body", [b"", b"null", b"0", b'[{"temperature": 0}]', b'"temperature": 0', b"\xff\xfe{}"])
def test_what_is_no_object_is_passed(nginx: Nginx, body: bytes) -> None:
    assert met(nginx, body, 1) == ["BYPASS"]


@pytest.mark.parametrize(
    "how",
    [
        {"client": None},
        {"client": ""},
        {"path": "/v1/completions?n=1"},
        {"path": "/v1/responses"},
        {"path": "//v1/completions"},
        {"path": "/v1/./completions"},
        {"Cache_Control": "no-cache"},
        {"Content_Encoding": "gzip"},
        {"Range": "bytes=0-1"},
    ],
)
def test_any_other_request_is_passed(nginx: Nginx, backend: Backend, how: dict[str, Any]) -> None:
    body, before = question(), len(backend.asked)
    assert met(nginx, body, **how) == PASSED
    assert len(backend.asked) == before + 3


def test_other_methods_and_the_other_paths_of_the_api_are_passed(nginx: Nginx) -> None:
    assert nginx.ask(b"", path="/v1/models", method="GET")[:2] == (200, "BYPASS")


@pytest.mark.parametrize(
    ("status", "content_type"), [(500, "application/json"), (201, "application/json"), (200, "text/plain")]
)
def test_only_whole_answers_in_json_are_kept(nginx: Nginx, backend: Backend, status: int, content_type: str) -> None:
    backend.status, backend.content_type = status, content_type
    try:
        body = question()
        assert met(nginx, body, 4) == ["MISS"] * 4
    finally:
        backend.status, backend.content_type = 200, "application/json"


def test_the_same_headers_reach_the_replica(nginx: Nginx, backend: Backend) -> None:
    for body in (question(), question(temperature=1)):
        nginx.ask(body, Host="chat.example.com", x_request_id="7", traceparent="00-1-2-03")
        said = {
            "host": "chat.example.com",
            "x-request-id": "7",
            "traceparent": "00-1-2-03",
            "x-deepseek-client": "alice",
        }
        assert said.items() <= backend.headers.items()


@pytest.mark.parametrize("more", [{}, {"prompt": "a" * (2 * MI)}], ids=["short", "long"])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_stream_comes_as_it_is_written(
    nginx: Nginx, backend: Backend, more: dict[str, str], is_chunked: bool
) -> None:
    backend.go_on.clear()
    backend.is_chunked = is_chunked
    body = question(stream=True, **more)
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nX-DeepSeek-Client: alice\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", nginx.port), 30) as client:
        client.sendall(head.encode() + body)
        heard = b""
        while b"data: first" not in heard:
            heard += client.recv(4096)
        assert b"second" not in heard
        backend.go_on.set()
        while b"data: second" not in heard:
            heard += client.recv(4096)
    assert f"{RESULT_HEADER}: BYPASS".encode() in heard


def test_a_stream_goes_on_while_nginx_ends(backend: Backend, folder: Path) -> None:
    backend.go_on.clear()
    body = question(stream=True)
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nX-DeepSeek-Client: alice\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    ending = Nginx(folder / "ending", replace(CACHED, port=backend.port))
    with ending.running() as nginx, socket.create_connection(("127.0.0.1", nginx.port), 30) as client:
        client.sendall(head.encode() + body)
        heard = b""
        while b"data: first" not in heard:
            heard += client.recv(4096)
        nginx.quit()
        wait_for("nobody new is let in", lambda: not nginx.is_open(), timeout_s=30)
        backend.go_on.set()
        while b"data: second" not in heard:
            heard += client.recv(4096)


def _of(size: int) -> bytes:
    start, end = b'{"temperature": 0, "prompt": "', b'"}'
    return start + SECRET + b"a" * (size - len(start) - len(end) - len(SECRET)) + end


@pytest.mark.parametrize("size", [MI, MI + 1, 32 * MI])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_passes_whole_and_lies_in_no_file(
    nginx: Nginx, backend: Backend, size: int, is_chunked: bool
) -> None:
    seen: list[list[bytes]] = []
    backend.on_request = lambda: seen.append(nginx.stored())
    try:
        status, said, _ = nginx.ask(_of(size), Transfer_Encoding="chunked") if is_chunked else nginx.ask(_of(size))
    finally:
        backend.on_request = lambda: None
    assert (status, said) == (200, "MISS" if size == MI and not is_chunked else "BYPASS")
    assert len(backend.asked[-1]) == size
    assert not any(SECRET in content for content in seen[0])


def test_a_larger_one_is_refused(nginx: Nginx, backend: Backend) -> None:
    before = len(backend.asked)
    assert nginx.ask(_of(33 * MI))[0] == 413
    assert len(backend.asked) == before


def test_what_is_asked_stands_neither_beside_the_answer_nor_in_a_log(nginx: Nginx, backend: Backend) -> None:
    body = question(prompt=SECRET.decode(), temperature=0)
    assert met(nginx, body, Authorization="Bearer sk-ds-secret") == KEPT
    backend.status = 500
    nginx.ask(question(prompt=SECRET.decode(), n=2), Authorization="Bearer sk-ds-secret")
    backend.status = 200
    kept = nginx.stored()
    assert any(b'{"answer"' in content for content in kept)
    for content in (*kept, nginx.log.read_bytes()):
        assert SECRET not in content
        assert b"sk-ds-secret" not in content


def test_what_requests_met_is_counted(nginx: Nginx) -> None:
    before = counted(nginx)
    met(nginx, question(), 4)
    met(nginx, question(temperature=1), 2)
    after = counted(nginx)
    assert {result: after[result] - before[result] for result in after} == {
        "hit": 2,
        "miss": 2,
        "expired": 0,
        "bypass": 2,
    }


def counted(nginx: Nginx) -> dict[str, int]:
    found = re.findall(
        r'^deepseek_cache_requests_total\{result="(\w+)"\} (\d+)$', nginx.health("/metrics"), re.MULTILINE
    )
    return {result: int(number) for result, number in found}


def test_health_and_metrics_are_not_for_clients(nginx: Nginx, backend: Backend) -> None:
    before = len(backend.asked)
    for path in ("/metrics", "/ready"):
        assert nginx.ask(b"", path=path, method="GET")[:2] == (200, "BYPASS")
    assert len(backend.asked) == before + 2
