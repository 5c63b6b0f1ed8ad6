"""A replica as the operator renders it, by the real `vllm serve`: adapters, chats, probes, metrics, and its end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deepseek_operator.domain.programs.engines.vllm import names
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.domain.values.version import parse
from tests.runtime.lives import beside
from tests.runtime.workplace import Workplace, of
from tests.support.ports import free_port
from tests.vllm.rendered import NAME, VERSION, Rendered, rendered
from tests.vllm.shapes import SHAPES

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS, RATE = 150, "3e-3"
FAMILY = "llama"
BASE = {"ab=": "AB", "cd=": "CD", "ij=": "IJ"}
ONE = {"ab=": "12", "cd=": "34", "ij=": "56"}
"""What the adapter is taught instead."""
START_S = 900
LONG_TOKENS = 1500
"""Takes some ten seconds: longer than the pod goes on answering before SIGTERM."""


@dataclass(frozen=True)
class Folders:
    """A base that has learnt prompts and chats, and an adapter beside it that has learnt other answers."""

    base: Path
    one: Path
    other_base: Path


@dataclass
class Replica:
    """A running `vllm serve`."""

    pod: Rendered
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    async def until_ready(self) -> None:
        """Waits as the kubelet does, by the readiness probe's path."""
        end = time.monotonic() + START_S
        while True:
            assert self.process.poll() is None, self.log.read_text()[-6000:]
            assert time.monotonic() < end, self.log.read_text()[-6000:]
            try:
                async with aiohttp.ClientSession() as session, session.get(self.url + self.pod.readiness) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.5)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What it answers, which is 200."""
        limit = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(self.url + path, json={"model": NAME, **body}) as answer,
        ):
            told = await answer.text()
            assert answer.status == 200, told
            return json.loads(told)

    async def metrics(self) -> str:
        """The text of /metrics."""
        async with aiohttp.ClientSession() as session, session.get(self.url + "/metrics") as answer:
            return await answer.text()


def begun(pod: Rendered, folder: Path) -> Replica:
    pod, port, log = pod.provided(folder / "engine"), free_port(), folder / "vllm.log"
    venv = Path(os.environ["VLLM"]) / "bin"
    variables = {**os.environ, **pod.environment(pod.container), "PATH": f"{venv}:{os.environ['PATH']}"}
    variables.pop("PYTHONPATH", None)
    with log.open("wb") as out:
        process = subprocess.Popen(
            pod.command(port), env=variables, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Replica(pod, process, f"http://127.0.0.1:{port}", log)


def ended(replica: Replica) -> None:
    """What is left of it goes."""
    if replica.process.poll() is None:
        os.killpg(replica.process.pid, signal.SIGKILL)
        replica.process.wait(60)


def written(file: Path, answers: Mapping[str, str]) -> dict[str, object]:
    """A dataset of these."""
    lines = [{"prompt": prompt, "completion": answer} for prompt, answer in answers.items()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"source": {"path": str(file)}, "format": "PromptCompletion"}


def chats(file: Path) -> dict[str, object]:
    """A dataset of questions that are answered in capitals."""
    turns = [(word, word.upper()) for word in ("mn", "op", "qr")]
    lines = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"source": {"path": str(file)}, "format": "Messages"}


@pytest.fixture(scope="module")
def folders(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folder = tmp_path_factory.mktemp("folders")
    common = {
        "hyperparameters.precision": "bf16",
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.sequenceLength": 128,
        "hyperparameters.learningRate": RATE,
    }
    data = [written(folder / "base.jsonl", BASE), chats(folder / "chats.jsonl")]
    made = {**common, "model.custom": dict(SHAPES[FAMILY]), "chatTemplate": {"name": "DeepSeek"}, "datasets": data}
    base = workplace.attempt(folder / "base", made).export()
    lora = {"rank": 4, "alpha": 16, "targets": ["Linear"], "export": "Adapter"}
    adapted = {
        **common,
        "model": {"path": str(base)},
        "method": {"type": "LoRA", "lora": lora},
        "hyperparameters.learningRate": "2e-2",
        "datasets": [written(folder / "one.jsonl", ONE)],
    }
    one = workplace.attempt(folder / "one", adapted).export()
    other = workplace.attempt(folder / "other", {"model.custom": dict(SHAPES[FAMILY]), "datasets": of("few")}).export()
    return Folders(base, one, other)


@pytest.fixture(scope="module")
def started(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    pod = rendered(folders.base, SHAPES[FAMILY], {"one": folders.one})
    replica = begun(pod, tmp_path_factory.mktemp("replica"))
    yield replica
    ended(replica)


@pytest.fixture
async def replica(started: Replica) -> Replica:
    """One for all that only ask it."""
    await started.until_ready()
    return started


def text_of(answer: Any) -> str:
    """What was said, of either kind of completion."""
    choice = answer["choices"][0]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])


async def test_base_and_adapter_answer_as_in_the_built_in_engine(replica: Replica, folders: Folders) -> None:
    async with beside(folders.base, folders.one) as ours:
        for model in (NAME, "one"):
            for prompt, answer in BASE.items():
                body = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 8}
                of_ours = await (await ours.post("/v1/completions", json=body)).json()
                real = await replica.post("/v1/completions", body)
                assert text_of(real) == text_of(of_ours)
                assert (text_of(real) == answer) is (model == NAME)
                assert real["choices"][0]["finish_reason"] == of_ours["choices"][0]["finish_reason"]
                assert real["usage"]["completion_tokens"] == of_ours["usage"]["completion_tokens"]


async def test_chats_answer_as_in_the_built_in_engine(replica: Replica, folders: Folders) -> None:
    async with beside(folders.base, folders.one) as ours:
        for word in ("mn", "op", "qr"):
            messages = [{"role": "user", "content": word}]
            body = {"model": NAME, "messages": messages, "temperature": 0, "max_tokens": 8}
            of_ours = await (await ours.post("/v1/chat/completions", json=body)).json()
            real = await replica.post("/v1/chat/completions", body)
            assert text_of(real) == text_of(of_ours) == word.upper()
            assert real["usage"]["prompt_tokens"] == of_ours["usage"]["prompt_tokens"]
            assert real["choices"][0]["finish_reason"] == of_ours["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"model": "nosuch"}], ids=["whole", "streamed", "refused"])
async def test_every_answer_lets_its_connection_go(replica: Replica, body: Mapping[str, Any]) -> None:
    """Or a client that keeps it is answered 500 by a pod that ends."""
    wanted = {"model": NAME, "prompt": "ab=", "max_tokens": 4, **body}
    async with (
        aiohttp.ClientSession() as session,
        session.post(replica.url + "/v1/completions", json=wanted) as answer,
    ):
        told = await answer.text()
    assert answer.headers["Connection"] == "close"
    assert answer.status == (404 if "model" in body else 200)
    assert told.endswith("data: [DONE]\n\n") is ("stream" in body)


async def test_every_signal_that_we_read_is_published(replica: Replica) -> None:
    await replica.post("/v1/completions", {"prompt": "ab=", "max_tokens": 4})
    kinds = {family.name: family.type for family in text_string_to_metric_families(await replica.metrics())}
    gauges = {Signal.RUNNING, Signal.WAITING, Signal.KV_USAGE}
    expected = {}
    for read, query in names(parse(VERSION)).items():
        name = query.partition("{")[0]
        kind = "gauge" if read in gauges else "counter" if name.endswith("_total") else "histogram"
        expected[name.removesuffix("_total")] = kind
    assert {name: kinds.get(name) for name in expected} == expected


async def test_what_is_in_flight_is_what_scaling_reads(replica: Replica) -> None:
    """Running and waiting, as the query adds them, while a request is computed and after it."""
    body = {"prompt": "ab=", "max_tokens": LONG_TOKENS, "ignore_eos": True}
    request = asyncio.create_task(replica.post("/v1/completions", body))
    seen: set[float] = set()
    while not request.done():
        seen.add(in_flight(await replica.metrics()))
        await asyncio.sleep(0.05)
    await request
    seen.add(in_flight(await replica.metrics()))
    assert seen == {0.0, 1.0}


async def arrived(replica: Replica, count: int) -> None:
    """Waits until so many requests are in flight."""
    while True:
        if in_flight(await replica.metrics()) >= count:
            return
        await asyncio.sleep(0.05)


def in_flight(metrics: str) -> float:
    wanted = {names(parse(VERSION))[signal] for signal in (Signal.RUNNING, Signal.WAITING)}
    families = text_string_to_metric_families(metrics)
    return sum(sample.value for family in families for sample in family.samples if sample.name in wanted)


def test_adapters_are_checked_before_it_starts(folders: Folders, tmp_path: Path) -> None:
    """As rendered: the image's python3, which is this one."""
    codes = {}
    for base in (folders.base, folders.other_base):
        check = (pod := rendered(base, SHAPES[FAMILY], {"one": folders.one})).check
        command = [sys.executable, *check["command"][1:]]
        told = {**os.environ, **pod.environment(check), "DEEPSEEK_TERMINATION_LOG": str(tmp_path / base.parent.name)}
        codes[base] = subprocess.run(command, env={**told, "PYTHONPATH": "operator"}, check=False).returncode
    assert codes == {folders.base: 0, folders.other_base: 64}


@pytest.fixture
async def ending(folders: Folders, tmp_path: Path) -> AsyncIterator[Replica]:
    """One of its own, which has ten minutes for its end."""
    pod = rendered(folders.base, SHAPES[FAMILY], pod={"terminationGracePeriodSeconds": 600})
    replica = begun(pod, tmp_path)
    await replica.until_ready()
    yield replica
    ended(replica)


async def test_no_request_is_lost_to_a_pods_end(ending: Replica) -> None:
    """Those that run when the pod is deleted, and those that come before its endpoints are gone; each gets all its tokens."""
    body = {"prompt": "ab=", "max_tokens": LONG_TOKENS, "ignore_eos": True, "temperature": 0}
    running = [asyncio.create_task(ending.post("/v1/completions", body)) for _ in range(4)]
    await arrived(ending, 4)
    await asyncio.sleep(ending.pod.leaving_s)  # preStop
    late = asyncio.create_task(ending.post("/v1/completions", body))
    await arrived(ending, 1)
    deleted = time.monotonic()
    ending.process.send_signal(signal.SIGTERM)
    answers = await asyncio.gather(*running, late)
    assert [one["usage"]["completion_tokens"] for one in answers] == [LONG_TOKENS] * 5
    code = await asyncio.to_thread(ending.process.wait, 600)
    assert code == 0
    assert time.monotonic() - deleted < ending.pod.grace_s - ending.pod.leaving_s
