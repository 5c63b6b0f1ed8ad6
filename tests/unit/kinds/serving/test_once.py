"""A pass derives each fact once, and sizes and renders nothing that it has made before."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.scaling import Autoscaling
from deepseek_operator.core.actions import Done
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.sizing import size_serving
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.autoscaler import live_autoscaler
from deepseek_operator.kinds.serving.canary import read
from deepseek_operator.kinds.serving.children import children
from deepseek_operator.kinds.serving.command import command
from deepseek_operator.kinds.serving.devices import planned
from deepseek_operator.kinds.serving.gate import running_replicas
from deepseek_operator.kinds.serving.model import resolve
from deepseek_operator.kinds.serving.record import wanted_plan
from deepseek_operator.kinds.serving.revision import numbers, revision_name, stored_revisions
from deepseek_operator.kinds.serving.rollout import rollout, target
from deepseek_operator.kinds.serving.running import living_pods, running_revisions
from deepseek_operator.kinds.serving.scaling import scaling_of
from deepseek_operator.kinds.serving.template import render
from deepseek_operator.kinds.serving.update import update_of
from tests.support.calls import counted
from tests.support.serving_life import ServingLife
from tests.support.serving_look import SCALED
from tests.support.servings import DENSE, R1

FACTS = (
    Autoscaling.bounds, children, live_autoscaler, living_pods, numbers, resolve, revision_name, rollout, running_replicas, running_revisions,
    scaling_of, stored_revisions, target, update_of, wanted_plan,
)  # fmt: skip
MAKING = (command, planned, render, size_serving)
PLAIN: dict[str, Any] = {"replicas": 3}
SCHEDULE = {"name": "day", "from": "08:00", "to": "18:00", "zone": "Europe/Berlin", "minReplicas": 2}
BY_CLOCK: dict[str, Any] = {**SCALED["autoscaling"], "schedules": [SCHEDULE]}
ON_DEVICES: dict[str, Any] = {"model": DENSE, "engine": {"type": "vllm"}, "accelerator": {"profile": "nvidia-h200-141"}}
REFUSED = {**ON_DEVICES, "model": R1, "accelerator": {"profile": "nvidia-h100-80", "perNode": 8}}


def living(**spec: Any) -> ServingLife:
    life = ServingLife(**spec)
    life.run()
    return life


def rolling() -> ServingLife:
    """Half way to another revision, for which there is no room."""
    life = living(**PLAIN)
    life.edit(model={"source": {"uri": "pvc://models/v3"}})
    life.run(room=3)
    assert life.status.phase == "WaitingForCapacity"
    return life


STATES = {
    "plain": lambda: living(**PLAIN),
    "scaled": lambda: living(**SCALED, replicas=3),
    "scaled by the clock": lambda: living(autoscaling=BY_CLOCK, replicas=3),
    "on devices": lambda: living(**ON_DEVICES),
    "refused": lambda: living(**REFUSED),
    "suspended": lambda: living(**PLAIN, suspend=True),
    "rolling": rolling,
}


@pytest.mark.parametrize("state", STATES)
def test_a_decision_derives_no_fact_twice(state: str) -> None:
    life = STATES[state]()
    seen = life.look()
    with counted(*FACTS, *MAKING) as calls:
        decision = life.operator.kind.decide(seen)
        told = decision.status(Done())
    assert told == seen.owner.status, "nothing is to be said anew"
    assert set(calls) >= {"living_pods", "running_revisions", "target", "resolve"}, "what is counted is what runs"
    assert set(calls.values()) == {1}, calls
    assert not calls.keys() & {function.__name__ for function in MAKING}, "and nothing is made again"


def test_what_a_run_goes_by_is_read_once_however_often_it_is_looked_at() -> None:
    """Its record is up to 92 kB of JSON."""
    step = {"weight": 50, "bakeSeconds": 86400, "analysis": {"metrics": [{"type": "ErrorRate", "max": "0.01"}]}}
    life = living(**PLAIN, rollout={"canary": {"steps": [step]}})
    life.edit(model={"source": {"uri": "pvc://models/v3"}})
    life.run()
    assert life.status.phase == "Canary"
    seen = life.look()
    read.cache_clear()
    with counted(read.__wrapped__) as calls:
        for _ in range(3):
            life.operator.kind.needs(seen)
            life.operator.kind.decide(seen).status(Done())
    assert calls == {"read": 1}


@pytest.mark.parametrize("spec", [ON_DEVICES, REFUSED], ids=["on devices", "refused"])
def test_an_operator_that_has_just_begun_sizes_once_and_before_the_status(spec: dict[str, Any]) -> None:
    """What takes long is computed beside the event loop, where `decide` is; the status is asked in it."""
    life = living(**spec)
    seen, begun = life.look(), serving_kind(Configuration())
    assert begun.is_dear(seen)
    with counted(planned) as deciding:
        decision = begun.decide(seen)
    with counted(*MAKING) as telling:
        decision.status(Done())
    assert (deciding["planned"], sum(telling.values())) == (1, 0)
    assert not begun.is_dear(seen)
