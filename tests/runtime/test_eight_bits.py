"""A training that begins with weights in FP8: as from the weights that they stand for, and its export is a plain model."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.adapter import base_files, digest_of
from deepseek_runtime.model_folder.scales import Blocks
from deepseek_runtime.pretrained import load_network
from deepseek_runtime.scaled import opened
from tests.runtime.eight_bits import in_fp8
from tests.runtime.families import FAMILIES
from tests.runtime.observed import Document
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

READ = ("llama", "qwen2", "qwen3-tied", "mistral", "deepseek_v2-lite", "deepseek_v3", "deepseek_v32")
BLOCKS = (12, 10)
"""No width of the small models is whole blocks of these."""


def folders(workplace: Workplace, family: str, place: Path) -> tuple[Path, Path]:
    plain = workplace.train({"model.custom": dict(FAMILIES[family])}).export()
    in_fp8(plain, place / "fp8", place / "exact", BLOCKS)
    return place / "fp8", place / "exact"


@pytest.mark.parametrize("family", READ)
def test_it_learns_as_from_the_weights_that_they_stand_for(workplace: Workplace, family: str, tmp_path: Path) -> None:
    fp8, exact = folders(workplace, family, tmp_path)
    expected = workplace.attempt(tmp_path / "one", {"model": {"path": str(exact)}})
    found = workplace.attempt(tmp_path / "other", {"model": {"path": str(fp8)}})
    assert found.losses == expected.losses
    assert torch.equal(found.updates[-1].change, expected.updates[-1].change)

    export = found.export()
    assert "quantization_config" not in json.loads((export / "config.json").read_text())
    written, meant = load_file(export / "model.safetensors"), load_file(expected.export() / "model.safetensors")
    assert written.keys() == meant.keys()
    assert all(torch.equal(written[name], meant[name]) for name in meant)
    load_network(export, torch.float32)


@pytest.mark.parametrize("kind", [{"type": "LoRA", "lora": {"rank": 4, "export": "Adapter"}}, {"type": "PTuning"}])
def test_an_adapter_names_the_files_that_it_was_trained_beside(
    workplace: Workplace, kind: Document, tmp_path: Path
) -> None:
    fp8, exact = folders(workplace, "deepseek_v3", tmp_path)
    runs = {}
    for path in (fp8, exact):
        runs[path] = workplace.attempt(tmp_path / f"run-{path.name}", {"model": {"path": str(path)}, "method": kind})
    assert runs[fp8].losses == runs[exact].losses
    bases = [(runs[path].export() / "adapter_config.json").read_text() for path in (fp8, exact)]
    for path, text in zip((fp8, exact), bases, strict=True):
        assert digest_of((file.name, _sha256(file)) for file in base_files(path)) in text
    assert bases[0] != bases[1]


def test_an_engine_computes_in_sixteen_bits(workplace: Workplace, tmp_path: Path) -> None:
    fp8, _ = folders(workplace, "deepseek_v3", tmp_path)
    config = json.loads((fp8 / "config.json").read_text())
    (fp8 / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16", "torch_dtype": "bfloat16"}))
    network = load_network(fp8, "auto")
    assert {one.dtype for name, one in network.named_parameters() if "proj" in name} == {torch.bfloat16}


def _without_scales(fp8: Path) -> None:
    weights = load_file(fp8 / "model.safetensors")
    save_file({name: one for name, one in weights.items() if "scale" not in name}, fp8 / "model.safetensors")


def _with_few_scales(fp8: Path) -> None:
    weights = load_file(fp8 / "model.safetensors")
    cut = {name: one[:1].contiguous() if "scale" in name else one for name, one in weights.items()}
    save_file(cut, fp8 / "model.safetensors")


def _said(**changes: object) -> Callable[[Path], None]:
    def say(fp8: Path) -> None:
        config = json.loads((fp8 / "config.json").read_text())
        config["quantization_config"] = {**config["quantization_config"], **changes}
        (fp8 / "config.json").write_text(json.dumps(config))

    return say


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without_scales, r"without weight_scale_inv beside it.*bf16 model"),
        (_with_few_scales, r"weight_scale_inv is of shape \[1, \d+\], and .* has \[\d+, \d+\] blocks"),
        (_said(weight_block_size=[128, 128]), r"blocks of 128 × 128.*is of shape"),
        (_said(weight_block_size=None), r"quant_method fp8.*FP8 in blocks alone.*bf16 model"),
        (_said(fmt="e5m2"), r"quant_method fp8.*bf16 model"),
        (_said(quant_method="awq"), r"quant_method awq.*bf16 model"),
    ],
)
def test_what_is_no_such_model_is_refused_with_what_to_give(
    workplace: Workplace, tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    fp8, _ = folders(workplace, "llama", tmp_path)
    damage(fp8)
    with pytest.raises(Invalid, match=told):
        workplace.attempt(tmp_path / "run", {"model": {"path": str(fp8)}})
    shutil.rmtree(fp8)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("shape", [(30, 25), (12, 10), (5, 40), (37, 1)])
def test_any_part_of_a_matrix_is_that_part_of_the_whole(tmp_path: Path, shape: tuple[int, int]) -> None:
    """A process of several asks for its rows, which begin and end anywhere in a block."""
    torch.manual_seed(0)
    numbers = torch.randn(shape).to(torch.float8_e4m3fn)
    rows, columns = (-(-size // block) for size, block in zip(shape, BLOCKS, strict=True))
    save_file({"a.weight": numbers, "a.weight_scale_inv": torch.rand(rows, columns)}, tmp_path / "one.safetensors")
    with opened([tmp_path / "one.safetensors"], Blocks(*BLOCKS)) as tensors:
        assert list(tensors) == ["a.weight"]
        assert tensors["a.weight"].get_shape() == list(shape)
        whole = tensors["a.weight"][...]
        scales = torch.kron(load_file(tmp_path / "one.safetensors")["a.weight_scale_inv"], torch.ones(BLOCKS))
        assert torch.equal(whole, numbers.float() * scales[: shape[0], : shape[1]])
        for begin in range(0, shape[0], 3):
            for part in (slice(begin, begin + 7), slice(begin, begin), slice(begin, shape[0] + 9)):
                assert torch.equal(tensors["a.weight"][part], whole[part])
                assert torch.equal(tensors["a.weight"][part, slice(begin, 20)], whole[part, begin:20])
