"""Sizing against what others measured and published: ``sizing_cases.toml``, one test per figure."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.domain.devices.accelerator import GIB, Accelerator
from deepseek_operator.domain.layout import FixedDegrees, Sharding
from deepseek_operator.domain.models.catalogue import find
from deepseek_operator.domain.models.model import Architecture, from_config_json
from deepseek_operator.domain.programs.engines.table import memory_lines
from deepseek_operator.domain.sizing import size_serving, size_training
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Refused, Sized
from deepseek_operator.domain.sizing.request import ALL_AXES, ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.serving_memory import room_for_cache
from deepseek_operator.domain.sizing.training_state import Method, Offload, Optimizer, Precision

VLLM = memory_lines()["vllm"]

CASES = tomllib.loads(Path(__file__).with_name("sizing_cases.toml").read_text(encoding="utf-8"))
FORMATS = {"bf16", "fp16", "fp8", "int8", "awq", "gptq", "w4a8", "nvfp4", "mxfp4", "nf4"}
MEASURED, PUBLISHED = 0.10, 0.20


def by_id(cases: list[dict[str, Any]], key: str | None = None) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases if key is None or key in case]


def accelerator(name: str) -> Accelerator:
    device = CASES["device"][name]
    formats = frozenset(FORMATS - set(device.get("lacks", ())))
    peak = {"bf16": device.get("bf16_tflops", 989)}
    link = device.get("interconnect", "NVLink")
    return Accelerator(
        name, "any", "example.com/device", device["memory_gib"], peak, 3.35, device.get("per_node", 8), link, 450,
        formats, formats,
    )  # fmt: skip


def architecture(case: dict[str, Any]) -> Architecture:
    found = from_config_json(CASES["shape"][case["shape"]]) if "shape" in case else find(case["model"]).architecture
    assert found is not None
    return found


def degrees(case: dict[str, Any], context: int | None = None) -> FixedDegrees:
    return FixedDegrees(case.get("tensor"), case.get("pipeline"), case.get("data"), case.get("expert"), context)


def serving(case: dict[str, Any]) -> ServingRequest:
    names = ("storage", "context", "step_tokens", "memory_fraction", "nodes", "per_node")
    given = {name: case[name] for name in names if name in case}
    return ServingRequest(architecture(case), accelerator(case["device"]), VLLM, fixed=degrees(case), **given)


def training(case: dict[str, Any]) -> TrainingRequest:
    names = (
        "sequence",
        "global_batch",
        "micro_batch",
        "base_storage",
        "fused_backward",
        "fused_loss",
        "host_memory_gib",
    )
    given = {name: case[name] for name in names if name in case}
    return TrainingRequest(
        architecture(case),
        accelerator(case["device"]),
        nodes=case.get("nodes", 1),
        per_node=case.get("per_node", 1),
        method=Method(case.get("method", "Full")),
        precision=Precision(case.get("precision", "bf16")),
        optimizer=Optimizer(case.get("optimizer", "AdamW")),
        sharding=Sharding(case.get("sharding", "FSDP")),
        offload=Offload(case.get("offload", "None")),
        recompute=Recompute(case["recompute"]) if "recompute" in case else None,
        fixed=degrees(case, case.get("context")),
        axes=frozenset(case.get("axes", ALL_AXES)),
        **given,
    )


def judge(case: dict[str, Any], result: Sized | Refused) -> None:
    assert isinstance(result, Sized) == case["fits"], result
    if case["fits"]:
        assert isinstance(result, Sized)
        assert result.shape.nodes == case.get("nodes", 1)
        assert result.shape.per_node == case.get("per_node", 1)
    if case.get("tight"):
        assert isinstance(result, Sized)
        assert "Tight" in [notice.reason for notice in result.warnings]


@pytest.mark.parametrize("case", by_id(CASES["serving"]))
def test_serving_fits_where_the_source_says_so(case: dict[str, Any]) -> None:
    judge(case, size_serving(serving(case)))


@pytest.mark.parametrize("case", by_id(CASES["training"]))
def test_training_fits_where_the_source_says_so(case: dict[str, Any]) -> None:
    judge(case, size_training(training(case)))


@pytest.mark.parametrize("case", by_id(CASES["serving"], "lines"))
def test_serving_memory_agrees_with_what_was_measured(case: dict[str, Any]) -> None:
    request = serving(case)
    result = size_serving(request)
    assert isinstance(result, Sized)
    for name, measured in case["lines"].items():
        assert result.memory.bytes_of(name) / GIB == pytest.approx(measured, rel=MEASURED)
    if "room_for_cache" in case:
        assert room_for_cache(request, result.memory) / GIB == pytest.approx(case["room_for_cache"], rel=MEASURED)


@pytest.mark.parametrize("case", by_id(CASES["training"], "need"))
def test_training_memory_agrees_with_what_was_measured(case: dict[str, Any]) -> None:
    result = size_training(training(case))
    assert isinstance(result, Sized)
    assert result.memory.need_bytes / GIB == pytest.approx(case["need"], rel=MEASURED)


@pytest.mark.parametrize("case", by_id(CASES["training"], "floor"))
def test_training_memory_is_never_below_the_model_states(case: dict[str, Any]) -> None:
    result = size_training(training(case))
    assert isinstance(result, Sized)
    assert result.memory.need_bytes / GIB >= case["floor"]


@pytest.mark.parametrize("case", by_id(CASES["training"], "total_gb"))
def test_training_memory_agrees_with_what_was_published(case: dict[str, Any]) -> None:
    result = size_training(training(case))
    assert isinstance(result, Sized)
    assert result.memory.need_bytes / 1e9 == pytest.approx(case["total_gb"], rel=PUBLISHED)


def test_every_case_names_its_source_and_each_exception_its_reason() -> None:
    cases = CASES["serving"] + CASES["training"]
    assert all(case["source"] for case in cases)
    assert all(len(case["exception"]) > 40 for case in cases if "exception" in case)
    assert len({case["id"] for case in cases}) == len(cases)
