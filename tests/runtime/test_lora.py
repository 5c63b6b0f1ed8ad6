"""An adapter is trained beside a base of every architecture, killed, resumed, exported both ways, loaded and served."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.model_folder.folder import check
from deepseek_runtime.spec import Custom
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.targets import targets_of
from tests.runtime.families import FAMILIES
from tests.runtime.lives import (
    KILLED_IN,
    PROMPTS,
    STEPS,
    answer_of,
    ids_of,
    killed_and_resumed,
    served,
    served_tokens,
    whole,
)
from tests.runtime.observed import Document, Observed, local
from tests.runtime.whole_model import build
from tests.runtime.workplace import Workplace, of

pytestmark = pytest.mark.filterwarnings("ignore")

LORA: Document = {"rank": 4, "alpha": 16}


def base_of(workplace: Workplace, family: str) -> str:
    """A model of the family that has learnt a little: all of its weights are other than zero."""
    return str(workplace.train({"model.custom": dict(FAMILIES[family])}).export())


def settings(base: str, **lora: object) -> Document:
    return {
        "model": {"path": base, "name": "tiny"},
        "method": {"type": "LoRA", "lora": {**LORA, **lora}},
        "datasets": of("few", "others"),
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.learningRate": "2e-2",
    }


def greedy_of(model: PreTrainedModel, tokenizer: Path) -> dict[str, list[int]]:
    return {text: answer_of(model, ids_of(tokenizer, text)) for text in PROMPTS}


@pytest.mark.parametrize("family", FAMILIES)
async def test_adapter_lives_from_training_to_serving(workplace: Workplace, family: str, tmp_path: Path) -> None:
    base = base_of(workplace, family)
    # Fused experts take no dropout; where there is one its random numbers go on as well.
    asked: Document = {"targets": ["Linear", "Experts"]} if "deepseek" in family else {"dropout": "0.25"}
    changes = settings(base, **asked)
    undisturbed = workplace.attempt(tmp_path / "undisturbed", changes)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", changes)
    begun = int(str(resumed.began[0]))
    assert 0 < begun < KILLED_IN
    assert killed.losses == undisturbed.losses[: KILLED_IN - 1]
    assert resumed.losses == undisturbed.losses[begun:]

    merged = resumed.root / "exports" / str(STEPS)
    trained = greedy_of(resumed.network, merged)
    assert trained != greedy_of(whole(Path(base)), merged), "the adapter changes what is said"
    assert greedy_of(whole(merged), merged) == trained
    async with served(merged) as (model, _):
        assert {text: served_tokens(model, text) for text in PROMPTS} == trained

    kept = workplace.attempt(tmp_path / "kept", settings(base, **asked, export="Adapter"))
    assert kept.losses == undisturbed.losses
    adapter = kept.root / "exports" / str(STEPS)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="auto"), adapter)
    assert greedy_of(loaded, Path(base)) == trained
    assert {oct(stat.S_IMODE(file.stat().st_mode)) for file in adapter.iterdir()} == {"0o644"}
    with pytest.raises(Invalid, match="it is an adapter, to be merged into its base model first"):
        check(adapter)


def stop_after(steps: int) -> Callable[[Observed], bool]:
    return lambda run: len(run.losses) >= steps


def resumed(workplace: Workplace, volume: Path, changes: Document) -> Observed:
    ancestry = json.dumps([{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}])
    return workplace.attempt(volume, changes, ATTEMPT="2", JOB_UID="job-2", POD_UID="second", RESUME_ANCESTRY=ancestry)


def test_a_checkpoint_holds_the_adapter_alone_and_the_base_is_left_as_it_was(
    workplace: Workplace, tmp_path: Path
) -> None:
    """Also behind an export: the best one is made after the last, of the same base."""
    base = base_of(workplace, "qwen2-tied")
    run = workplace.attempt(tmp_path, settings(base))
    names = set(Held.on(Volume(run.root), manifest_of(run)).metadata.state_dict_metadata)
    held = {name for name in names if not name.startswith("optimizer.param_groups")}
    assert held
    assert all(".lora_" in name for name in held)
    stored = load_file(Path(base) / "model.safetensors")
    for name, parameter in run.network.named_parameters():
        if ".lora_" not in name:
            assert not parameter.requires_grad
            assert torch.equal(local(parameter), stored[name.replace(".base_layer", "")]), name


def manifest_of(run: Observed) -> Manifest:
    (found,) = Volume(run.root).checkpoints()[run.name]
    return found


def test_best_and_last_are_exported_of_the_same_base(workplace: Workplace, tmp_path: Path) -> None:
    base = base_of(workplace, "llama")
    heldout = {"source": workplace.file("heldout"), "split": "Heldout"}
    changes = {
        **settings(base),
        "datasets": [{"source": workplace.file("few")}, heldout],
        "hyperparameters.evalEverySteps": 1,
        "hyperparameters.maxSteps": 8,
    }
    run = workplace.attempt(tmp_path, changes, CHECKPOINT_KEEP_BEST="1")
    exports = sorted((run.root / "exports").iterdir())
    assert len(exports) == 2, "four words are soon learnt by heart"
    best, last, stored = (load_file(folder / "model.safetensors") for folder in (*exports, Path(base)))
    untouched = [name for name in stored if "self_attn" not in name]
    assert all(torch.equal(best[name], stored[name]) and torch.equal(last[name], stored[name]) for name in untouched)
    adapted = "model.layers.0.self_attn.q_proj.weight"
    assert torch.linalg.matrix_rank(best[adapted] - stored[adapted], rtol=1e-4) <= LORA["rank"]


def test_bf16_keeps_the_base_in_bf16_and_the_adapter_in_fp32(workplace: Workplace, tmp_path: Path) -> None:
    base = base_of(workplace, "deepseek_v3")
    changes = {**settings(base, targets=["Linear", "Experts"]), "hyperparameters.precision": "bf16"}
    whole_run = workplace.attempt(tmp_path / "whole", changes)
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in whole_run.network.parameters()}
    assert kinds == {(False, torch.bfloat16), (True, torch.float32)}
    router = next(tensor for name, tensor in whole_run.network.named_buffers() if "correction_bias" in name)
    assert router.dtype == torch.float32, "a rounded bias would send tokens to other experts"
    with safe_open(whole_run.export() / "model.safetensors", "pt") as file:
        assert file.get_slice("model.layers.0.self_attn.o_proj.weight").get_dtype() == "BF16"
    stopped = workplace.attempt(tmp_path / "parts", changes, wants_stop=stop_after(2))
    assert stopped.code == ExitCode.SAVED
    assert stopped.losses + resumed(workplace, tmp_path / "parts", changes).losses == whole_run.losses


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": {"type": "LoRA", "lora": {**LORA, "rank": 8}}}, "has rank 4: write method.lora.rank: 4"),
        ({"method": {"type": "LoRA", "lora": {**LORA, "alpha": 8}}}, "has alpha 16: write method.lora.alpha: 16"),
        (
            {"method": {"type": "LoRA", "lora": {**LORA, "targets": ["q_proj"]}}},
            r"targets \[k_proj, o_proj, q_proj, v_proj\]: write method.lora.targets",
        ),
        ({"method": {"type": "Full"}}, "holds an adapter alone.* write method.type LoRA"),
        ({"model": {"path": "another"}}, "are not those that the adapter of step 3 was trained beside"),
    ],
)
def test_a_checkpoint_of_another_adapter_is_refused(
    workplace: Workplace, tmp_path: Path, change: Document, words: str
) -> None:
    base = base_of(workplace, "llama")
    workplace.attempt(tmp_path / "volume", settings(base), wants_stop=stop_after(2))
    if "model" in change:
        shutil.copytree(base, tmp_path / "another")
        tensors = load_file(Path(base) / "model.safetensors")
        tensors["model.norm.weight"][0] += 1e-3
        save_file(tensors, tmp_path / "another" / "model.safetensors", metadata={"format": "pt"})
        change = {"model": {"path": str(tmp_path / "another")}}
    with pytest.raises(Invalid, match=words):
        resumed(workplace, tmp_path / "volume", {**settings(base), **change})


def test_an_adapter_does_not_go_on_from_all_parameters(workplace: Workplace, tmp_path: Path) -> None:
    base = base_of(workplace, "llama")
    full = {**settings(base), "method": {"type": "Full"}}
    workplace.attempt(tmp_path, full, wants_stop=stop_after(2))
    with pytest.raises(Invalid, match=r"holds all parameters.* write method.type Full"):
        resumed(workplace, tmp_path, settings(base))


def test_a_renamed_base_and_settings_said_in_other_words_go_on(workplace: Workplace, tmp_path: Path) -> None:
    base = base_of(workplace, "llama")
    workplace.attempt(tmp_path / "volume", settings(base), wants_stop=stop_after(2))
    shutil.copytree(base, tmp_path / "elsewhere")
    names = ["v_proj", "q_proj", "self_attn.k_proj", "o_proj"]
    again = {**settings(str(tmp_path / "elsewhere"), targets=names, dropout="0.5"), "model.name": "renamed"}
    assert resumed(workplace, tmp_path / "volume", again).code == ExitCode.COMPLETE


# What each word means, as the shortest ends of paths; the dense layer before the first experts is named in full.
MLA = ("kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "q_a_proj", "q_b_proj")
GATED = ("down_proj", "gate_proj", "up_proj")
FUSED = ("experts.down_proj", "gate_up_proj")
MEANINGS = [
    ("llama", ["Attention"], ("k_proj", "o_proj", "q_proj", "v_proj"), ()),
    ("qwen3-tied", ["Linear"], ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"), ()),
    ("qwen2", ["layers.1.self_attn.q_proj"], ("1.self_attn.q_proj",), ()),
    ("deepseek_v2", ["Attention"], MLA, ()),
    ("deepseek_v2-lite", ["Attention"], ("kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "q_proj"), ()),
    ("deepseek_v3", ["Attention", "q_a_proj"], MLA, ()),
    ("deepseek_v3", ["Experts"], (), FUSED),
    ("deepseek_v3", ["experts.down_proj"], (), ("experts.down_proj",)),
    ("deepseek_v3", ["gate_up_proj"], (), ("gate_up_proj",)),
    (
        "deepseek_v3",
        ["shared_experts.down_proj"],
        ("shared_experts.down_proj",),
        (),
    ),
    ("deepseek_v32", ["Attention"], MLA, ()),
]


@pytest.mark.parametrize(("family", "asked", "layers", "tensors"), MEANINGS)
def test_a_target_means_the_same_in_every_architecture(
    family: str, asked: list[str], layers: tuple[str, ...], tensors: tuple[str, ...]
) -> None:
    model, _ = build(Custom(FAMILIES[family]), seed=0)
    found = targets_of(model, asked)
    assert (found.layers, found.tensors) == (layers, tensors)


@pytest.mark.parametrize(
    ("family", "word", "advice"),
    [
        ("llama", "q_porj", "did you mean q_proj?"),
        ("llama", "attention", "did you mean Attention?"),
        ("llama", "Experts", "this model has none: write Attention or Linear"),
        ("llama", "kv_b_proj", "It has down_proj, gate_proj, k_proj"),
        ("qwen3", "lm_head", "no linear layer inside this model's blocks"),
        ("qwen2-tied", "embed_tokens", "no linear layer inside this model's blocks"),
        ("deepseek_v3", "gate", "no linear layer inside this model's blocks"),
        ("deepseek_v3", "expert.down_proj", "did you mean experts.down_proj?"),
        ("deepseek_v2", "query_key_value", "kv_a_proj_with_mqa"),
        ("deepseek_v32", "indexer.wk", "no linear layer inside this model's blocks"),
    ],
)
def test_a_target_that_the_model_has_not_is_refused_with_the_nearest(family: str, word: str, advice: str) -> None:
    model, _ = build(Custom(FAMILIES[family]), seed=0)
    with pytest.raises(Invalid, match=r"method\.lora\.targets names") as refused:
        targets_of(model, ["Attention", word])
    assert advice in str(refused.value)
