"""The bencher against the built-in engine, whose limit of requests is known: what runs and what waits, and not one more."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from deepseek_runtime.bencher import load, others
from deepseek_runtime.bencher.__main__ import Disturbed, bench
from deepseek_runtime.bencher.settings import Settings, read_settings
from tests.runtime.pods import Process
from tests.runtime.untrained import a_model
from tests.support.ports import free_port

CONCURRENCY, QUEUE = 2, 2
IN_FLIGHT = '["vllm:num_requests_running", "vllm:num_requests_waiting"]'
PATIENT = '{"TimeToFirstToken": 60000}'
"""Milliseconds: however slow this machine is, only a request that is refused misses it."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The engine with a model that has learnt nothing: how long its answers are, requests say."""
    path, port = a_model(tmp_path_factory.mktemp("model")), free_port()
    told = {
        "DEEPSEEK_MODEL_PATH": str(path),
        "DEEPSEEK_SERVED_MODEL_NAME": "demo",
        "DEEPSEEK_PORT": str(port),
        "DEEPSEEK_MAX_CONCURRENCY": str(CONCURRENCY),
        "DEEPSEEK_QUEUE_LIMIT": str(QUEUE),
        "DEEPSEEK_TERMINATION_LOG": "/dev/null",
    }
    process = Process.fork("deepseek_runtime.engine", (), told)
    process.wait_for(lambda line: "is ready" in line)
    yield f"http://127.0.0.1:{port}"
    process.kill()


def variables(url: str, **told: str) -> dict[str, str]:
    usual = {"URL": url, "OBJECTIVES": PATIENT, "IN_FLIGHT": IN_FLIGHT, "PROMPT_WORDS": "2", "ANSWER_TOKENS": "2"}
    return {f"DEEPSEEK_BENCH_{name}": value for name, value in {**usual, **told}.items()}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "needed", lambda quantile: 60)
    monkeypatch.setattr(load, "PAUSE_S", 0.05)
    monkeypatch.setattr(others, "LOOKS", 2)


def settings(url: str, **told: str) -> Settings:
    return read_settings(variables(url, **told))


@pytest.mark.usefixtures("quick")
async def test_what_runs_and_what_waits_is_the_concurrency_of_the_engine(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = await bench(settings(url))
    assert (told["model"], told["streams"], told["brokenAt"]) == ("demo", CONCURRENCY + QUEUE, CONCURRENCY + QUEUE + 1)
    loads = [json.loads(line)["load"] for line in capsys.readouterr().out.splitlines()]
    assert [(one["streams"], one["verdict"]) for one in loads] == [
        (1, "Held"),
        (2, "Held"),
        (4, "Held"),
        (8, "Broken"),
        (6, "Broken"),
        (5, "Broken"),
    ]
    assert all("HTTP 429" in one["why"] for one in loads if one["verdict"] == "Broken")
    held = [one for one in loads if one["verdict"] == "Held"]
    assert {one["answerTokens"] for one in held} == {2}, "lengths are kept, whatever the model says"
    assert loads[0]["promptTokens"] > 2
    assert loads[0]["tokensPerSecond"] > 0


@pytest.mark.usefixtures("quick")
async def test_others_are_seen_by_the_engines_own_metrics(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"prompt": "hello=", "temperature": 0, "ignore_eos": True, "max_tokens": 300, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/completions", json=long) as answer,
    ):
        await answer.content.readany()
        with pytest.raises(Disturbed, match="others ask this replica, 1 at a time"):
            await bench(settings(url))
        among = replace(settings(url), among_others=True, most_streams=1)
        assert (await bench(among))["streams"] == 1


def test_the_program_says_each_load_and_the_result(url: str, tmp_path: Path) -> None:
    words = tmp_path / "words"
    told = {**variables(url, QUANTILE="0.5", MOST_STREAMS="2"), "DEEPSEEK_TERMINATION_LOG": str(words)}
    process = Process.fork("deepseek_runtime.bencher", (), told)
    assert process.ended() == 0, process.log
    said = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    assert [list(one) for one in said] == [["load"], ["load"], ["result"]]
    assert said[-1]["result"]["streams"] == 2
    assert said[-1]["result"]["why"] == "more than 2 at a time were not tried"
    last = json.loads(words.read_text())
    assert (last["result"], last["message"]) == ("Complete", "2 requests at a time are answered within the objective")
    held = said[-1]["result"]["held"]
    assert last["metrics"] == {
        "streams": 2,
        "quantile": 0.5,
        "requestsPerSecond": held["requestsPerSecond"],
        "tokensPerSecond": held["tokensPerSecond"],
        **said[-1]["result"]["objectives"],
    }
