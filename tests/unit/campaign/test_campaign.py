"""The campaign's own parts: the same seed draws the same, and what it judges by can tell wrong from right."""

import asyncio
import socket
import ssl
from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from deepseek_operator.api.record import spread
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.cli.rehearsal import rehearse
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import OWNER_UID, owner_label
from deepseek_operator.core.resources import BUDGET, DEPLOYMENT, JOB, POD, REVISION, SERVICE
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving.verbs import ROLLBACK
from tests.campaign.__main__ import numbers_of, story_of
from tests.campaign.drawn import MODELS, good_specs, mutated, schema_of, value
from tests.campaign.oracle import is_let_go, lacks, of_a_gang, of_serving, told
from tests.campaign.play import ranges
from tests.campaign.witness import Witness
from tests.support.api_objects import API_VERSION
from tests.support.fault_proxy import FaultProxy
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE, a_claim

TRAINING_LABEL, SERVING_LABEL = owner_label(TRAINING), owner_label(SERVING)


@pytest.mark.parametrize("kind", MODELS)
def test_a_seed_draws_the_same_again(kind: str) -> None:
    schema = schema_of(kind, "spec")
    assert value(Random("7/3"), schema) == value(Random("7/3"), schema)
    assert [value(Random(f"7/{n}"), schema) for n in range(5)] != [value(Random(f"8/{n}"), schema) for n in range(5)]


@pytest.mark.parametrize("kind", MODELS)
def test_good_specs_are_let_in_and_a_mutation_leaves_its_base_alone(kind: str) -> None:
    base = deepcopy(good_specs(kind)[0])
    drawn = [mutated(Random(seed), good_specs(kind)[0], schema_of(kind, "spec")) for seed in range(40)]
    assert good_specs(kind)[0] == base
    assert sum(spec != base for spec in drawn) > 30
    for spec in good_specs(kind)[::10]:
        MODELS[kind].model_validate({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "a"}, "spec": spec})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", (7, [1, 2, 3])), ("7:2", (7, [1, 2])), ("7:5-6", (7, [5, 6])), ("7:1,3-4", (7, [1, 3, 4]))],
)
def test_a_story_is_named_by_its_seed_and_its_operations(text: str, expected: tuple[int, list[int]]) -> None:
    seed, which = story_of(text, 3)
    assert (seed, list(which)) == expected
    assert numbers_of(ranges(list(which))) == list(which)


@pytest.mark.parametrize(
    "live",
    [{}, {"a": 1}, {"a": 1, "b": [{"c": "x"}, {}]}, {"a": 1, "b": [{"c": "y"}]}, {"a": 1, "b": "x"}, None],
)
def test_a_field_that_is_not_as_expected_is_named(live: Any) -> None:
    assert list(lacks(live, {"a": 1, "b": [{"c": "x"}]}, "it"))


def test_what_others_add_and_how_a_quantity_is_written_is_no_difference() -> None:
    expected = {"a": "1000m", "b": [{"c": "x"}], "e": {}}
    assert list(lacks({"a": "1", "b": [{"c": "x", "d": 1}], "z": 2}, expected, "it")) == []


def test_the_condition_that_says_most_is_told() -> None:
    conditions = [
        {"type": "Ready", "status": "False", "reason": "R"},
        {"type": "Reconciling", "status": "True", "reason": "Q"},
        {"type": "Stalled", "status": "False", "reason": "S"},
    ]
    assert told(conditions) == ("Reconciling", "Q")


# --- a canary run ---------------------------------------------------------------------------------------------------

STEPS: dict[str, Any] = {
    "bakes": {"steps": [{"weight": 50, "bakeSeconds": 60}]},
    "is paused": {"steps": [{"replicas": 2, "bakeSeconds": 0, "pause": True}]},
    "is judged": {"steps": [{"replicas": 1, "analysis": {"metrics": [{"type": "ErrorRate", "max": "0.01"}]}}]},
    "is compared": {"steps": [{"replicas": 1, "bakeSeconds": 0}], "match": {"percent": 20}},
}


def canary(steps: dict[str, Any], **spec: Any) -> ServingLife:
    life = ServingLife(replicas=2, rollout={"canary": steps}, **spec)
    life.clock.jump((datetime.now(UTC) - life.clock.now()).total_seconds())
    life.run()
    life.edit(engine={"maxConcurrency": 2})
    life.run()
    return life


def complaints(life: ServingLife, **status: Any) -> list[str]:
    """What the oracle says of a serving, as the campaign asks it: the rehearsal's has another uid."""
    serving = life.serving()
    owner = {**serving, "status": {**spread(serving["status"]), **status}}
    kinds = {resource.kind: resource for resource in (SERVICE, DEPLOYMENT, BUDGET, REVISION, POD, JOB)}
    bare = {
        **{key: serving[key] for key in ("apiVersion", "kind", "spec")},
        "metadata": {"name": "chat", "namespace": NAMESPACE},
    }
    (reference,) = asyncio.run(rehearse([bare], [a_claim(), a_claim("other")], Configuration(), KINDS))
    mine = {kind: [{"kind": kind, **item} for item in life.cluster.all(resource)] for kind, resource in kinds.items()}
    return list(of_serving(owner, reference, mine))


def test_a_fetch_is_found_by_what_it_fetches() -> None:
    life = ServingLife(model={"source": {"uri": "hf://deepseek-ai/tiny@main", "claimName": "models"}})
    life.run()
    assert complaints(life) == []
    (job,) = life.cluster.all(JOB)
    life.cluster.remove(JOB, NAMESPACE, job["metadata"]["name"])
    assert [one for one in complaints(life) if one.startswith("Job ") and "is not there" in one]


@pytest.mark.parametrize("name", STEPS)
def test_a_canary_run_is_well_while_both_revisions_have_what_its_step_says(name: str) -> None:
    life = canary(STEPS[name])
    assert life.status.phase == "Canary"
    assert complaints(life) == []
    target = f"chat-serve-{life.status.canary.target}"  # type: ignore[union-attr]
    life.cluster.edit(DEPLOYMENT, NAMESPACE, target, lambda live: live["spec"].update(replicas=3))
    assert [one for one in complaints(life) if "replicas of" in one]


def test_the_stable_revision_has_all_its_replicas_while_another_is_tried() -> None:
    life = canary(STEPS["is paused"])
    stable = f"chat-serve-{life.status.canary.stable}"  # type: ignore[union-attr]
    life.cluster.edit(DEPLOYMENT, NAMESPACE, stable, lambda live: live["spec"].update(replicas=1))
    assert [one for one in complaints(life) if "the stable revision has 1 replicas of 2" in one]


def test_a_step_that_nobody_keeps_is_over_in_time() -> None:
    life = canary(STEPS["bakes"])
    run = life.serving()["status"]["canary"]
    late = {**spread(life.serving()["status"])["canary"], **run, "enteredAt": "2026-01-01T00:00:00Z"}
    assert [one for one in complaints(life, canary=late) if "longer than its step says" in one]


def test_what_was_rolled_back_does_not_run() -> None:
    life = canary(STEPS["is paused"])
    target = life.status.canary.target  # type: ignore[union-attr]
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["metadata"].update(annotations={ROLLBACK: target}))
    life.operator.settle()
    life.run()
    assert life.status.phase == "RolledBack"
    assert complaints(life) == []
    assert complaints(life, phase="Available")


def test_a_canary_run_that_is_over_is_judged_as_any_serving() -> None:
    life = canary({"steps": [{"replicas": 1, "bakeSeconds": 0}]})
    life.run()
    assert life.status.phase == "Available"
    assert complaints(life) == []


def test_a_suspended_canary_runs_nothing() -> None:
    life = canary(STEPS["is paused"])
    life.edit(suspend=True)
    life.run()
    assert complaints(life) == []


# --- the witness ----------------------------------------------------------------------------------------------------


def pod(uid: str, job: str, label: str, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    owner = {"uid": job, "kind": "Job", "name": job, "controller": True}
    ready = [{"type": "Ready", "status": "True" if phase == "Running" else "False"}]
    labels = {OWNER_UID: "owner", label: "x"}
    return {
        "metadata": {"uid": uid, "labels": labels, "ownerReferences": [owner], **metadata},
        "status": {"phase": phase, "conditions": ready},
    }


def witnessed(*events: tuple[str, dict[str, Any]], floor: int = 0) -> list[str]:
    witness = Witness(api=None)  # type: ignore[arg-type]
    witness.trust({"owner": floor} if floor else {})
    for type_, item in events:
        witness.see({"type": type_, "object": item})
    return witness.alarms


def test_a_job_that_a_stranger_holds_back_is_well_when_the_status_says_so() -> None:
    job = {"metadata": {"name": "a-1", "uid": "u"}, "spec": {"parallelism": 1, "suspend": True}}
    status: dict[str, Any] = {"attempt": {"job": "a-1", "jobUID": "u"}, "conditions": [{"message": "it starts"}]}
    says = ("Reconciling", "Starting")
    assert list(of_a_gang(status, job, [], says, None)) == ["Job a-1 has spec.suspend true, and no condition says so"]
    status["conditions"] = [{"message": "Job a-1 has spec.suspend true, which somebody else wrote"}]
    assert list(of_a_gang(status, job, [], says, None)) == []
    assert list(of_a_gang(status, job, [{}], says, None)) != []


def test_a_replica_is_let_go_only_when_a_stranger_took_its_label_and_its_set_its_owner() -> None:
    pod: dict[str, Any] = {"metadata": {"uid": "p", "ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}}
    assert not is_let_go(pod, {"p"})
    pod["metadata"]["ownerReferences"] = []
    assert is_let_go(pod, {"p"})
    assert not is_let_go(pod, set())


def test_two_gangs_of_a_training_are_an_alarm_though_a_label_is_gone_and_one_is_stopping() -> None:
    first, second = pod("1", "job-1", TRAINING_LABEL), pod("2", "job-2", TRAINING_LABEL)
    stopping = pod("1", "job-1", TRAINING_LABEL, deletionTimestamp="now", labels={})
    assert len(witnessed(("ADDED", first), ("MODIFIED", stopping), ("ADDED", second))) == 1


def test_a_gang_after_another_is_none() -> None:
    first, over = pod("1", "job-1", TRAINING_LABEL), pod("1", "job-1", TRAINING_LABEL, "Failed")
    second, third = pod("2", "job-2", TRAINING_LABEL), pod("3", "job-3", TRAINING_LABEL)
    events = (("ADDED", first), ("MODIFIED", over), ("ADDED", second), ("DELETED", second), ("ADDED", third))
    assert witnessed(*events) == []


def test_a_replica_that_nobody_gave_up_is_missed() -> None:
    one, other = pod("1", "rs", SERVING_LABEL), pod("2", "rs", SERVING_LABEL)
    unready = pod("2", "rs", SERVING_LABEL, "Pending")
    assert witnessed(("ADDED", one), ("ADDED", other), ("MODIFIED", unready)) == []
    assert len(witnessed(("ADDED", one), ("MODIFIED", one), floor=2)) == 1


def test_stretches_without_a_listener_may_overlap() -> None:
    proxy = FaultProxy("http://127.0.0.1:1", ssl.create_default_context(), kill=lambda: None).start()
    address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
    for _ in range(2):
        proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    for _ in range(2):
        proxy.listen()
    socket.create_connection(address, timeout=5).close()
    proxy.stop()
