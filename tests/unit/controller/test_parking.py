"""An object that the operator can't bear: it says so itself, is told once, and gets on after an edit."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Fault, MemoryCluster
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import Failed, Gone, Settled
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Resource
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.training import training_kind
from deepseek_operator.ports.cluster import Conflict, Forbidden, Rejected, Throttled, Unreachable
from tests.support.api_objects import minimal_serving, minimal_training
from tests.support.shell import Operator
from tests.support.world import StoppedClock

NS = "team"
KINDS: dict[Resource, Any] = {TRAINING: training_kind, SERVING: serving_kind}


class Bench:
    """One kind's driver on the memory cluster; `turn` is what a worker does with one key."""

    def __init__(self, resource: Resource) -> None:
        clock = StoppedClock()
        self.cluster = MemoryCluster(clock)
        self.operator = Operator(KINDS[resource](Configuration()), self.cluster, clock)
        manifest = minimal_training() if resource == TRAINING else minimal_serving()
        self.key = Key(resource, NS, manifest["metadata"]["name"])
        self.cluster.put({**manifest, "metadata": {**manifest["metadata"], "namespace": NS, "generation": 1}})

    def turn(self) -> object:
        self.operator.pipe.flush()
        try:
            return self.operator.reconcile(self.key)
        except Exception as error:
            return self.operator.park(self.key, error)

    def edit(self, **spec: Any) -> None:
        self.cluster.edit(self.key.resource, NS, self.key.name, lambda live: live["spec"].update(spec))

    @property
    def conditions(self) -> dict[str, tuple[str, str]]:
        live = self.cluster.read(self.key.resource, NS, self.key.name) or {}
        return {c["type"]: (c["status"], c["reason"]) for c in live.get("status", {}).get("conditions", ())}


@pytest.fixture(params=[TRAINING, SERVING], ids=["training", "serving"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


POISON = [
    {"model": {"custom": {"a": float("nan")}}, "suspend": "what no schema lets in"},
    {"model": "a text where a map belongs"},
    {"unknownField": 1},
]


@pytest.mark.parametrize("spec", POISON)
def test_an_object_that_can_not_be_parsed_is_stalled_told_once_and_gets_on_after_an_edit(
    bench: Bench, spec: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    before = bench.cluster.read(bench.key.resource, NS, bench.key.name) or {}
    bench.edit(**spec)
    with caplog.at_level(logging.ERROR):
        assert [bench.turn() for _ in range(4)] == [Failed("InternalError")] * 4
    assert bench.conditions["Stalled"] == ("True", "InternalError")
    assert bench.conditions["Ready"] == ("Unknown", "InternalError")
    assert [write.verb for write in bench.cluster.writes] == ["status"]
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert [event.reason for _, event in bench.cluster.events] == ["InternalError"]
    bench.cluster.edit(bench.key.resource, NS, bench.key.name, lambda live: live.update(spec=dict(before["spec"])))
    bench.turn()
    bench.turn()
    assert bench.conditions.get("Stalled") != ("True", "InternalError")


@pytest.mark.parametrize("stage", ["parse", "wanted_names", "needs", "decide", "status", "events"])
@pytest.mark.parametrize("poison", [RecursionError("deep"), MemoryError()])
def test_whatever_stage_raises_the_object_says_it(
    bench: Bench, stage: str, poison: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*_: object) -> Any:
        raise poison

    kind, decide = bench.operator.kind, bench.operator.kind.decide
    if stage == "status":
        monkeypatch.setattr(kind, "decide", lambda seen: replace(decide(seen), status=raising))
    else:
        monkeypatch.setattr(kind, stage, raising)
    outcomes = [bench.turn() for _ in range(6)]
    assert outcomes[-1] == Failed("InternalError"), "what is recorded first is recorded without it"
    assert bench.conditions["Stalled"] == ("True", "InternalError")


def test_what_is_too_large_is_not_looked_at_and_named(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {"a": deep}
    bench.edit(model={"custom": deep})
    assert bench.turn() == Settled()
    assert bench.turn() == Settled()
    assert bench.conditions["Stalled"] == ("True", "TooLarge")
    live = bench.cluster.read(bench.key.resource, NS, bench.key.name) or {}
    assert "spec.model.custom is nested" in live["status"]["conditions"][0]["message"]
    assert live["spec"]["model"]["custom"] == deep, "the status alone is written"
    assert len(bench.cluster.writes) == 1
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("ERROR", None)], (
        "once, without a trace"
    )


@pytest.mark.parametrize("refusal", [Forbidden("no right"), Rejected("invalid"), Unreachable("timeout")])
def test_an_object_whose_status_can_not_be_written_is_parked_all_the_same(bench: Bench, refusal: Exception) -> None:
    bench.edit(unknownField=1)
    bench.cluster.faults[bench.cluster.attempts + 1] = Fault(refusal, False)
    assert bench.turn() == Failed("InternalError")
    assert bench.turn() == Failed("InternalError")
    assert bench.conditions["Stalled"] == ("True", "InternalError"), "the second pass could write it"


@pytest.mark.parametrize(
    "refusal", [Conflict("modified"), Forbidden("no right"), Unreachable("timeout"), Throttled("slow down", 7.0)]
)
def test_what_is_too_large_is_told_as_soon_as_its_status_can_be_written(bench: Bench, refusal: Exception) -> None:
    bench.edit(model={"custom": {"text": "y" * 600_000}})
    bench.cluster.faults[bench.cluster.attempts + 1] = Fault(refusal, False)
    outcome = bench.turn()
    assert isinstance(outcome, Failed)
    assert outcome.at_least_s == (7.0 if isinstance(refusal, Throttled) else 0.0)
    assert bench.turn() == Settled()
    assert bench.conditions["Stalled"] == ("True", "TooLarge")


@pytest.mark.parametrize("spec", [*POISON, {"model": {"custom": {"text": "y" * 600_000}}}])
@pytest.mark.parametrize("is_seen_going", [True, False])
def test_one_that_could_not_be_borne_is_not_its_successors_matter(
    bench: Bench, spec: dict[str, Any], is_seen_going: bool
) -> None:
    good = bench.cluster.read(bench.key.resource, NS, bench.key.name) or {}
    bench.edit(**spec)
    bench.turn()
    bench.cluster.remove(bench.key.resource, NS, bench.key.name)
    if is_seen_going:
        assert bench.turn() == Gone()
    identity = {"name": bench.key.name, "namespace": NS, "generation": 1}
    bench.cluster.put({**good, "metadata": identity})
    assert not isinstance(bench.turn(), Failed)
    assert bench.conditions.get("Stalled") != ("True", "InternalError")


@pytest.mark.parametrize("status", [{"conditions": "none"}, {"conditions": [1, {"type": "Odd"}]}, {"phase": []}, {}])
def test_a_status_of_any_shape_is_built_upon(bench: Bench, status: dict[str, Any]) -> None:
    bench.edit(unknownField=1)
    bench.cluster.edit(bench.key.resource, NS, bench.key.name, lambda live: live.update(status=status))
    assert bench.turn() == Failed("InternalError")
    assert bench.conditions["Stalled"] == ("True", "InternalError")
