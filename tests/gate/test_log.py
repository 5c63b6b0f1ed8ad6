"""What the access log of the example says behind a real Envoy: who, which model and revision, how many tokens; no prompt."""

import json
from typing import Any

import pytest

from examples.local_cluster.progress import wait_for
from tests.support.envoy import BEHIND, Bed
from tests.support.gate import KEY

CHAT = "/v1/chat/completions"
FIELDS = {
    "time", "request", "client", "address", "host", "method", "path", "route", "model", "revision", "pinned", "upstream", "cache",
    "status", "grpc", "why", "milliseconds", "received", "sent", "prompt_tokens", "completion_tokens",
}  # fmt: skip


def line_of(bed: Bed, before: int) -> dict[str, Any]:
    """The one that has come after so many."""
    wait_for("it is logged", lambda: len(bed.logged()) > before, timeout_s=10)
    (line,) = bed.logged()[before:]
    return line


def tokens(line: dict[str, Any]) -> tuple[int | None, int | None]:
    return line["prompt_tokens"], line["completion_tokens"]


def settled(bed: Bed) -> int:
    """How many lines there are once everything that was asked is logged."""
    bed.ask("/settled", key=KEY, method="GET")
    wait_for("all is logged", lambda: any(line["path"] == "/settled" for line in bed.logged()[-1:]), timeout_s=10)
    return len(bed.logged())


def test_a_request_leaves_who_asked_what_and_which_revision_answered(bed: Bed) -> None:
    before = settled(bed)
    assert (
        bed.ask(f"{CHAT}?api_key=sk-ds-in-the-query", {"model": "deepseek-chat", "prompt": "a secret"}, KEY)[0] == 200
    )
    line = line_of(bed, before)
    assert set(line) == FIELDS
    assert {name: line[name] for name in ("client", "model", "revision", "status", "path", "method", "route")} == {
        "client": "alice", "model": "chat", "revision": BEHIND, "status": 200, "path": CHAT, "method": "POST",
        "route": "httproute/team/chat-serve/rule/0/match/0",
    }  # fmt: skip
    assert tokens(line) == (11, 7)
    assert line["received"] > 0
    assert line["sent"] > 0
    assert line["milliseconds"] >= 0
    assert line["request"]
    assert not [word for word in (KEY, "sk-ds", "secret", "Bearer") if word in json.dumps(line)]


def test_whoever_was_refused_left_no_client_no_revision_and_no_tokens(bed: Bed) -> None:
    before = settled(bed)
    assert bed.ask(CHAT, {"model": "chat"}, "sk-ds-guessed", x_deepseek_client="root")[0] == 401
    line = line_of(bed, before)
    assert (line["status"], line["client"], line["revision"], *tokens(line)) == (401, None, None, None, None)


@pytest.mark.parametrize(
    ("asked", "told"), [({"stream_options": {"include_usage": True}}, (11, 7)), ({}, (None, None))]
)
def test_a_stream_tells_tokens_where_its_client_asked_for_them_and_is_not_held_up(
    bed: Bed, asked: dict[str, Any], told: tuple[int | None, int | None]
) -> None:
    before = settled(bed)
    first, heard = bed.streamed(**asked)
    assert b"second" not in first
    assert (b"prompt_tokens" in heard) == bool(asked)
    assert tokens(line_of(bed, before)) == told


LONG = "a" * 300_000


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"text": LONG, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}, (3, 4)),
        ({"text": LONG, "usage": {"prompt_tokens": 3, "total_tokens": 3}}, (3, None)),
        ({"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens": 4}}, (3, 4)),
        ({"text": '"usage": {"prompt_tokens": 99, "completion_tokens": 99}'}, (None, None)),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "text": '"usage": {"prompt_tokens": 99}'}, (3, 4)),
        ({"usage": None}, (None, None)),
        ([], (None, None)),
    ],
)  # fmt: skip
def test_tokens_are_the_engines_whatever_a_model_says(
    bed: Bed, answer: Any, told: tuple[int | None, int | None]
) -> None:
    before = settled(bed)
    status, _, content = bed.ask("/v1/embeddings", {"model": "chat", "answer": answer}, KEY)
    assert (status, json.loads(content)) == (200, answer)
    assert tokens(line_of(bed, before)) == told
