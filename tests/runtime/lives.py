"""Lives of a training that several tests lead: killed and resumed, and its export read by others."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from deepseek_runtime.engine.__main__ import load
from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.sequence import Answer, Sampling
from deepseek_runtime.engine.settings import read_settings
from deepseek_runtime.engine.state import Engine
from tests.runtime.greedy import greedy
from tests.runtime.observed import Observed
from tests.runtime.workplace import Workplace

STEPS, KILLED_IN, TOKENS = 6, 4, 12


class Killed(BaseException):
    """Nothing of the trainer survives it, and nothing of the trainer catches it."""


def kill(observed: Observed) -> bool:
    if len(observed.losses) == KILLED_IN - 1:
        raise Killed
    return False


def killed_and_resumed(workplace: Workplace, volume: Path, changes: dict[str, object]) -> tuple[Observed, Observed]:
    told: list[Observed] = []

    def watch(observed: Observed) -> bool:
        told[:] = [observed]
        return kill(observed)

    with pytest.raises(Killed):
        workplace.attempt(volume, changes, wants_stop=watch, CHECKPOINT_EVERY_STEPS="1")
    ancestry = json.dumps([{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}])
    names: dict[str, Any] = {"ATTEMPT": "2", "JOB_UID": "job-2", "POD_UID": "second", "RESUME_ANCESTRY": ancestry}
    return told[0], workplace.attempt(volume, changes, CHECKPOINT_EVERY_STEPS="1", **names)


def whole(export: Path) -> PreTrainedModel:
    """As anybody else's program reads it; nothing may be missing or left over."""
    model, found = AutoModelForCausalLM.from_pretrained(export, dtype="auto", output_loading_info=True)
    assert not any(found[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


PROMPTS = ("ab=", "hello=", "é")


def ids_of(export: Path, text: str) -> list[int]:
    return list(AutoTokenizer.from_pretrained(export)(text).input_ids)


def answer_of(model: PreTrainedModel, ids: list[int]) -> list[int]:
    found: list[int] = greedy(model.eval(), ids, TOKENS)
    return found


def served_tokens(model: Model, text: str) -> list[int]:
    answer = Answer(model, model.tokenizer(text).input_ids, Sampling(TOKENS, temperature=0, ignore_eos=True))
    for _ in range(TOKENS):
        answer.step()
    return answer.tokens


@asynccontextmanager
async def served(export: Path) -> AsyncIterator[tuple[Model, Callable[[str], Awaitable[str]]]]:
    """The engine as its program makes it, on a port of this process, and a way to ask it."""
    metrics = Metrics("tiny")
    engine = Engine("tiny", Scheduler(2, 2, metrics), metrics)
    await load(engine, read_settings({"DEEPSEEK_MODEL_PATH": str(export), "DEEPSEEK_SERVED_MODEL_NAME": "tiny"}))
    async with TestClient(TestServer(application(engine))) as client:

        async def ask(text: str) -> str:
            body = {"prompt": text, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True}
            answer = await (await client.post("/v1/completions", json=body)).json()
            return str(answer["choices"][0]["text"])

        assert engine.model is not None
        yield engine.model, ask


@asynccontextmanager
async def beside(base: Path, *adapters: Path) -> AsyncIterator[TestClient[Any, Any]]:
    """The engine with adapters "one", "two", … beside "tiny"."""
    metrics = Metrics("tiny")
    engine = Engine("tiny", Scheduler(4, 16, metrics), metrics)
    listed = [{"name": name, "path": str(path)} for name, path in zip(("one", "two"), adapters, strict=False)]
    told = {"MODEL_PATH": str(base), "SERVED_MODEL_NAME": "tiny", "ADAPTERS": json.dumps(listed)}
    await load(engine, read_settings({f"DEEPSEEK_{name}": value for name, value in told.items()}))
    async with TestClient(TestServer(application(engine))) as client:
        yield client


async def answered(client: TestClient[Any, Any], model: str | None, text: str) -> str:
    body = {"prompt": text, "temperature": 0, "max_tokens": TOKENS, "ignore_eos": True}
    answer = await client.post("/v1/completions", json=body if model is None else {**body, "model": model})
    value = await answer.json()
    assert answer.status == 200, value
    assert value["model"] == (model or "tiny")
    return str(value["choices"][0]["text"])
