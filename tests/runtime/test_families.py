"""Every architecture of the catalogue is trained, killed, resumed, exported, read by plain transformers, and served."""

import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from deepseek_runtime.engine.__main__ import load
from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.sequence import Answer, Sampling
from deepseek_runtime.engine.settings import read_settings
from deepseek_runtime.engine.state import Engine
from tests.runtime.families import FAMILIES
from tests.runtime.greedy import greedy
from tests.runtime.observed import Observed
from tests.runtime.workplace import Workplace, of

STEPS, KILLED_IN, TOKENS = 6, 4, 12
PROMPTS = ("ab=", "hello=", "é")


class Killed(BaseException):
    """Nothing of the trainer survives it, and nothing of the trainer catches it."""


def kill(observed: Observed) -> bool:
    if len(observed.losses) == KILLED_IN - 1:
        raise Killed
    return False


def settings(family: str, precision: str) -> dict[str, object]:
    return {
        "model.custom": dict(FAMILIES[family]),
        "datasets": of("few", "others"),
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.precision": precision,
    }


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


@pytest.mark.parametrize("family", FAMILIES)
async def test_family_lives_from_training_to_serving(workplace: Workplace, family: str, tmp_path: Path) -> None:
    precision = "bf16" if "-" in family else "fp32"
    changes = settings(family, precision)
    undisturbed = workplace.attempt(tmp_path / "undisturbed", changes)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", changes)
    begun = int(str(resumed.began[0]))
    assert 0 < begun < KILLED_IN
    assert killed.losses == undisturbed.losses[: KILLED_IN - 1]
    assert resumed.losses == undisturbed.losses[begun:]

    export = resumed.root / "exports" / str(STEPS)
    trained = {text: answer_of(resumed.network, ids_of(export, text)) for text in PROMPTS}
    reloaded = whole(export)
    assert {text: answer_of(reloaded, ids_of(export, text)) for text in PROMPTS} == trained
    async with served(export) as (model, ask):
        assert {text: served_tokens(model, text) for text in PROMPTS} == trained
        assert {text: await ask(text) for text in PROMPTS} == {
            text: model.tokenizer.decode(ids, skip_special_tokens=True) for text, ids in trained.items()
        }
    numbers = {"BF16", "F32"} if precision == "bf16" else {"F32"}
    assert kinds(export) <= numbers | {"I64"}, "DeepSeek-V4 chooses experts by a table"
    assert any("lm_head" in name or name == "head.weight" for name in tensors(export)) is not family.endswith("-tied")
    assert {oct(stat.S_IMODE(file.stat().st_mode)) for file in export.iterdir()} == {"0o644"}


def whole(export: Path) -> PreTrainedModel:
    """As anybody else's program reads it; nothing may be missing or left over."""
    model, found = AutoModelForCausalLM.from_pretrained(export, dtype="auto", output_loading_info=True)
    assert not any(found[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def ids_of(export: Path, text: str) -> list[int]:
    return list(AutoTokenizer.from_pretrained(export)(text).input_ids)


def answer_of(model: PreTrainedModel, ids: list[int]) -> list[int]:
    found: list[int] = greedy(model.eval(), ids, TOKENS)
    return found


def tensors(export: Path) -> list[str]:
    with safe_open(export / "model.safetensors", "pt") as file:
        return list(file.keys())


def kinds(export: Path) -> set[str]:
    with safe_open(export / "model.safetensors", "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


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
