"""Commands as they are given to the cluster: per vendor, per engine and release, per trainer."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.domain.devices.profiles import HostMount, Profile, pod_needs
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.programs.engines.table import ENGINES, build
from deepseek_operator.domain.programs.trainers.request import Objective, Tuning
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.domain.programs.trainers.table import build as build_trainer
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.domain.values.command import Command, Probe, Refusal
from tests.golden.conftest import FOLDER
from tests.support.requests import serving, training

VENDORS = {"nvidia": "h200", "amd": "mi300x", "intel": "gaudi3", "huawei": "ascend910b"}
RELEASES = {
    "vllm": ("0.18.0", "0.20.0", "0.25.0", "0.33.0"),
    "sglang": ("0.5.13", "0.5.23"),
    "tensorrt-llm": ("1.2.1", "1.3.0"),
    "triton": ("25.10",),
    "builtin": ("0.1.0",),
}
MODELS = {
    "deepseek-r1": Layout(tensor=8),
    "deepseek-v3.1": Layout(data=8, expert=8),
    "deepseek-v3.2": Layout(tensor=8, expert=8),
    "deepseek-v4-flash": Layout(tensor=4, expert=4),
    "deepseek-v4.1-flash": Layout(tensor=8, expert=8),
    "deepseek-r1-distill-llama-70b": Layout(tensor=2),
    "deepseek-r1-distill-qwen-7b": Layout(),
}
ZERO3 = Layout(data=16, sharding=Sharding.ZERO3, shard=16)
WIDE = Layout(tensor=2, pipeline=8, data=8, expert=8)
PRETRAIN = Objective.PRETRAIN
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "builtin": ("deepseek-r1-distill-llama-8b", {"layout": Layout(data=8, sharding=Sharding.FSDP, shard=8)}),
    "llama-factory": ("deepseek-r1-distill-llama-70b", {"layout": ZERO3, "tuning": Tuning(Method.LORA)}),
    "ms-swift": ("deepseek-r1-distill-qwen-32b", {"layout": ZERO3}),
    "ms-swift-megatron": ("deepseek-v3", {"layout": WIDE, "tuning": Tuning(Method.LORA, rank=32)}),
    "deepspeed": ("deepseek-r1-distill-llama-8b", {"layout": ZERO3, "script": ("/app/train.py",)}),
    "torchtitan": ("deepseek-v3", {"layout": WIDE, "objective": PRETRAIN}),
    "megatron-bridge": ("deepseek-v3", {"layout": WIDE, "objective": PRETRAIN}),
}
LEARNT: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama-factory-dpo": ("llama-factory", "deepseek-r1-distill-llama-8b", {"objective": Objective.DPO, "tuning": Tuning(Method.LORA)}),
    "llama-factory-pretrain": ("llama-factory", "deepseek-r1-distill-llama-8b", {"objective": PRETRAIN, "layout": ZERO3}),
    "ms-swift-dpo": ("ms-swift", "deepseek-r1-distill-qwen-7b", {"objective": Objective.DPO, "layout": ZERO3}),
    "ms-swift-dpo-megatron": ("ms-swift", "deepseek-v3", {"objective": Objective.DPO, "layout": WIDE, "tuning": Tuning(Method.LORA)}),
    "ms-swift-grpo": ("ms-swift", "deepseek-r1-distill-qwen-7b", {"objective": Objective.GRPO, "tuning": Tuning(Method.LORA)}),
    "ms-swift-distill": ("ms-swift", "deepseek-r1-distill-qwen-7b", {"objective": Objective.DISTILL, "tuning": Tuning(Method.LORA)}),
}  # fmt: skip
"""What else than SFT each of them learns; the trainers of pre-training alone stand above."""


def probe(found: Probe | None) -> str | None:
    if found is None:
        return None
    target = f"GET {found.path}" if found.path else "TCP"
    return f"{target} :{found.port} every {found.period_seconds} s, {found.failure_threshold} times, {found.timeout_seconds} s each"


def shown(built: Command | Refusal) -> dict[str, object]:
    """A command or a refusal as a reviewer reads it; empty parts are left out."""
    if isinstance(built, Refusal):
        return {"refused": str(built)}
    parts: dict[str, object] = {
        "args": list(built.args),
        "workerArgs": None if built.worker_args is None else list(built.worker_args),
        "env": dict(built.env),
        "devices": f"{built.devices} = {built.nodes} × {built.devices_per_node}",
        "files": {path: text.splitlines() for path, text in built.files.items()},
        "ports": {port.name: port.number for port in built.ports},
        "probes": built.probes
        and {name: probe(getattr(built.probes, name)) for name in ("startup", "liveness", "readiness")},
        "metrics": built.metrics and f"{built.metrics.path} :{built.metrics.port}",
        "terminationGraceSeconds": built.termination_grace_seconds,
        "warnings": list(built.warnings),
    }
    return {name: part for name, part in parts.items() if part}


def placed(profile: Profile, program: str, version: str, built: Command) -> dict[str, object]:
    """What a pod needs beside its command."""
    needs = pod_needs(profile, built.devices_per_node, built.nodes)
    patch = {name: value for name, value in vars(needs.patch).items() if value}
    return {
        "image": profile.image(program, version, ENGINES[program].by_calendar),
        "resources": dict(needs.resources),
        "nodeSelector": dict(needs.node_selector),
        "tolerations": [vars(toleration) for toleration in needs.tolerations],
        "sharedMemoryGiB": needs.shared_memory_gib,
        "patch": {name: as_text(value) for name, value in patch.items()},
    }


def as_text(value: object) -> object:
    if isinstance(value, tuple):
        return [str(vars(item)) if isinstance(item, HostMount) else item for item in value]
    return value


def text(value: dict[str, object]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_dense_spec_has_each_vendors_resource_env_image_and_launcher(
    golden: Callable[[str, str], None], vendor: str
) -> None:
    asked = serving(
        "deepseek-r1-distill-llama-70b", VENDORS[vendor], Layout(tensor=8), version="0.25.0", max_model_length=32768
    )
    built = build("vllm", asked)
    assert isinstance(built, Command)
    golden(
        f"commands/vendors/dense-{vendor}.json",
        text({**placed(asked.profile, "vllm", "0.25.0", built), **shown(built)}),
    )


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_spec_of_two_nodes_has_each_vendors_network(golden: Callable[[str, str], None], vendor: str) -> None:
    device = {"nvidia": "nvidia-h200-141-rdma", "amd": "amd-mi300x-192-rdma"}.get(vendor, VENDORS[vendor])
    storage = "int8" if vendor == "huawei" else "fp8"
    asked = serving("deepseek-v3.1", device, Layout(tensor=8, pipeline=2), nodes=2, storage=storage, version="0.25.0")
    built = build("vllm", asked)
    assert isinstance(built, Command)
    golden(
        f"commands/vendors/two-nodes-{vendor}.json",
        text({**placed(asked.profile, "vllm", "0.25.0", built), **shown(built)}),
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", RELEASES)
def test_an_engine_serves_a_model_by_release(golden: Callable[[str, str], None], engine: str, model: str) -> None:
    device = "cpu" if engine == "builtin" else "h200"
    requests = {v: serving(model, device, MODELS[model], engine, version=v, tool_calls=True) for v in RELEASES[engine]}
    golden(f"commands/engines/{engine}/{model}.json",
           text({version: shown(build(engine, asked)) for version, asked in requests.items()}))  # fmt: skip


@pytest.mark.parametrize("case", TRAININGS)
def test_a_trainer_runs_a_model(golden: Callable[[str, str], None], case: str) -> None:
    trainer = case.removesuffix("-megatron")
    model, values = TRAININGS[case]
    built = build_trainer(trainer, training(model, "h100", trainer=trainer, **values))
    assert isinstance(built, Command), built
    golden(f"commands/trainers/{case}.json", text(shown(built)))


@pytest.mark.parametrize("case", LEARNT)
def test_a_trainer_learns_by_another_objective(golden: Callable[[str, str], None], case: str) -> None:
    trainer, model, values = LEARNT[case]
    built = build_trainer(trainer, training(model, "h100", trainer=trainer, **values))
    assert isinstance(built, Command), built
    golden(f"commands/trainers/{case}.json", text(shown(built)))


def test_every_engine_and_every_trainer_has_a_golden_command() -> None:
    assert RELEASES.keys() == {name for name, entry in ENGINES.items() if entry.build is not None}
    assert {case.removesuffix("-megatron") for case in TRAININGS} == {
        name for name, entry in TRAINERS.items() if entry.build is not None
    }


def test_no_golden_file_is_left_behind() -> None:
    wanted = {f"vendors/{kind}-{vendor}.json" for kind in ("dense", "two-nodes") for vendor in VENDORS}
    wanted |= {f"engines/{engine}/{model}.json" for engine in RELEASES for model in MODELS}
    wanted |= {f"trainers/{case}.json" for case in (*TRAININGS, *LEARNT)}
    folder = FOLDER / "commands"
    assert {str(file.relative_to(folder)) for file in folder.rglob("*.json")} == wanted
