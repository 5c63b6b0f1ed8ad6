"""Prompt tuning and P-tuning: killed, resumed, exported in peft's form, read by peft, and served beside the base."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.held import Held
from tests.runtime.families import FAMILIES
from tests.runtime.lives import (
    KILLED_IN,
    PROMPTS,
    STEPS,
    TOKENS,
    answer_of,
    answered,
    beside,
    ids_of,
    killed_and_resumed,
    whole,
)
from tests.runtime.observed import Document, Observed, local
from tests.runtime.workplace import Workplace, of

pytestmark = pytest.mark.filterwarnings("ignore")

VIRTUAL = 3
KINDS = {"PromptTuning": {"virtualTokens": VIRTUAL}, "PTuning": {"virtualTokens": VIRTUAL, "encoderHiddenSize": 8}}
LIVED = [
    ("PromptTuning", "llama"),
    ("PTuning", "qwen2-tied"),
    ("PTuning", "qwen3"),
    ("PromptTuning", "deepseek_v2"),
    ("PTuning", "deepseek_v3"),
    ("PromptTuning", "deepseek_v32"),
]


def base_of(workplace: Workplace, family: str) -> str:
    return str(workplace.train({"model.custom": dict(FAMILIES[family])}).export())


def settings(base: str, kind: str, **prompt: object) -> Document:
    return {
        "model": {"path": base, "name": "tiny"},
        "method": {"type": kind, "prompt": {**KINDS[kind], **prompt}},
        "datasets": of("few", "others"),
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.learningRate": "1",
    }


@pytest.mark.parametrize(("kind", "family"), LIVED)
async def test_virtual_tokens_live_from_training_to_serving(
    workplace: Workplace, kind: str, family: str, tmp_path: Path
) -> None:
    base = base_of(workplace, family)
    changes = settings(base, kind)
    undisturbed = workplace.attempt(tmp_path / "undisturbed", changes)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", changes)
    begun = int(str(resumed.began[0]))
    assert 0 < begun < KILLED_IN
    assert killed.losses == undisturbed.losses[: KILLED_IN - 1]
    assert resumed.losses == undisturbed.losses[begun:]
    assert all("prompt_encoder" in name for name in held_by(undisturbed))
    stored = load_file(Path(base) / "model.safetensors")
    untouched = {name: one for name, one in resumed.network.named_parameters() if "prompt_encoder" not in name}
    assert all(torch.equal(local(one), stored[name]) for name, one in untouched.items() if name in stored)

    adapter = resumed.root / "exports" / str(STEPS)
    assert {name: tuple(one.shape) for name, one in load_file(adapter / "adapter_model.safetensors").items()} == {
        "prompt_embeddings": (VIRTUAL, 16)
    }
    tokenizer = AutoTokenizer.from_pretrained(base)
    trained = {text: answer_of(resumed.network, ids_of(Path(base), text)) for text in PROMPTS}
    assert trained != {text: answer_of(whole(Path(base)), ids_of(Path(base), text)) for text in PROMPTS}
    assert {text: answer_of_peft(base, adapter, text) for text in PROMPTS} == trained
    words = {text: tokenizer.decode(ids, skip_special_tokens=True) for text, ids in trained.items()}
    async with beside(Path(base), adapter) as client:
        assert {text: await answered(client, "one", text) for text in PROMPTS} == words
        assert {text: await answered(client, "tiny", text) for text in PROMPTS} != words
        cards = (await (await client.get("/v1/models")).json())["data"]
        assert cards[0]["max_model_len"] - cards[1]["max_model_len"] == VIRTUAL


@pytest.mark.parametrize("kind", KINDS)
def test_virtual_tokens_learn(workplace: Workplace, kind: str, tmp_path: Path) -> None:
    more = {"hyperparameters.maxSteps": 60, "hyperparameters.learningRate": "1e-1"}
    base = str(workplace.train({"model.custom": dict(FAMILIES["llama"]), **more}).export())
    unlike: Document = {"datasets": of("heldout"), "hyperparameters.globalBatchSize": 2}
    run = workplace.attempt(tmp_path, {**settings(base, kind), **more, **unlike})
    # How far it gets depends on the numbers that the base began with.
    assert run.losses[-1] < run.losses[0] - 0.5


def held_by(run: Observed) -> set[str]:
    """Names of the tensors in its newest checkpoint."""
    manifest = Volume(run.root).checkpoints()[run.name][-1]
    names = set(Held.on(Volume(run.root), manifest).metadata.state_dict_metadata)
    return {name for name in names if not name.startswith("optimizer.param_groups")}


def answer_of_peft(base: str, adapter: Path, text: str) -> list[int]:
    """What peft itself writes with the export."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="auto"), adapter).eval()
    ids = torch.tensor([ids_of(Path(base), text)])
    mask, ended = torch.ones_like(ids), {"eos_token_id": None, "pad_token_id": 0}
    made = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, **ended)
    return [int(token) for token in made[0, -TOKENS:]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_in_pieces_and_of_the_heldout_is_the_same(workplace: Workplace, kind: str, tmp_path: Path) -> None:
    """What is cut off before the head is cut off from every way to the loss."""
    base = base_of(workplace, "llama")
    data = [{"source": workplace.file("few")}, {"source": workplace.file("few"), "split": "Heldout"}]
    changes = {**settings(base, kind), "datasets": data, "hyperparameters.learningRate": "1e-2"}
    runs = [
        workplace.attempt(tmp_path / name, {**changes, "hyperparameters.crossEntropy": name})
        for name in ("Whole", "Chunked")
    ]
    assert runs[0].losses == pytest.approx(runs[1].losses, abs=1e-5)
    evaluations = [[one["evalLoss"] for one in run.records if one["event"] == "evaluation"] for run in runs]
    assert evaluations[0] == pytest.approx(evaluations[1], abs=1e-5)


def test_bf16_keeps_the_base_in_bf16_and_the_vectors_in_fp32(workplace: Workplace, tmp_path: Path) -> None:
    changes = {**settings(base_of(workplace, "deepseek_v3"), "PTuning"), "hyperparameters.precision": "bf16"}
    run = workplace.attempt(tmp_path, changes)
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in run.network.parameters()}
    assert kinds == {(False, torch.bfloat16), (True, torch.float32)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (settings("", "PTuning", virtualTokens=4), "has virtualTokens 3: write method.prompt.virtualTokens: 3"),
        (settings("", "PTuning", encoderHiddenSize=4), "write method.prompt.encoderHiddenSize: 8"),
        (settings("", "PromptTuning"), "is of a training of method PTuning: write method.type PTuning"),
        ({"method": {"type": "LoRA"}}, "is of a training of method PTuning: write method.type PTuning"),
        ({"method": {"type": "Full"}}, "of a training of method PTuning: write method.type PTuning as there"),
    ],
)
def test_a_checkpoint_of_other_virtual_tokens_is_refused(
    workplace: Workplace, tmp_path: Path, change: Document, words: str
) -> None:
    changes = settings(base_of(workplace, "llama"), "PTuning")
    workplace.attempt(tmp_path, changes, wants_stop=lambda run: len(run.losses) >= 2)
    ancestry = json.dumps([{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}])
    names: dict[str, Any] = {"ATTEMPT": "2", "JOB_UID": "job-2", "POD_UID": "second", "RESUME_ANCESTRY": ancestry}
    with pytest.raises(Invalid, match=words):
        workplace.attempt(tmp_path, {**changes, "method": change["method"]}, **names)


@pytest.mark.parametrize(
    ("family", "prompt", "words"),
    [
        ("deepseek_v4", {}, "routes by token ids.* write method.type LoRA"),
        ("llama", {"virtualTokens": 64}, "virtualTokens 64 and examples of .* exceed .* 64"),
    ],
)
def test_virtual_tokens_that_the_model_has_no_place_for_are_refused(
    workplace: Workplace, tmp_path: Path, family: str, prompt: Document, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        workplace.attempt(tmp_path, settings(base_of(workplace, family), "PromptTuning", **prompt))
