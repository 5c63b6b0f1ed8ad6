"""Experts that can't be dealt out are refused with what to write, before anything is read."""

from typing import Any

import pytest
import torch
from torch.distributed.fsdp import MixedPrecisionPolicy

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Custom, LoRA
from deepseek_runtime.trainer.experts import deal_out, plan_of
from deepseek_runtime.trainer.lora import Lora
from deepseek_runtime.trainer.model import outline
from tests.runtime.families import FAMILIES


class Mesh:
    """Of so many processes: refusals come before any is asked."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def size(self) -> int:
        return self._processes


def refused(family: str, processes: int, over: int, lora: tuple[str, ...] = ()) -> str:
    model, _ = outline(Custom(dict(FAMILIES[family])))
    if lora:
        Lora(LoRA(2, 2, 0.0, lora, "Adapter"), "", "fp32", 0).prepare(model)
    mesh: Any = Mesh(processes)
    with pytest.raises(Invalid) as caught:
        deal_out(model, mesh, over, MixedPrecisionPolicy())
    return str(caught.value)


@pytest.mark.parametrize("family", [name for name, fields in FAMILIES.items() if "n_routed_experts" not in fields])
def test_a_dense_model_has_none(family: str) -> None:
    assert "no routed experts" in refused(family, 2, 2)


@pytest.mark.parametrize("family", [name for name, fields in FAMILIES.items() if "n_routed_experts" in fields])
def test_every_mixture_has_a_plan_of_all_its_experts(family: str) -> None:
    model, _ = outline(Custom(dict(FAMILIES[family])))
    divided = {path for path, style in plan_of(model).items() if style == "grouped_gemm"}
    assert divided == {path for path, tensor in model.named_parameters() if tensor.ndim == 3 and ".experts." in path}
    assert divided


def test_numbers_that_do_not_divide_are_named() -> None:
    assert "does not divide the 4 experts" in refused("deepseek_v3", 6, 3)
    assert "does not divide the 6 processes" in refused("deepseek_v3", 6, 4)


@pytest.mark.parametrize("targets", [("Experts",), ("Attention", "experts.down_proj"), ("Linear", "Experts")])
def test_adapters_of_experts_stay_whole(targets: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    assert "method.lora.targets name experts" in refused("deepseek_v2", 2, 2, targets)
