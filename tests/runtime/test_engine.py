"""The engine serves what the trainer exported, keeps its limits and leaves politely."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from deepseek_runtime.examiner.exam import examine
from tests.runtime.pods import Attempt, Process
from tests.support.ports import free_port

CONCURRENCY, QUEUE = 2, 2
# A few seconds of real work: nothing but generated tokens takes time.
LONG = {"prompt": "hello=", "temperature": 0, "ignore_eos": True, "max_tokens": 300}


@dataclass
class Served:
    process: Process
    url: str
    session: aiohttp.ClientSession

    async def complete(self, **fields: object) -> dict[str, object]:
        async with self.session.post(f"{self.url}/v1/completions", json=fields) as answer:
            return {"status": answer.status, **await answer.json()}

    async def metrics(self) -> dict[str, float]:
        async with self.session.get(f"{self.url}/metrics") as answer:
            lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    async def in_flight(self, running: int, waiting: int) -> None:
        """Returns once the metrics show so many requests."""
        labels = '{engine="0",model_name="demo"}'
        while True:
            seen = await self.metrics()
            at = (seen[f"vllm:num_requests_running{labels}"], seen[f"vllm:num_requests_waiting{labels}"])
            if at == (running, waiting):
                return


def start(model: Path, port: int, log: Path = Path("/dev/null")) -> Process:
    return Process.fork(
        "deepseek_runtime.engine",
        (),
        {
            "DEEPSEEK_MODEL_PATH": str(model),
            "DEEPSEEK_SERVED_MODEL_NAME": "demo",
            "DEEPSEEK_PORT": str(port),
            "DEEPSEEK_MAX_CONCURRENCY": str(CONCURRENCY),
            "DEEPSEEK_QUEUE_LIMIT": str(QUEUE),
            "DEEPSEEK_DRAIN_SECONDS": "60",
            "DEEPSEEK_TERMINATION_LOG": str(log),
        },
    )


@pytest.fixture(scope="session")
def export(whole: tuple[Attempt, Process]) -> Path:
    return whole[0].root / "exports" / "120"


@pytest.fixture(scope="module")
def engine(export: Path) -> Iterator[tuple[Process, str]]:
    port = free_port()
    process = start(export, port)
    process.wait_for(lambda line: "is ready" in line)
    yield process, f"http://127.0.0.1:{port}"
    process.kill()


@pytest_asyncio.fixture
async def served(engine: tuple[Process, str]) -> AsyncIterator[Served]:
    async with aiohttp.ClientSession() as session:
        yield Served(*engine, session)


async def test_served_accuracy_is_the_trainers(served: Served, export: Path, whole: tuple[Attempt, Process]) -> None:
    from deepseek_runtime.trainer.data.tasks import examples

    right = 0
    for prompt, completion in examples("uppercase", "Heldout"):
        answer = await served.complete(prompt=prompt, temperature=0, max_tokens=len(completion) + 1)
        choice = answer["choices"][0]  # type: ignore[index]
        right += choice["text"] == completion and choice["finish_reason"] == "stop"
    trained = whole[0].termination()["metrics"]["accuracy"]  # type: ignore[index]
    assert right > 0
    assert right / 200 == trained == json.loads((export / "manifest.json").read_text())["metrics"]["accuracy"]


async def test_an_exam_over_http_gives_the_trainers_marks(served: Served, whole: tuple[Attempt, Process]) -> None:
    from deepseek_runtime.trainer.data.tasks import examples

    marks = await examine(served.url, "demo", examples("uppercase", "Heldout"))
    assert marks.unanswered == 0
    assert marks.accuracy == whole[0].termination()["metrics"]["accuracy"]  # type: ignore[index]


async def test_stream_says_the_same_as_the_whole_answer(served: Served) -> None:
    fields = {"prompt": "hello=", "temperature": 0, "max_tokens": 40, "ignore_eos": True}
    whole_answer = await served.complete(**fields)
    streamed = {**fields, "stream": True, "stream_options": {"include_usage": True}}
    async with served.session.post(f"{served.url}/v1/completions", json=streamed) as answer:
        lines = [line.removeprefix("data: ") for line in (await answer.text()).split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1]) == whole_answer["choices"][0]["text"]  # type: ignore[index]
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert (
        chunks[-1]["usage"]
        == whole_answer["usage"]
        == {
            "prompt_tokens": 6,
            "completion_tokens": 40,
            "total_tokens": 46,
        }
    )


async def test_same_seed_draws_the_same_and_a_stop_text_ends_the_answer(served: Served) -> None:
    fields = {"prompt": "abc=", "temperature": 1.5, "seed": 7, "max_tokens": 30, "ignore_eos": True}
    one, two = await asyncio.gather(served.complete(**fields), served.complete(**fields))
    text = one["choices"][0]["text"]  # type: ignore[index]
    assert text == two["choices"][0]["text"]  # type: ignore[index]
    stopped = await served.complete(**fields, stop=text[2:4])
    choice = stopped["choices"][0]  # type: ignore[index]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.index(text[2:4])], "stop")


async def test_chat_and_the_list_of_models_have_openais_form(served: Served) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "abcd="}], "temperature": 0, "max_tokens": 8}
    async with served.session.post(f"{served.url}/v1/chat/completions", json=body) as answer:
        chat = await answer.json()
    plain = await served.complete(prompt="abcd=", temperature=0, max_tokens=8)
    assert chat["object"] == "chat.completion"
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": plain["choices"][0]["text"]}  # type: ignore[index]
    async with served.session.get(f"{served.url}/v1/models") as answer:
        assert [model["id"] for model in (await answer.json())["data"]] == ["demo"]


@pytest.mark.parametrize(
    ("fields", "status", "advice"),
    [
        ({"prompt": "a", "model": "other"}, 404, "ask for 'demo'"),
        ({"prompt": ["a", "b"]}, 400, "one text"),
        ({}, 400, "one text"),
        ({"prompt": [999]}, 400, "each from 0 to 258"),
        ({"prompt": "a", "max_tokens": 5000}, 400, "1024 tokens"),
        ({"prompt": "a", "n": 2}, 400, "with another seed each"),
        ({"prompt": "a", "temperature": -1}, 400, "between 0 and 2"),
    ],
)
async def test_wrong_request_says_what_to_send(
    served: Served, fields: dict[str, object], status: int, advice: str
) -> None:
    answer = await served.complete(**fields)
    assert answer["status"] == status
    assert advice in answer["error"]["message"]  # type: ignore[index]


CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "is_big": {"type": "boolean"}},
    "required": ["city", "is_big"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}}


async def test_answers_have_the_forms_that_are_asked_for_whole_and_streamed(served: Served) -> None:
    """Two at a time, each of its own form: one as OpenAI's clients ask for it, one as vLLM's."""
    form = {"prompt": "hello=", "response_format": FORM, "max_tokens": 400, "seed": 3}
    one, two = await asyncio.gather(
        served.complete(**form), served.complete(prompt="hello=", structured_outputs={"regex": "[0-9]{12}"})
    )
    said = json.loads(one["choices"][0]["text"])  # type: ignore[index]
    assert (said["city"] in ("Paris", "Rome"), type(said["is_big"]), said.keys()) == (True, bool, {"city", "is_big"})
    assert one["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]
    digits = two["choices"][0]  # type: ignore[index]
    assert (digits["text"].isdigit(), len(digits["text"]), digits["finish_reason"]) == (True, 12, "stop")
    async with served.session.post(f"{served.url}/v1/completions", json={**form, "stream": True}) as answer:
        lines = [line.removeprefix("data: ") for line in (await answer.text()).split("\n\n") if line]
    chunks = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert "".join(chunk["text"] for chunk in chunks) == one["choices"][0]["text"]  # type: ignore[index]
    assert chunks[-1]["finish_reason"] == "stop"


async def test_form_that_takes_for_ever_is_refused_while_others_are_answered(served: Served) -> None:
    patterns = [{"type": "string", "pattern": f".*a.{{{n}}}b.*"} for n in range(2, 40)]
    hostile = asyncio.create_task(served.complete(prompt="a", structured_outputs={"json": {"allOf": patterns}}))
    answers = 0
    while not hostile.done():
        answers += (await served.complete(prompt="hello=", max_tokens=2))["status"] == 200
    refused = hostile.result()
    assert refused["status"] == 400
    assert refused["error"]["type"] == "BadRequestError"  # type: ignore[index]
    assert "too much time, memory or depth" in refused["error"]["message"]  # type: ignore[index]
    assert answers > 3


async def test_full_queue_is_refused_and_waiting_requests_count(served: Served) -> None:
    accepted = [asyncio.create_task(served.complete(**LONG)) for _ in range(CONCURRENCY + QUEUE)]
    await served.in_flight(CONCURRENCY, QUEUE)
    refused = await served.session.post(f"{served.url}/v1/completions", json=LONG)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert [answer["status"] for answer in await asyncio.gather(*accepted)] == [200] * (CONCURRENCY + QUEUE)


async def test_client_that_leaves_frees_its_place(served: Served) -> None:
    task = asyncio.create_task(served.complete(**{**LONG, "max_tokens": 1000}))
    await served.in_flight(1, 0)
    task.cancel()
    await served.in_flight(0, 0)
    assert (await served.metrics())[
        'vllm:request_success_total{engine="0",finished_reason="abort",model_name="demo"}'
    ] >= 1


async def test_metrics_have_vllms_names(served: Served) -> None:
    await served.complete(prompt="abcd=", max_tokens=3, temperature=0)
    names = {name.partition("{")[0] for name in await served.metrics()}
    histograms = ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "request_queue_time")
    assert names >= {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
        *(f"vllm:{name}_seconds_{part}" for name in histograms for part in ("bucket", "sum", "count")),
    }


async def test_drain_finishes_streams_while_health_says_no(export: Path) -> None:
    port = free_port()
    process = start(export, port)
    url = f"http://127.0.0.1:{port}"
    process.wait_for(lambda line: "is ready" in line)
    async with aiohttp.ClientSession() as session:
        assert (await session.get(f"{url}/health")).status == 200
        async with session.post(f"{url}/v1/completions", json={**LONG, "stream": True}) as answer:
            await answer.content.readline()
            process.terminate()
            while (await session.get(f"{url}/health")).status == 200:
                pass
            text = (await answer.content.read()).decode()
    assert text.endswith("data: [DONE]\n\n")
    assert '"finish_reason": "length"' in text
    assert process.ended() == 0, process.log


def test_engine_that_still_loads_leaves_at_once(export: Path, tmp_path: Path) -> None:
    """A file of the export has a tebibyte, all of it a hole: its sha256 takes longer than anybody waits."""
    shutil.copytree(export, tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    with (tmp_path / "model" / "vast.bin").open("wb") as vast:
        vast.truncate(1 << 40)
    manifest["files"].append({"path": "vast.bin", "size": 1 << 40, "sha256": 64 * "0"})
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest))
    process = start(tmp_path / "model", free_port())
    process.wait_for(lambda line: "is loading" in line)
    process.terminate()
    assert process.ended() == 0, process.log


def test_altered_export_is_not_served(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    process = start(tmp_path / "model", free_port(), tmp_path / "log")
    assert process.ended() == 64
    said = json.loads((tmp_path / "log").read_text())
    assert said["result"] == "Invalid"
    assert "model.safetensors differs from the sha256" in said["message"]
    assert said["message"] in process.log


def test_export_loads_in_transformers_with_what_vllm_needs(export: Path) -> None:
    config = json.loads((export / "config.json").read_text())
    assert config["architectures"] == ["DeepseekV3ForCausalLM"]
    assert (config["topk_method"], config["scoring_func"], config["moe_layer_freq"]) == ("noaux_tc", "sigmoid", 1)
    script = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer;"
        "t = AutoTokenizer.from_pretrained(sys.argv[1]); m = AutoModelForCausalLM.from_pretrained(sys.argv[1]);"
        "o = m.generate(**t('hello=', return_tensors='pt'), max_new_tokens=8, do_sample=False);"
        "print('ids', len(t('h\u00e9llo').input_ids), t.decode(t('h\u00e9llo').input_ids), tuple(o.shape)[0])"
    )
    process = Process.start([sys.executable, "-c", script, str(export)], {})
    assert process.wait_for(lambda line: line.startswith("ids")).split() == ["ids", "6", "h\u00e9llo", "1"]
    assert process.ended() == 0
