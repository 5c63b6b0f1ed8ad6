"""The look at adapters before an engine that compares shapes alone: right base, another, and folders that are none."""

import hashlib
import json
import struct
from contextlib import nullcontext
from pathlib import Path

import pytest

from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.engine.check import base_digest, check, main
from deepseek_runtime.engine.settings import Adapter, Settings

EMPTY = struct.pack("<Q", 2) + b"{}"


def model(folder: Path, content: bytes = EMPTY) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(content)
    return folder


def adapter(folder: Path, **fields: object) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **fields}))
    (folder / "adapter_model.safetensors").write_bytes(EMPTY)
    return folder


def holding(path: Path, tensor: str) -> Path:
    """The adapter with one tensor of that name."""
    header = json.dumps({tensor: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return path


def settings(base: Path, *adapters: Path) -> Settings:
    listed = tuple(Adapter(path.name, path) for path in adapters)
    return Settings(base, "m", 8000, 1, 1, 1.0, listed)


def test_the_digest_is_over_names_and_contents_in_their_order(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    lines = (
        f"{hashlib.sha256((base / n).read_bytes()).hexdigest()}  {n}\n" for n in ("config.json", "model.safetensors")
    )
    assert base_digest(base) == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_an_adapter_of_this_base_and_one_that_says_nothing_pass(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    check(settings(base, adapter(tmp_path / "a", base_model_sha256=base_digest(base)), adapter(tmp_path / "b")))


def test_nothing_is_read_for_adapters_that_say_nothing(tmp_path: Path) -> None:
    check(settings(tmp_path / "absent", adapter(tmp_path / "a")))


@pytest.mark.parametrize("other", [b"", EMPTY + b"\0", b"\1" + EMPTY])
def test_an_adapter_of_another_base_is_refused_by_name(tmp_path: Path, other: bytes) -> None:
    base, wrong = model(tmp_path / "base"), model(tmp_path / "other", other)
    with pytest.raises(Invalid, match=r"adapter a was trained beside other weights \(sha256 \w{12}\) than those"):
        check(settings(wrong, adapter(tmp_path / "a", base_model_sha256=base_digest(base))))


@pytest.mark.parametrize(
    ("tensor", "is_refused"),
    [
        ("base_model.model.model.layers.1.mlp.experts.lora_A.weight", True),
        ("base_model.model.model.layers.1.mlp.experts.base_layer.lora_B.weight", True),
        ("base_model.model.model.layers.1.mlp.experts.0.down_proj.lora_A.weight", False),
        ("base_model.model.model.layers.1.mlp.shared_experts.down_proj.lora_A.weight", False),
        ("base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight", False),
    ],
)
def test_an_adapter_of_fused_experts_is_not_served_without_them(tmp_path: Path, tensor: str, is_refused: bool) -> None:
    path = holding(adapter(tmp_path / "a"), tensor)
    if not is_refused:
        check(settings(tmp_path, path))
        return
    with pytest.raises(Invalid, match="adapter a stands beside fused experts, and this engine would answer without"):
        check(settings(tmp_path, path))


@pytest.mark.parametrize(
    ("layer", "unread", "is_refused"),
    [
        ("kv_b_proj", ["kv_b_proj"], True),
        ("kv_b_proj", [], False),
        ("kv_a_proj_with_mqa", ["kv_b_proj"], False),
        ("o_proj", ["kv_b_proj"], False),
    ],
)
def test_an_adapter_of_a_layer_that_goes_unread_is_not_served_without_it(
    tmp_path: Path, layer: str, unread: list[str], is_refused: bool
) -> None:
    path = holding(adapter(tmp_path / "a"), f"base_model.model.model.layers.1.self_attn.{layer}.lora_A.weight")
    with pytest.raises(Invalid, match="adapter a stands beside kv_b_proj") if is_refused else nullcontext():
        check(settings(tmp_path, path), unread)


def test_a_pod_ends_with_64_and_the_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.dumps([{"name": "legal", "path": str(tmp_path / "absent")}])
    monkeypatch.setenv("DEEPSEEK_MODEL_PATH", str(tmp_path))
    monkeypatch.setenv("DEEPSEEK_ADAPTERS", listed)
    monkeypatch.setenv("DEEPSEEK_TERMINATION_LOG", str(tmp_path / "log"))
    assert main() == ExitCode.INVALID
    assert "does not exist" in json.loads((tmp_path / "log").read_text())["message"]
    monkeypatch.setenv("DEEPSEEK_ADAPTERS", "[")
    assert main() == ExitCode.INVALID
    monkeypatch.setenv("DEEPSEEK_ADAPTERS", "[]")
    assert main() == 0
