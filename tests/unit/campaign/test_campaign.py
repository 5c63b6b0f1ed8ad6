"""The campaign's own parts: the same seed draws the same, and what it judges by can tell wrong from right."""

import socket
import ssl
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import OWNER_UID, owner_label
from tests.campaign.__main__ import numbers_of, story_of
from tests.campaign.drawn import MODELS, good_specs, mutated, schema_of, value
from tests.campaign.oracle import is_let_go, lacks, of_a_gang, told
from tests.campaign.play import ranges
from tests.campaign.witness import Witness
from tests.support.api_objects import API_VERSION
from tests.support.fault_proxy import FaultProxy

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
