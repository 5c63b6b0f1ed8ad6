"""A further trainer is a file with its entry and a line in the table. This file defines one, and nothing else is changed:
schema, validation, sizing, plans, pods and documentation take it."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.house import with_entry

PROFILE = {
    "lab": {
        "base": "nvidia-h200-141",
        "launchers": {"sham": ["sham-train"]},
        "programEnv": {"sham": {"SHAM_DEVICE": "hopper"}},
    }
}
"""What an administrator writes of the device that it runs on."""
SPEC = {
    "model": {"name": "deepseek-r1-distill-qwen-14b", "source": {"uri": "pvc://models/m"}},
    "trainer": {"type": "sham"},
    "accelerator": {"profile": "lab"},
    "nodes": {},
}


def sham() -> Any:
    """The entry: everything that there is to say of the trainer."""
    arguments = import_module("deepseek_operator.domain.programs.arguments")
    entry = import_module("deepseek_operator.domain.programs.trainers.entry")
    gang = import_module("deepseek_operator.domain.programs.trainers.gang")
    instead = import_module("deepseek_operator.domain.programs.trainers.instead")
    limits = import_module("deepseek_operator.domain.programs.trainers.limits")
    start = import_module("deepseek_operator.domain.programs.start")

    flags = arguments.Flags(owned=(arguments.Owned(("seed",), instead.SEED),))

    def build(asked: Any) -> Any:
        args = ("sham-train", "--seed", str(asked.hyper.seed), *asked.extra_args)
        return limits.refusal("sham", asked, flags) or gang.gang("sham", asked, args)

    return entry.TrainerEntry(
        type="sham",
        title="Sham",
        version="1.2.3",
        start=start.Start.OURS,
        build=build,
        command=("sham-train", "--from-the-spec"),
        checkpoints="as a sham saves",
        resume=entry.Resume.VERIFIED,
        axes=entry.DATA_AXIS,
        flags=flags,
        is_offered=True,
    )


@pytest.fixture(scope="module")
def house() -> Iterator[SimpleNamespace]:
    """The operator as it is imported with one more line in the table of trainers; as it was, afterwards."""
    names = {
        "admission": "deepseek_operator.adapters.admission",
        "builder": "deepseek_operator.domain.programs.trainers.table",
        "children": "deepseek_operator.kinds.training.children",
        "command": "deepseek_operator.domain.values.command",
        "configuration": "deepseek_operator.core.configuration",
        "devices": "deepseek_operator.kinds.training.devices",
        "handbook": "deepseek_operator.domain.programs.handbook",
        "layout": "deepseek_operator.domain.layout",
        "profiles": "deepseek_operator.domain.devices.profiles",
        "registry": "deepseek_operator.kinds.registry",
        "requests": "tests.support.requests",
        "schema": "deepseek_operator.api.schema",
        "trainer": "deepseek_operator.api.v1alpha1.training.trainer",
        "training": "deepseek_operator.api.v1alpha1.training",
        "trainings": "tests.support.trainings",
    }
    with with_entry("deepseek_operator.domain.programs.trainers.table", "TRAINERS", sham, names) as found:
        yield found


def manifest(house: SimpleNamespace, **spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = house.trainings.training(**{**SPEC, **spec})
    made["metadata"]["uid"] = "11111111-2222-4333-8444-555555555555"
    return made


def configuration(house: SimpleNamespace) -> Any:
    return house.configuration.Configuration(profiles=house.profiles.profiles_from_config(PROFILE))


def test_the_schema_has_its_type_and_speaks_of_it(house: SimpleNamespace) -> None:
    field = house.schema.structural(house.trainer.Trainer)["properties"]["type"]
    assert field["enum"][0] == "builtin"
    assert field["enum"][-1] == "sham"
    assert "builtin or sham: the trainer of the runtime image" in field["description"]


def test_a_resource_may_name_it(house: SimpleNamespace) -> None:
    answer = house.admission.admit(manifest(house), house.registry.KINDS.definitions)
    assert isinstance(answer, house.admission.Admitted), answer


@pytest.mark.parametrize("field", ["command", "args"])
def test_a_field_that_it_does_not_honour_is_refused_by_the_schema(house: SimpleNamespace, field: str) -> None:
    wrong = manifest(house, trainer={"type": "sham", field: ["x"]})
    refused = house.admission.admit(wrong, house.registry.KINDS.definitions)
    assert isinstance(refused, house.admission.Refused)
    assert f"trainer.{field}" in str(refused) or "trainer.command" in str(refused)


def test_it_is_sized_and_its_command_rendered_on_the_devices(house: SimpleNamespace) -> None:
    owner = house.training.DeepSeekTraining.model_validate(manifest(house))
    plan = house.devices.planned(owner, configuration(house))
    assert not plan.refused, plan.reason
    assert plan.degrees.data == plan.gpus > 1
    job = house.children.first_children(owner, configuration(house))[-1]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert list(container["command"]) == ["sham-train", "--from-the-spec"]
    assert {"name": "SHAM_DEVICE", "value": "hopper"} in container["env"]


def test_where_no_profile_starts_it_the_plan_says_so(house: SimpleNamespace) -> None:
    owner = house.training.DeepSeekTraining.model_validate(manifest(house, accelerator={"profile": "h100"}))
    plan = house.devices.planned(owner, configuration(house))
    assert plan.refused
    assert "sham is not known to run" in plan.reason


def test_its_flags_are_the_operators(house: SimpleNamespace) -> None:
    def built(*args: str) -> Any:
        asked = house.requests.training(layout=house.layout.Layout(data=8), trainer="sham", extra_args=args)
        profile = configuration(house).profiles.resolve("lab")
        return house.builder.build("sham", replace(asked, profile=profile))

    assert isinstance(built("--quiet"), house.command.Command)
    refused = built("--seed=1")
    assert isinstance(refused, house.command.Refusal)
    assert "hyperparameters.seed" in str(refused)


def test_the_handbook_tells_of_it(house: SimpleNamespace) -> None:
    assert (
        "| `sham` | Sham | 1.2.3 | SFT, Pretrain, DPO, GRPO, Distill | that of the runtime image |"
        in house.handbook.trainers()
    )


def test_the_others_are_as_they_were(house: SimpleNamespace) -> None:
    owner = house.training.DeepSeekTraining.model_validate(manifest(house, trainer={"type": "builtin"}))
    job = house.children.first_children(owner, configuration(house))[-1]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert list(container["command"]) == ["python3", "-m", "deepseek_runtime.launcher"]
