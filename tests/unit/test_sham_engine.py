"""A further engine is a file with its entry and a line in the table. This file defines one, and nothing else is changed:
schema, validation, sizing, plans, pods, probes, scaling and documentation take it."""

from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.house import with_entry

PROFILE = {
    "lab": {
        "base": "nvidia-h200-141",
        "launchers": {"sham": ["sham-server"]},
        "images": {"sham": "example.com/sham:{version}"},
        "programEnv": {"sham": {"SHAM_DEVICE": "hopper"}},
    }
}
"""What an administrator writes of the device that it runs on."""
REPLICA = {
    "model": {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}},
    "engine": {"type": "sham"},
    "accelerator": {"profile": "lab"},
}


def sham() -> Any:
    """The entry: everything that there is to say of the engine."""
    arguments = import_module("deepseek_operator.domain.programs.arguments")
    entry = import_module("deepseek_operator.domain.programs.engines.entry")
    instead = import_module("deepseek_operator.domain.programs.engines.instead")
    limits = import_module("deepseek_operator.domain.programs.engines.limits")
    replica = import_module("deepseek_operator.domain.programs.engines.replica")
    start = import_module("deepseek_operator.domain.programs.start")
    overheads = import_module("deepseek_operator.domain.sizing.overheads")
    values = import_module("deepseek_operator.domain.values.command")
    version = import_module("deepseek_operator.domain.values.version")

    flags = arguments.Flags(owned=(arguments.Owned(("port",), instead.ADDRESS),))
    names = {signal: f"sham:{signal.value}" for signal in values.Signal}

    def build(asked: Any) -> Any:
        words = ("--load", asked.path, "--ranks", str(asked.layout.tensor), *asked.extra_args)
        args, env = (*asked.profile.launchers["sham"], *words), asked.profile.variables("sham", asked.nodes)
        published = values.Metrics("/metrics", 8000, names)
        return limits.refusal("sham", asked, flags) or replica.replica(asked, args, env, published)

    return entry.EngineEntry(
        type="sham",
        title="Sham",
        version="1.2.3",
        oldest=version.Version(1, 0),
        start=start.Start.BUILT,
        memory=overheads.EngineMemory("sham", 0.9, overheads.Scope.DEVICE, 8192, 1.02),
        metrics=lambda release: names,
        build=build,
        flags=flags,
        is_offered=True,
    )


@pytest.fixture(scope="module")
def house() -> Iterator[SimpleNamespace]:
    """The operator as it is imported with one more line in the table of engines; as it was, afterwards."""
    names = {
        "admission": "deepseek_operator.adapters.admission",
        "main": "deepseek_operator.__main__",
        "configuration": "deepseek_operator.core.configuration",
        "registry": "deepseek_operator.kinds.registry",
        "devices": "deepseek_operator.kinds.serving.devices",
        "engine": "deepseek_operator.api.v1alpha1.serving.engine",
        "handbook": "deepseek_operator.domain.programs.handbook",
        "model": "deepseek_operator.api.v1alpha1.serving.status",
        "profiles": "deepseek_operator.domain.devices.profiles",
        "schema": "deepseek_operator.api.schema",
        "serving": "deepseek_operator.api.v1alpha1.serving",
        "servings": "tests.support.servings",
        "signals": "deepseek_operator.kinds.serving.signals",
        "template": "deepseek_operator.kinds.serving.template",
    }
    with with_entry("deepseek_operator.domain.programs.engines.table", "ENGINES", sham, names) as found:
        yield found


def replica(house: SimpleNamespace, **spec: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = house.servings.a_serving(**{**REPLICA, **spec})
    return manifest


def configuration(house: SimpleNamespace) -> Any:
    return house.configuration.Configuration(profiles=house.profiles.profiles_from_config(PROFILE))


def planned(house: SimpleNamespace, **spec: Any) -> tuple[Any, Any]:
    """The resource with its plan recorded, and the plan."""
    owner = house.serving.DeepSeekServing.model_validate(replica(house, **spec))
    plan = house.devices.planned(owner, configuration(house))
    return owner.model_copy(update={"status": owner.status.model_copy(update={"plan": plan})}), plan


def container(house: SimpleNamespace, **spec: Any) -> dict[str, Any]:
    owner, plan = planned(house, **spec)
    assert not plan.refused, plan.reason
    model = house.model.ResolvedModel(claim_name="models", sub_path="m")
    template = house.template.render(owner, "0123456789", model, configuration(house))
    found: dict[str, Any] = template["spec"]["containers"][0]
    return found


def engine_schema(house: SimpleNamespace) -> dict[str, Any]:
    found: dict[str, Any] = house.schema.structural(house.engine.Engine)["properties"]
    return found


def test_the_schema_has_its_type_and_speaks_of_it(house: SimpleNamespace) -> None:
    fields = engine_schema(house)
    assert "sham" in fields["type"]["enum"]
    assert "vllm, sglang, tensorrt-llm, triton or sham" in fields["version"]["description"]


def test_a_resource_may_name_it(house: SimpleNamespace) -> None:
    assert isinstance(house.admission.admit(replica(house), house.registry.KINDS.definitions), house.admission.Admitted)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accelerator": {"resource": "nvidia.com/gpu"}}, "accelerator.profile"),
        ({"engine": {"type": "sham", "port": 9000}}, "engine.port"),
        ({"engine": {"type": "sham", "command": ["a"]}}, "command"),
    ],
)
def test_a_field_that_it_does_not_honour_is_refused_by_the_schema(
    house: SimpleNamespace, change: dict[str, Any], field: str
) -> None:
    refused = house.admission.admit(replica(house, **change), house.registry.KINDS.definitions)
    assert isinstance(refused, house.admission.Refused)
    assert field in str(refused)
    assert "sham" in str(refused)


def test_it_is_sized_and_its_command_rendered(house: SimpleNamespace) -> None:
    found = container(house)
    assert found["image"] == "example.com/sham:1.2.3"
    assert found["command"][:3] == ["sham-server", "--load", "/model"]
    assert {"name": "SHAM_DEVICE", "value": "hopper"} in found["env"]
    assert found["readinessProbe"]["httpGet"]["path"] == "/health"


def test_its_flags_are_the_operators(house: SimpleNamespace) -> None:
    _, plan = planned(house, engine={"type": "sham", "args": ["--port=9000"]})
    assert plan.refused
    assert "--port" in plan.reason


def test_it_is_scaled_by_its_own_metrics(house: SimpleNamespace) -> None:
    scaled = replica(house, autoscaling={"maxReplicas": 2, "signals": [{"target": 8}]})
    owner = house.serving.DeepSeekServing.model_validate(scaled)
    asked = dict(house.signals.queries(owner, configuration(house)))
    in_flight, reporting = asked["InFlight"], asked[house.signals.REPORTING]
    assert "sham:running{" in in_flight
    assert "sham:waiting{" in in_flight
    assert "sham:running{" in reporting


def test_a_person_may_size_with_it(house: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main.main(["size", "deepseek-r1", "--accelerator", "h200", "--engine", "sham"]) == 0
    assert "served by sham" in capsys.readouterr().out


def test_the_handbook_tells_of_it(house: SimpleNamespace) -> None:
    assert "| `sham` | Sham |" in house.handbook.engines()


def test_the_others_are_as_they_were(house: SimpleNamespace) -> None:
    assert container(house, engine={"type": "vllm"})["image"] == "vllm/vllm-openai:v0.33.0"
    from deepseek_operator.domain.programs.engines.table import ENGINES

    assert "sham" in ENGINES
