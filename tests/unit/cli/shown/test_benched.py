"""What a person reads of a bench, made by hand."""

from typing import Any

import yaml

from deepseek_operator.cli.shown.benched import documents, load_line, patch_text, text

LOAD: dict[str, Any] = {
    "streams": 24,
    "verdict": "Held",
    "requests": 368,
    "planned": 368,
    "failed": 0,
    "quantile": 0.99,
    "misses": {"TimeToFirstToken": 2},
    "quantiles": {
        "TimeToFirstToken": {"ms": 412.5, "samples": 368, "between": [398.0, None]},
        "InterToken": {"ms": 31.0, "samples": 46000},
    },
    "seconds": 41.2,
    "requestsPerSecond": 12.5,
    "tokensPerSecond": 1600.0,
    "promptTokens": 300,
    "answerTokens": 128,
}
RESULT: dict[str, Any] = {
    "model": "chat",
    "streams": 24,
    "quantile": 0.99,
    "objectives": {"TimeToFirstToken": 500.0},
    "held": LOAD,
    "brokenAt": 25,
    "why": "",
}


def test_a_load_is_told_in_a_line() -> None:
    assert load_line(LOAD) == (
        "24 at a time: held · P99 TimeToFirstToken 412.5 ms · 1600 tokens/s · 368 requests in 41.2 s"
    )
    never = {
        "quantiles": {"TimeToFirstToken": {"ms": None, "samples": 4}},
        "verdict": "Broken",
        "failed": 4,
        "requests": 4,
    }
    assert load_line({**LOAD, **never}) == (
        "24 at a time: not held · P99 TimeToFirstToken never · 1600 tokens/s · 4 requests in 41.2 s, 4 failed"
    )
    assert load_line({}) == "- at a time: - · - tokens/s · - requests in - s"


def test_the_result_is_told_with_its_certainty_and_targets() -> None:
    assert text("serving/chat", "chat-serve-a", RESULT, 20).splitlines() == [
        "serving/chat: one replica answers 24 requests at a time within 500 ms of TimeToFirstToken at P99; with 25 it does not",
        "  measured at chat-serve-a with prompts of 300 tokens, answers of 128",
        "",
        "  P99 TimeToFirstToken   412.5 ms   between 398 and - ms with a confidence of 95 %, 368 samples",
        "  P99 InterToken         31 ms      46000 samples",
        "  requests a second      12.5",
        "  tokens a second        1600",
        "",
        "Targets for each replica, 20 % below",
        "  InFlight          19",
        "  TimeToFirstToken  500 ms at P99, as it is",
        "  RequestRate       10, for requests as long as these alone",
        "  TokensPerSecond   1280, for requests as long as these alone",
    ]


def test_that_nothing_holds_is_told_too() -> None:
    why = "with 1 at a time 20 of 368 requests were over in 600 s: too few to say"
    assert text("serving/chat", "a", {**RESULT, "held": None, "streams": 0, "why": why}, 20).splitlines() == [
        "serving/chat: not even one request at a time is known to be answered within 500 ms of TimeToFirstToken at P99",
        f"  {why}",
    ]


def test_documents_are_picked_out_of_whatever_else_a_log_has() -> None:
    log = 'warning\n{"load": {"streams": 1}}\n[1]\n{"load": 3}\n{"load": {"streams": 2}}\n{"load": {"str'
    assert documents(log, "load") == [{"streams": 1}, {"streams": 2}]
    assert documents("[" * 100_000, "load") == []


def test_a_patch_is_a_file_for_git() -> None:
    manifest = {"apiVersion": "v", "kind": "K", "metadata": {"name": "chat", "namespace": "team", "uid": "1"}}
    told = patch_text(manifest, {"spec": {"autoscaling": {"maxReplicas": 4}}}, RESULT)
    assert told.splitlines()[0] == "# One replica held 24 requests at a time within TimeToFirstToken 500 ms at P99."
    assert yaml.safe_load(told) == {
        "apiVersion": "v",
        "kind": "K",
        "metadata": {"name": "chat", "namespace": "team"},
        "spec": {"autoscaling": {"maxReplicas": 4}},
    }
