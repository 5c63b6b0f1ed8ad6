"""Weights that don't fit their configuration are refused by trainer and engine alike, with the tensors' names."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.engine.model import Model
from deepseek_runtime.spec import Weights
from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, byte_tokenizer
from tests.runtime.families import FAMILIES
from tests.runtime.pods import Attempt, Process, spec
from tests.runtime.whole_model import build

Tensors = dict[str, torch.Tensor]
READERS: dict[str, Callable[[Path], object]] = {
    "trainer": lambda path: build(Weights(path), seed=0),
    "engine": Model.load,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model folder of a family, made once."""
    folders: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in folders:
            folders[family] = path = tmp_path_factory.mktemp(family)
            fields = {**FAMILIES[family], "vocab_size": BYTE_VOCABULARY}
            AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).save_pretrained(path)
            byte_tokenizer().save_pretrained(path)
        return folders[family]

    return make


def altered(source: Path, copy: Path, change: Callable[[Tensors], Tensors]) -> Path:
    copy.mkdir()
    for file in source.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    save_file(change(load_file(source / "model.safetensors")), copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def prefixed(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def lacking(part: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


def with_more(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: torch.zeros(shape)}


def inside(prefix: str) -> Callable[[Tensors], Tensors]:
    """As torch.compile leaves the names of one part."""
    return lambda tensors: {name.replace("layers.0.", f"layers.0.{prefix}"): one for name, one in tensors.items()}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("family", "change", "told"),
    [
        ("qwen2", prefixed("_orig_mod."), r"prefix '_orig_mod\.' of a wrapper.*take it off"),
        ("llama", prefixed("module."), r"prefix 'module\.' of a wrapper.*take it off"),
        ("qwen3", prefixed("base_model.model."), r"prefix 'base_model\.model\.' of a wrapper.*take it off"),
        ("deepseek_v3", inside("_orig_mod."), r"prefix '_orig_mod\.' of a wrapper.*take it off"),
        ("qwen2", lacking("lm_head"), r"missing tensors: lm_head\.weight;"),
        ("llama", lacking("layers.1."), r"missing tensors: model\.layers\.1\.input_layernorm.* and 5 more;"),
        ("llama-tied", lacking("embed_tokens"), r"missing tensors: .*model\.embed_tokens\.weight"),
        ("deepseek_v3", lacking("experts.2.up_proj"), r"lack model\.layers\.1\.mlp\.experts\.2\.up_proj\.weight"),
        ("deepseek_v2", lacking("experts.0."), r"experts\.down_proj is of shape \[3, 16, 16\] and should be \[4, 16, 16\]"),
        ("deepseek_v3", lacking("e_score_correction_bias"), r"missing.*e_score_correction_bias"),
        ("qwen2", lacking("q_proj.bias"), r"missing tensors: .*0\.self_attn\.q_proj\.bias, .*1\.self_attn\.q_proj\.bias;"),
        ("llama", with_more("model.layers.0.self_attn.q_proj.bias", 16), r"the model has not: model\.layers\.0.*bias;"),
        ("llama", with_more("model.embed_tokens.weight", 258, 16), r"embed_tokens\.weight .*\[258, 16\].*\[259, 16\]"),
        ("deepseek_v3", with_more("model.norm.weight", 8), r"norm\.weight .*\[8\].*\[16\]"),
        ("deepseek_v3", with_more("model.layers.0.self_attn.o_proj.weight_scale_inv", 1), r"scale_inv.*bf16"),
        ("deepseek_v3", with_more("model.layers.2.mlp.up_proj.weight_scale_inv", 1), r"scale_inv.*bf16"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(
    made: Callable[[str], Path],
    tmp_path: Path,
    reader: str,
    family: str,
    change: Callable[[Tensors], Tensors],
    told: str,
) -> None:
    with pytest.raises(Invalid, match=told):
        READERS[reader](altered(made(family), tmp_path / "model", change))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("deepseek_v3", with_more("model.layers.2.eh_proj.weight", 16, 32)),
        ("deepseek_v3", with_more("model.layers.2.mlp.experts.0.up_proj.weight", 16, 16)),
        ("deepseek_v4", with_more("mtp.0.e_proj.weight", 16, 16)),
        ("llama", with_more("model.layers.0.self_attn.rotary_emb.inv_freq", 4)),
        ("qwen2-tied", lambda tensors: {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()}),
    ],
)
def test_what_nothing_reads_may_stay(
    made: Callable[[str], Path], tmp_path: Path, reader: str, family: str, change: Callable[[Tensors], Tensors]
) -> None:
    READERS[reader](altered(made(family), tmp_path / "model", change))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("deepseek", "'deepseek', which is not known to transformers.*deepseek_v3.*engine.type vllm"),
        ("deepseek_v41", "'deepseek_v41', which is not known to transformers.*deepseek_v3"),
        ("qwen9", "'qwen9', which is not known"),
        ("deepseek_ocr2", "'deepseek_ocr2', which is no language model"),
        ("clip", "'clip', which is no language model"),
    ],
)
def test_architecture_that_transformers_lacks_is_refused(
    made: Callable[[str], Path], tmp_path: Path, reader: str, kind: str, told: str
) -> None:
    path = altered(made("llama"), tmp_path / "model", lambda tensors: tensors)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "model_type": kind}))
    with pytest.raises(Invalid, match=told):
        READERS[reader](path)


def test_engine_dies_with_the_names_as_its_last_words(made: Callable[[str], Path], tmp_path: Path) -> None:
    path, log = altered(made("qwen2"), tmp_path / "model", lacking("layers.1.mlp")), tmp_path / "termination"
    variables = {"DEEPSEEK_MODEL_PATH": str(path), "DEEPSEEK_PORT": "0", "DEEPSEEK_TERMINATION_LOG": str(log)}
    process = Process.fork("deepseek_runtime.engine", (), variables)
    assert process.ended() == ExitCode.INVALID, process.log
    assert "is ready" not in process.log
    last = json.loads(log.read_text())
    assert last["result"] == "Invalid"
    assert "missing tensors: model.layers.1.mlp.down_proj.weight" in last["message"]


def test_trainer_ends_for_good_with_the_file_and_the_remedy(made: Callable[[str], Path], tmp_path: Path) -> None:
    path = altered(made("qwen2"), tmp_path / "model", lambda tensors: tensors)
    (path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 42\n")
    wanted = json.loads(spec()) | {"model": {"path": str(path)}}
    attempt = Attempt(tmp_path / "volume", 1, "first", json.dumps(wanted))
    attempt.volume.mkdir()
    process = attempt.start()
    assert process.ended() == ExitCode.INVALID, process.log
    last = attempt.termination()
    assert last["result"] == "Invalid"
    assert f"{path}/model.safetensors is a Git-LFS pointer" in str(last["message"])
    assert "git lfs pull" in str(last["message"])


def test_what_the_libraries_do_inside_is_not_told_in_the_log() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import deepseek_runtime.engine.model, deepseek_runtime.trainer.lora"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "operator"},
        check=True,
    )
    assert (told.stdout, told.stderr) == ("", "")
