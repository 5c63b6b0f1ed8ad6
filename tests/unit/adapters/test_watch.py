"""What a line of a watch is taken for: an event of the right shape, or the reason why the stream can't go on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deepseek_operator.adapters.answers import decoded, page_of
from deepseek_operator.adapters.watch import lines, told
from deepseek_operator.core.resources import JOB
from deepseek_operator.ports.cluster import (
    ClusterError,
    Conflict,
    Forbidden,
    Outdated,
    Rejected,
    Throttled,
    Unreachable,
)
from deepseek_operator.ports.streams import Garbled, Told

METADATA = {"name": "j", "namespace": "team", "uid": "u", "resourceVersion": "7"}
A_JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": METADATA}


def line(type_: object, object_: object) -> bytes:
    return json.dumps({"type": type_, "object": object_}).encode()


def failure(**status: Any) -> bytes:
    return line("ERROR", {"kind": "Status", **status})


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED", "DELETED"])
def test_an_event_is_taken_with_the_version_that_it_brings(type_: str) -> None:
    assert told(line(type_, A_JOB), JOB) == Told(type_, "7", A_JOB)


def test_a_bookmark_is_only_a_version() -> None:
    bookmark = {
        "kind": "Job",
        "metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}},
    }
    assert told(line("BOOKMARK", bookmark), JOB) == Told(None, "9", {})


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (failure(code=410, reason="Expired"), Outdated),
        (failure(code=410), Outdated),
        (failure(reason="Expired"), Outdated),
        (failure(reason="Gone"), Outdated),
        (failure(code=500), Unreachable),
        (failure(code=504), Unreachable),
        (failure(code=429), Throttled),
        (failure(code=403), Forbidden),
        (failure(code=400), Rejected),
        (failure(code=409), Conflict),
        (failure(), Unreachable),
        (failure(code="410"), Unreachable),
        (failure(code=None, message=None, details=[]), Unreachable),
        (line("ERROR", {}), Unreachable),
    ],
)
def test_an_error_in_the_stream_is_known_by_its_code_or_its_reason(words: bytes, error: type[ClusterError]) -> None:
    with pytest.raises(ClusterError) as caught:
        told(words, JOB)
    assert type(caught.value) is error


def test_a_wish_to_wait_is_kept() -> None:
    with pytest.raises(Throttled) as caught:
        told(failure(code=429, details={"retryAfterSeconds": 3}), JOB)
    assert caught.value.retry_after_s == 3.0


@pytest.mark.parametrize(
    "words",
    [
        b"garbage",
        b"<html><body>502 Bad Gateway</body></html>",
        b"\xff\xfe\x00",
        b'{"type": "ADDED", "object": {"kind": "Jo',
        b"[]",
        b"7",
        b"null",
        b'"ADDED"',
        b"{}",
        b"[" * 100_000,
        json.dumps(A_JOB).encode(),
        line("ERROR", None),
        line("BOOKMARK", None),
        line("BOOKMARK", {"metadata": {}}),
        line("BOOKMARK", {"metadata": {"resourceVersion": ""}}),
        line("ADDED", None),
        line("ADDED", []),
        line("ADDED", {}),
        line("ADDED", {"kind": "Job", "metadata": None}),
        line("ADDED", {**A_JOB, "kind": "Pod"}),
        line("ADDED", {**A_JOB, "metadata": {**METADATA, "resourceVersion": "abc"}}),
        line("ADDED", {**A_JOB, "metadata": {**METADATA, "resourceVersion": 7}}),
        line("ADDED", {**A_JOB, "metadata": {**METADATA, "uid": ""}}),
        line("ADDED", {**A_JOB, "metadata": {**METADATA, "namespace": None}}),
        line("ADDED", {**A_JOB, "metadata": {**METADATA, "labels": ["a"]}}),
        line("added", A_JOB),
        line("SYNCED", A_JOB),
        line(None, A_JOB),
    ],
)
def test_whatever_else_arrives_is_garbage_and_nothing_worse(words: bytes) -> None:
    with pytest.raises(Garbled) as caught:
        told(words, JOB)
    assert len(str(caught.value)) < 600


async def cut_into(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_lines_are_found_however_the_bytes_are_cut_and_empty_ones_are_left_out() -> None:
    text = b'{"a": 1}\n\n{"b": 2}\r\n\n'
    for size in range(1, len(text)):
        chunks = (text[at : at + size] for at in range(0, len(text), size))
        found = [json.loads(line) async for line in lines(cut_into(*chunks))]
        assert found == [{"a": 1}, {"b": 2}]


async def test_a_stream_that_ends_within_a_line_is_told_from_one_that_ends() -> None:
    found = lines(cut_into(b"whole\nha", b"lf"))
    assert await anext(found) == b"whole"
    with pytest.raises(Garbled, match="ended within a line: half"):
        await anext(found)


async def test_a_line_without_end_is_given_up_at_the_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 64

    with pytest.raises(Garbled, match="more than 1000 bytes"):
        async for _ in lines(endless(), limit=1000):
            pass


def test_an_object_nested_deeper_than_can_be_read_hides_no_other() -> None:
    deep = b'{"name": "[]{", "deep": ' + b'{"a": [' * 50_000 + b"1" + b"]}" * 50_000 + b"}"
    found = decoded(b'{"items": [' + deep + b', {"name": "other"}]}')
    assert found["items"][1] == {"name": "other"}
    assert found["items"][0]["name"] == "[]{"
    inner, levels = found["items"][0]["deep"], 0
    while inner is not None:
        inner, levels = inner["a"][0] if isinstance(inner.get("a"), list) else None, levels + 1
    assert 50 < levels < 200


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"items": []},
        {"metadata": {"resourceVersion": "1"}},
        {"metadata": {"resourceVersion": ""}, "items": []},
        {"metadata": [], "items": []},
        {"metadata": {"resourceVersion": "1"}, "items": {}},
        {"metadata": {"resourceVersion": "1"}, "items": [None]},
        {"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "x"}}]},
        {"kind": "Status", "status": "Failure"},
    ],
)
def test_an_answer_that_is_no_list_is_a_failed_request(answer: dict[str, Any]) -> None:
    with pytest.raises(Unreachable, match="no list of jobs"):
        page_of(answer, JOB)


def test_a_page_says_what_comes_next_and_its_items_what_they_are() -> None:
    answer = {"metadata": {"resourceVersion": "5", "continue": "next"}, "items": [{"metadata": METADATA}]}
    listing, rest = page_of(answer, JOB)
    assert (listing.resource_version, list(listing.items), rest) == ("5", [A_JOB], "next")
    assert page_of({"metadata": {"resourceVersion": "5"}, "items": None}, JOB)[1] == ""
