"""The table of engines: what is promised of one holds for every one, and the schema takes its words from there."""

from typing import Any

import pytest

from deepseek_operator.adapters.admission import Admitted, admit
from deepseek_operator.api.v1alpha1.serving.engine import Engine
from deepseek_operator.cli.size import Question, answer
from deepseek_operator.domain.devices.profiles import BUILT_IN
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.programs.engines import contract
from deepseek_operator.domain.programs.engines.entry import HONOURED, EngineEntry
from deepseek_operator.domain.programs.engines.measures import MEASURES, has
from deepseek_operator.domain.programs.engines.request import PORT
from deepseek_operator.domain.programs.engines.table import ENGINES, RECOMMENDED, USUAL, build, memory_lines, offered
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.values.command import Command, Refusal, Signal
from deepseek_operator.domain.values.version import parse, rendered
from deepseek_operator.kinds.registry import KINDS
from tests.support.requests import serving
from tests.support.servings import a_serving

SAMPLES: dict[str, Any] = {
    "command": ["serve"], "args": ["--quiet"], "version": "0.33.0", "maxModelLength": 4096, "kvCacheDtype": "fp8",
    "port": 9000, "healthPath": "/ready", "maxConcurrency": 8, "queueLimit": 8,
    "watchdog": {"stallSeconds": 60}, "options": {"maxSequences": 64}, "apiKey": {"name": "chat-key", "key": "key"},
}  # fmt: skip
"""A value, other than the default, of every field that not every engine honours."""
UNSCALED = {engine: {"Latency", "TimeToFirstToken"} for engine in ("tensorrt-llm", "triton")}
"""Engines that tell nobody what runs: replicas are as many as are written. With what two versions are compared by there."""
AUTOSCALING = {"maxReplicas": 2, "signals": [{"type": "InFlight", "target": 4}]}
BUILDABLE = [entry for entry in ENGINES.values() if entry.build is not None]


def name_of(entry: EngineEntry) -> str:
    return entry.type


each = pytest.mark.parametrize("entry", ENGINES.values(), ids=name_of)
each_offered = pytest.mark.parametrize("entry", offered(), ids=name_of)
each_buildable = pytest.mark.parametrize("entry", BUILDABLE, ids=name_of)


def least(entry: EngineEntry, **values: Any) -> Command | Refusal:
    """A small dense model on one device, which every engine serves."""
    return build(entry.type, serving("deepseek-r1-distill-qwen-1.5b", "h200", Layout(), entry.type, **values))


def manifest(entry: EngineEntry, **engine: Any) -> dict[str, Any]:
    """A serving by this engine with what it needs, and the fields of `engine`."""
    image = {"image": "engine:1", "command": ["run"]} if entry.start is Start.WRITTEN else {}
    profile: dict[str, Any] = {"accelerator": {"profile": "nvidia-h200-141"}} if entry.is_built else {}
    return a_serving(engine={"type": entry.type, **image, **engine}, **profile)


@each
def test_an_entry_is_found_by_its_type(entry: EngineEntry) -> None:
    assert ENGINES[entry.type] is entry
    assert entry.title


@each_buildable
def test_the_usual_release_is_written_in_the_one_form_and_is_not_too_old(entry: EngineEntry) -> None:
    assert rendered(entry.version, entry.by_calendar) == entry.version
    assert entry.oldest is None or parse(entry.version) >= entry.oldest


@each_buildable
def test_an_engine_refuses_releases_before_its_oldest(entry: EngineEntry) -> None:
    assert isinstance(least(entry), Command)
    if entry.oldest is not None:
        assert isinstance(least(entry, version=str(entry.oldest)), Command)
        assert isinstance(least(entry, version="0.0.1"), Refusal)


@each_buildable
def test_a_replica_is_probed_measured_and_given_time_to_drain(entry: EngineEntry) -> None:
    built = least(entry, drain_seconds=77)
    assert isinstance(built, Command)
    assert built.probes is not None
    assert built.probes.readiness is not None
    assert {built.probes.startup.port, built.probes.liveness.port, built.probes.readiness.port} == {PORT}
    assert PORT in {port.number for port in built.ports}
    assert built.metrics is not None
    assert built.metrics.names == entry.metric_names(None)
    assert built.termination_grace_seconds > 77


@each_buildable
def test_what_the_operator_decides_can_not_be_decided_by_a_flag(entry: EngineEntry) -> None:
    if entry.is_built:
        own_port = [
            name for owned in entry.flags.owned for name in owned.names if name.removeprefix("openai-") == "port"
        ]
        assert own_port
        assert isinstance(least(entry, extra_args=(f"--{own_port[0]}=9000",)), Refusal)
    assert "args" in entry.honours or entry.flags.owned == ()


@each_offered
def test_an_engine_that_resources_may_name_can_be_scaled(entry: EngineEntry) -> None:
    told = {Signal.RUNNING, Signal.WAITING} <= entry.metric_names(None).keys()
    assert told == (entry.type not in UNSCALED)
    found = admit(
        {**manifest(entry), "spec": {**manifest(entry)["spec"], "autoscaling": AUTOSCALING}}, KINDS.definitions
    )
    assert isinstance(found, Admitted) == told, found
    assert told or "leave autoscaling out, or engine.type builtin, vllm, sglang or custom" in str(found)


@each_offered
def test_two_versions_behind_an_engine_that_resources_may_name_can_be_compared(entry: EngineEntry) -> None:
    assert {measure for measure in MEASURES if has(entry, None, measure)} == UNSCALED.get(entry.type, MEASURES.keys())


@each_offered
@pytest.mark.parametrize("field", SAMPLES)
def test_the_schema_takes_a_field_exactly_where_the_engine_honours_it(entry: EngineEntry, field: str) -> None:
    assert isinstance(admit(manifest(entry), KINDS.definitions), Admitted)
    found = admit(manifest(entry, **{field: SAMPLES[field]}), KINDS.definitions)
    assert isinstance(found, Admitted) == (field in entry.honours), found


def test_there_is_a_sample_of_every_field_that_an_engine_may_honour() -> None:
    assert SAMPLES.keys() == frozenset().union(*HONOURED.values())


@pytest.mark.parametrize("entry", ENGINES.values(), ids=name_of)
def test_the_schema_knows_exactly_the_engines_that_are_offered(entry: EngineEntry) -> None:
    assert isinstance(admit(manifest(entry), KINDS.definitions), Admitted) == entry.is_offered


@pytest.mark.parametrize("engine", memory_lines())
def test_every_engine_can_be_sized_by_name(engine: str) -> None:
    asked = Question("deepseek-r1-distill-qwen-1.5b", "nvidia-h200-141", engine=engine)
    assert answer(asked, BUILT_IN).fits


def test_an_engine_that_nobody_knows_is_not_sized() -> None:
    with pytest.raises(ValueError, match="write one of"):
        answer(Question("deepseek-r1", "nvidia-h200-141", engine="tgi"), BUILT_IN)


def test_an_engine_that_nobody_knows_is_refused_with_those_that_are() -> None:
    found = build("tgi", serving())
    assert isinstance(found, Refusal)
    assert all(entry.type in found.instead for entry in BUILDABLE)


def test_what_is_left_out_is_in_the_table() -> None:
    assert USUAL.is_offered
    assert RECOMMENDED.is_offered
    assert Engine() == Engine(
        type=USUAL.type, port=PORT, max_concurrency=contract.CONCURRENCY, queue_limit=contract.QUEUE_LIMIT
    )
