"""A folder that is no whole model is named for what it is, before a library stumbles over it."""

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.folder import check, check_files

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4221588\n"
PAGE = "<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def safetensors(*names: str, kind: str = "BF16") -> bytes:
    """A file of one number for each name."""
    width = 1 if kind.startswith("F8") else 2
    entries = {
        name: {"dtype": kind, "shape": [1], "data_offsets": [width * place, width * (place + 1)]}
        for place, name in enumerate(names)
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(width * len(names))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole one, of one file."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "qwen2"}')
    (path / "generation_config.json").write_text('{"temperature": 0.6}')
    (path / "tokenizer.json").write_text('{"version": "1.0"}')
    (path / "tokenizer_config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(safetensors("a", "b"))
    return path


@pytest.fixture
def sharded(model: Path) -> Path:
    """The same in two files under an index."""
    (model / "model.safetensors").unlink()
    for shard, name in zip(SHARDS, "ab", strict=True):
        (model / shard).write_bytes(safetensors(name))
    (model / INDEX).write_text(json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}))
    return model


def cut(file: Path, count: int) -> None:
    file.write_bytes(file.read_bytes()[:count])


def replaced(name: str, content: str) -> Callable[[Path], object]:
    return lambda path: (path / name).write_text(content)


def without(name: str) -> Callable[[Path], object]:
    return lambda path: (path / name).unlink()


def test_whole_models_are_taken(model: Path) -> None:
    check(model)
    (model / "model.safetensors").rename(model / "elsewhere")
    (model / "model.safetensors").symlink_to(model / "elsewhere")
    check(model)


def test_whole_models_in_shards_are_taken(sharded: Path) -> None:
    check(sharded)


@pytest.mark.parametrize(
    ("damage", "file", "told"),
    [
        (replaced("model.safetensors", POINTER), "model.safetensors", "Git-LFS pointer.*git lfs pull"),
        (replaced("tokenizer.json", POINTER), "tokenizer.json", "Git-LFS pointer.*git lfs pull"),
        (replaced("config.json", POINTER), "config.json", "Git-LFS pointer.*git lfs pull"),
        (replaced("model.safetensors", PAGE), "model.safetensors", "web page.*download"),
        (replaced("config.json", "\n" + PAGE.lower()), "config.json", "web page.*download"),
        (replaced("tokenizer_config.json", PAGE), "tokenizer_config.json", "web page.*download"),
        (replaced("model.safetensors", ""), "model.safetensors", "empty.*download"),
        (replaced("config.json", ""), "config.json", "empty.*download"),
        (replaced("generation_config.json", "{"), "generation_config.json", "no JSON.*download"),
        (replaced("config.json", '{"model_type": "qwen2",'), "config.json", "no JSON.*download"),
        (replaced("config.json", "[" * 100_000), "config.json", "no JSON.*download"),
        (replaced("config.json", '["qwen2"]'), "config.json", "no JSON object but list"),
        (replaced("config.json", '{"hidden_size": 8}'), "config.json", "no model_type"),
        (replaced("config.json", '{"model_type": 2}'), "config.json", "no model_type"),
        (lambda p: cut(p / "model.safetensors", 4), "model.safetensors", "no safetensors file"),
        (lambda p: cut(p / "model.safetensors", 40), "model.safetensors", "cut off within its header.*40 bytes"),
        (lambda p: cut(p / "model.safetensors", -1), "model.safetensors", "cut off.*header tells of"),
        (replaced("model.safetensors", '{"error": "Repository not found"}'), "model.safetensors", "no safetensors"),
        (lambda p: (p / "model.safetensors").open("ab").write(b"more"), "model.safetensors", "longer than it says"),
        (without("model.safetensors"), "", "no weights.*download"),
        (without("tokenizer.json"), "", "no tokenizer.*copy it from the model"),
        (without("config.json"), "", "no config.json but generation_config.json"),
    ],
)  # fmt: skip
def test_damage_is_named_with_the_file_and_what_to_do(
    model: Path, damage: Callable[[Path], object], file: str, told: str
) -> None:
    damage(model)
    with pytest.raises(Invalid, match=rf"(?s){model / file}.*{told}"):
        check(model)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (without(SHARDS[1]), f"{SHARDS[1]} is missing, {INDEX} names it"),
        (lambda p: cut(p / SHARDS[0], -1), f"{SHARDS[0]} is cut off"),
        (replaced(SHARDS[1], POINTER), f"{SHARDS[1]} is a Git-LFS pointer"),
        (lambda p: (p / SHARDS[1]).write_bytes(safetensors("c")), f"{INDEX} is of other files.*{SHARDS[1]} lacks b"),
        (replaced(INDEX, "{}"), f"{INDEX} has no weight_map"),
        (replaced(INDEX, '{"weight_map": {"a": 1}}'), f"{INDEX} has no weight_map"),
        (replaced(INDEX, '{"weight_map": {"a": "../a.safetensors"}}'), "outside of its folder"),
        (without(INDEX), f"2 .*without {INDEX}|{SHARDS[0]}, {SHARDS[1]} without {INDEX}"),
    ],
)  # fmt: skip
def test_index_and_shards_must_agree(sharded: Path, damage: Callable[[Path], object], told: str) -> None:
    damage(sharded)
    with pytest.raises(Invalid, match=told):
        check(sharded)


@pytest.mark.parametrize(
    "content",
    [
        safetensors("a.weight", kind="F8_E4M3"),
        safetensors("a.weight", "a.weight_scale_inv"),
        safetensors("a.weight", kind="F8_E5M2"),
        safetensors("a.weight", kind="F4"),
    ],
)
def test_weights_with_scales_need_another_form(model: Path, content: bytes) -> None:
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(Invalid, match=r"quantized.*a\.weight.*give the bf16 model.*engine\.type vllm"):
        check(model)


@pytest.mark.parametrize("method", ["fp8", "awq", "gptq", "compressed-tensors"])
def test_quantized_configuration_needs_another_form(model: Path, method: str) -> None:
    (model / "config.json").write_text(
        json.dumps({"model_type": "qwen2", "quantization_config": {"quant_method": method}})
    )
    with pytest.raises(Invalid, match=f"quant_method {method}.*bf16"):
        check(model)


def test_links_out_of_the_mount_are_named(model: Path, tmp_path: Path) -> None:
    """A hub cache's snapshot, of which a claim's subPath brings the links alone."""
    for file in model.iterdir():
        file.unlink()
        file.symlink_to(f"../../blobs/{file.name}-blob")
    with pytest.raises(Invalid, match=r"config\.json is a link to \.\./\.\./blobs/config\.json-blob.*cp -rL"):
        check(model)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("bf16/config.json", "README.md"), "its subfolder bf16 does: write that path"),
        (("snapshots/ab12/config.json", "refs/main"), "hub cache.* snapshots/ab12: write that path"),
        (("adapter_config.json", "adapter_model.safetensors"), "an adapter"),
        (("r1-distill.Q4_K_M.gguf",), "GGUF"),
        ((), "it is empty"),
    ],
)
def test_neighbour_of_a_model_leads_to_it(tmp_path: Path, files: tuple[str, ...], told: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(Invalid, match=f"holds no config.json.*{told}"):
        check(tmp_path)


def test_absent_folder_and_a_file_are_no_folder(model: Path) -> None:
    with pytest.raises(Invalid, match="does not exist"):
        check(model / "nowhere")
    with pytest.raises(Invalid, match="is a file"):
        check(model / "config.json")


@pytest.mark.parametrize("looked_at", [check, check_files])
@pytest.mark.skipif(os.geteuid() != 0, reason="root gives its rights away for this")
def test_file_of_another_user_says_how_to_open_it(model: Path, looked_at: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "model"
        shutil.copytree(model, copy)
        Path(name).chmod(0o755)
        (copy / "model.safetensors").chmod(0o600)
        os.seteuid(65532)
        try:
            with pytest.raises(Invalid, match=r"not readable for uid 65532.*chmod -R a\+rX"):
                looked_at(copy)
        finally:
            os.seteuid(0)


def test_a_folder_that_only_another_trainer_takes_is_whole_for_it(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    (tmp_path / "modeling_own.py").write_text("")
    check_files(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(Invalid, match="Git-LFS pointer"):
        check_files(tmp_path)
