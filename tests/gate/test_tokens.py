"""`limits.tokensPerMinute`, from the manifests that the operator renders to 429, by everything that takes part in it."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.progress import wait_for
from tests.support.envoy import USAGE
from tests.support.gate import config_map, entry
from tests.support.metered import HOSTS, MOST, Metered
from tests.support.translation import statuses

CHAT, ANY = "/v1/chat/completions", "/v1/embeddings"
TOLD: dict[str, Any] = {"stream_options": {"include_usage": True}}
AN_ANSWER = USAGE["prompt_tokens"] + USAGE["completion_tokens"]
numbers = count()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metered]:
    made = Metered(tmp_path_factory.mktemp("metered"), tokensPerMinute=MOST)
    made.config_maps.append(CLIENTS)
    yield from made.run()


CLIENTS = config_map("keys", {f"client-{number}": entry(f"sk-ds-{number}", "chat") for number in range(60)})


def a_key() -> str:
    """Of a client that nobody has counted yet."""
    return f"sk-ds-{next(numbers)}"


def left(bed: Metered, key: str) -> int:
    """Tokens that the client has left, as it is told with each answer; -1: it is told 429. Listing costs nothing."""
    status, headers, _ = bed.ask("/v1/models", key=key, method="GET")
    if status == 429:
        return -1
    assert status == 200
    return int(headers["x-ratelimit-remaining"])


def counts(bed: Metered, key: str, expected: int) -> None:
    """So many are left, soon: an answer is counted once it is over."""
    wait_for(f"{expected} tokens are left", lambda: left(bed, key) == expected, timeout_s=20)


def answer(bed: Metered, key: str, told: Any, path: str = ANY) -> int:
    """Asks for that answer."""
    status, _, _ = bed.ask(path, {"model": "chat", "answer": told}, key)
    return status


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}}


def test_envoy_gateway_takes_all_that_the_operator_and_the_administrator_write(bed: Metered) -> None:
    for kind in ("httpRoutes", "backendTrafficPolicies", "securityPolicies", "envoyExtensionPolicies"):
        told = statuses(bed.found, kind)
        assert told
        assert {status for _, status in told} == {"True"}, kind


def test_a_client_over_its_tokens_is_told_429_and_no_other_is(bed: Metered) -> None:
    alice, bob = a_key(), a_key()
    assert answer(bed, alice, usage(30, MOST - 30)) == 200
    counts(bed, alice, 0)
    assert answer(bed, alice, usage(1, 0)) == 200, "all are used up, and none too many"
    counts(bed, alice, -1)
    status, headers, _ = bed.ask(CHAT, {"model": "chat"}, alice)
    assert (status, headers["x-ratelimit-remaining"]) == (429, "0")
    assert answer(bed, bob, usage(1, 1)) == 200
    counts(bed, bob, MOST - 2)


def test_a_request_that_is_let_in_may_take_more_than_is_left(bed: Metered) -> None:
    key = a_key()
    assert answer(bed, key, usage(1000, 9000)) == 200
    counts(bed, key, -1)


def test_a_stream_is_counted_when_it_ends(bed: Metered) -> None:
    key = a_key()
    first, heard = bed.streamed(key, **TOLD)
    assert b"prompt_tokens" not in first
    assert b"prompt_tokens" in heard
    counts(bed, key, MOST - AN_ANSWER)


def test_a_stream_that_its_client_leaves_costs_what_has_come(bed: Metered) -> None:
    key = a_key()
    bed.streamed(key, is_left=True, **TOLD)
    counts(bed, key, MOST - 1)
    bed.go_on.set()


def test_a_stream_that_would_tell_no_tokens_is_refused_with_what_to_write(bed: Metered) -> None:
    key = a_key()
    for path in (CHAT, "/v1/completions"):
        status, _, content = bed.ask(path, {"model": "chat", "stream": True}, key)
        assert status == 400
        assert b"include_usage" in content
    assert left(bed, key) == MOST


@pytest.mark.parametrize(
    ("told", "costs"),
    [
        ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, 3),
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, 7),
        ({"usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 4}, "user": "a"}, 7),
        ({"text": '"usage": {"prompt_tokens": 40, "completion_tokens": 40}'}, 0),
        ({"usage": None}, 0),
    ],
)  # fmt: skip
def test_tokens_cost_what_the_engine_says_in_whichever_api(bed: Metered, told: Any, costs: int) -> None:
    key = a_key()
    assert answer(bed, key, told) == 200
    assert answer(bed, key, usage(1, 0)) == 200
    counts(bed, key, MOST - costs - 1)


def test_a_client_has_one_count_under_all_host_names(bed: Metered) -> None:
    key = a_key()
    for host in HOSTS:
        assert bed.ask(CHAT, {"model": "chat"}, key, Host=host)[0] == 200
    counts(bed, key, MOST - 2 * AN_ANSWER)


def test_what_is_refused_costs_nothing(bed: Metered) -> None:
    key = a_key()
    assert bed.ask(CHAT, {"model": "other"}, key)[0] == 404
    assert bed.ask(CHAT, {}, key)[0] == 400
    assert left(bed, key) == MOST


def test_requests_and_tokens_are_limited_beside_each_other(tmp_path: Path) -> None:
    made = Metered(tmp_path, tokensPerMinute=MOST, requestsPerMinute=5)
    made.config_maps.append(CLIENTS)
    with made.running() as bed:
        alice, bob = a_key(), a_key()
        wait_for("requests are used up", lambda: bed.ask("/v1/models", key=alice, method="GET")[0] == 429, timeout_s=20)
        assert answer(bed, bob, usage(MOST, 1)) == 200
        counts(bed, bob, -1)


def test_nobody_is_limited_while_the_rate_limit_service_is_away(tmp_path: Path) -> None:
    """As Envoy Gateway has it by itself; its failClosed asks for the other."""
    made = Metered(tmp_path, tokensPerMinute=MOST)
    made.config_maps.append(CLIENTS)
    with made.running() as bed:
        key = a_key()
        assert answer(bed, key, usage(MOST, 1)) == 200
        counts(bed, key, -1)
        bed.service.stop()
        wait_for("the client is let in", lambda: answer(bed, key, usage(1, 1)) == 200, timeout_s=20)


def test_nobody_is_let_in_while_nothing_counts_whatever_a_client_writes(tmp_path: Path) -> None:
    made = Metered(tmp_path, is_counted=False, tokensPerMinute=MOST)
    made.config_maps.append(CLIENTS)
    with made.running() as bed:
        for headers in ({}, {"x_deepseek_counted": "true"}):
            assert bed.ask(CHAT, {"model": "chat"}, a_key(), **headers)[0] == 429
