"""A model folder and a dataset of somebody else's: no code in them is run, and nothing in them is waited for."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.model import Model
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data.dataset import read_examples
from deepseek_runtime.trainer.tokenizer import byte_tokenizer
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._marker,)


Damage = Callable[[Path, Path], object]


def pickled(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"model.embed_tokens.weight": Evil(marker)}, folder / "pytorch_model.bin")


def pickled_plainly(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(marker)))


def code(name: str, field: str, places: dict[str, object]) -> Damage:
    """A module beside the weights, named by a configuration."""

    def damage(folder: Path, marker: Path) -> None:
        (folder / "modeling_evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nclass Evil: pass\n")
        value = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps({**value, field: places}))

    return damage


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path, _: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return damage


def header(length: int, text: bytes) -> Damage:
    def damage(folder: Path, _: Path) -> None:
        (folder / "model.safetensors").write_bytes(length.to_bytes(8, "little") + text)

    return damage


def adapter(folder: Path, _: Path) -> None:
    """Weights are said to lie beside it, and a base elsewhere."""
    said = {"peft_type": "LORA", "r": 2, "target_modules": ["o_proj"], "base_model_name_or_path": "/elsewhere"}
    (folder / "adapter_config.json").write_text(json.dumps(said))


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


def tokenizer(change: Callable[[dict[str, object]], object]) -> Damage:
    def damage(folder: Path, _: Path) -> None:
        value = json.loads((folder / "tokenizer.json").read_text())
        change(value)
        (folder / "tokenizer.json").write_text(json.dumps(value))

    return damage


def deep(path: Path) -> None:
    path.write_text('{"model": ' + "[" * 100_000 + "]" * 100_000 + "}")


LYING = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}).encode()
BACKWARDS = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}).encode()
REFUSED: dict[str, Damage] = {
    "weights that call": pickled,
    "weights that call, plainly pickled": pickled_plainly,
    **{
        f"{name} that is {what}": instead(name, make)
        for name in ("config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "chat_template.jinja")
        for what, make in {"a pipe": os.mkfifo, "a link to a device": lambda path: path.symlink_to("/dev/zero")}.items()
    },
    "pipe that nobody named": instead("processor_config.json", os.mkfifo),
    "config.json of a sparse terabyte": instead("config.json", sparse),
    "tokenizer.json of a sparse terabyte": instead("tokenizer.json", sparse),
    "tokenizer.json nested deep": instead("tokenizer.json", deep),
    "config.json nested deep": instead("config.json", deep),
    "tokenizer.json of wrong types": tokenizer(lambda value: value.update(model=7)),
    "tokenizer.json of wrong entries": tokenizer(lambda value: value.update(model={"type": "BPE", "vocab": {"a": -1}})),
    "header that is vast": header(1 << 62, b"{}"),
    "header longer than the file": header(1 << 20, b"{}"),
    "header of a vast tensor": header(len(LYING), LYING + b"\0" * 4),
    "header that goes backwards": header(len(BACKWARDS), BACKWARDS),
    "header nested deep": header(200_000, b"[" * 100_000 + b"]" * 100_000),
}  # fmt: skip
SERVED: dict[str, Damage] = {
    "model's own code": code("config.json", "auto_map", {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}),
    "model's own code, from elsewhere": code("config.json", "auto_map", {"AutoModelForCausalLM": "someone/repo--modeling_evil.Evil"}),
    "tokenizer's own code": code("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["modeling_evil.Evil", "modeling_evil.Evil"]}),
    "generation's own code": code("generation_config.json", "custom_generate", {"a": "modeling_evil"}),
    "adapter of peft": adapter,
    "adapter that leads elsewhere": code("adapter_config.json", "base_model_name_or_path", {"a": "b"}),
}  # fmt: skip


@pytest.fixture
def folder(workplace: Workplace, tmp_path: Path) -> Path:
    """A whole model, without a manifest."""
    shutil.copytree(workplace.export(), tmp_path / "model")
    (tmp_path / "model" / "manifest.json").unlink()
    return tmp_path / "model"


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_model_is_refused_with_words(folder: Path, tmp_path: Path, name: str) -> None:
    REFUSED[name](folder, tmp_path / "executed")
    with pytest.raises(Invalid, match=str(folder)), reading(f"model folder {folder}", "copy it again"):
        Model.load(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", SERVED)
def test_code_of_a_model_is_not_run(folder: Path, tmp_path: Path, name: str) -> None:
    SERVED[name](folder, tmp_path / "executed")
    Model.load(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "a pipe, a socket or a device"),
        (lambda path: path.symlink_to("/dev/zero"), "a pipe, a socket or a device"),
        (lambda path: path.symlink_to(path), "which is not there"),
        (sparse, "holds a NUL byte"),
        (lambda path: path.write_text('{"prompt": ' + "[" * 100_000), "nested too deeply"),
        (lambda path: path.write_bytes(pickle.dumps(["text"])), "a Python pickle"),
    ],
    ids=["pipe", "device", "ring", "sparse", "deep", "pickle"],
)
def test_hostile_dataset_is_refused_with_words(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "data.jsonl")
    with pytest.raises(Invalid, match=words):
        read_examples(Dataset(tmp_path / "data.jsonl", None, "Train", 1.0, "PromptCompletion"), byte_tokenizer(), 16)
