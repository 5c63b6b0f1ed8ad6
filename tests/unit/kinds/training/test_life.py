"""The life of a training, on a memory cluster with the real driver: what follows from what."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Change
from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.progress import DataStatus, LastCheckpoint
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, JOB, POD, SERVICE, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.training.names import training_job
from deepseek_operator.kinds.training.needs import progress_interval
from deepseek_operator.ports.cluster import Forbidden
from tests.support.trainings import NAME, NAMESPACE, Life, claim, training

REPORT = json.dumps({"formatVersion": 1, "result": "Complete", "step": 100, "exports": [100], "latest": {"step": 100}})

LAST_WORDS = json.dumps({"step": 100, "loss": 0.125, "metrics": {"evalLoss": 0.25, "accuracy": 1.0}})


def saved(step: int) -> str:
    return json.dumps({"formatVersion": 1, "result": "Failed", "message": "boom", "latest": {"step": step}})


def long(length: int, **model: object) -> dict[str, Any]:
    """A spec of sequences of that length."""
    return {"model": model, "hyperparameters": {"maxSteps": 5, "sequenceLength": length}}


def test_the_volume_and_the_attempt_are_recorded_before_the_job_exists() -> None:
    life, told = Life(), list[Any]()
    life.cluster.put(training())
    life.cluster.listeners.append(lambda change: told.append(change.manifest))
    life.operator.settle()
    assert [(write.verb, write.ref.resource.kind) for write in life.cluster.writes] == [
        ("create", "PersistentVolumeClaim"),
        ("status", "DeepSeekTraining"),
        ("apply", "Service"),
        ("apply", "NetworkPolicy"),
        ("create", "Job"),
        ("status", "DeepSeekTraining"),
    ]
    recorded = DeepSeekTraining.model_validate(next(one for one in told if one["kind"] == "DeepSeekTraining")).status
    assert recorded.volume is not None
    assert recorded.attempt is not None
    assert recorded.volume.uid == life.cluster.all(CLAIM)[0]["metadata"]["uid"]
    assert recorded.attempt.job == life.cluster.all(JOB)[0]["metadata"]["name"]


def test_a_gang_whose_workers_all_run_is_ready() -> None:
    life = Life().begin()
    life.world.run(life.pod(0))
    assert life.turn().told == ("Reconciling", "Starting")
    assert life.owner.status.summary.workers == "1/2"
    life.running()
    assert life.told == ("Ready", "Running")
    assert life.owner.status.summary.workers == "2/2"


def test_a_running_training_at_rest_writes_nothing() -> None:
    life = Life().begin().running()
    writes = len(life.cluster.writes)
    life.turn()
    assert len(life.cluster.writes) == writes


def test_a_crash_is_counted_and_answered_after_ten_seconds() -> None:
    life = Life().begin().running()
    life.clock.advance(60)
    life.crash(rank=1)
    assert (life.told, life.owner.status.restarts) == (("Reconciling", "BackingOff"), 1)
    assert life.owner.status.not_before == "2026-01-01T00:01:10Z"
    assert "Error with exit code 1" in life.message
    assert life.later(9).jobs() == ["1"]
    assert life.later(1).jobs() == ["1", "2"]


def test_evicting_rank_0_is_one_disruption_even_when_rank_1_then_crashes() -> None:
    life = Life().begin().running()
    life.world.evict(life.pod(0))
    life.clock.advance(1)
    life.exit(1, 1, "connection reset by peer")
    life.gone()
    status = life.owner.status
    assert (status.disruptions, status.restarts) == (1, 0)
    assert status.history[-1].cause == "EvictionByEvictionAPI"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_gang_in_which_the_job_replaced_a_pod_restarts_together(rank: int) -> None:
    life = Life().begin().running()
    first = life.owner.status.attempt.incarnation  # type: ignore[union-attr]
    life.world.evict(life.pod(rank))
    life.operator.settle()
    life.world.reap_all()
    life.turn().running().gone().later(10)
    status = life.owner.status
    assert (life.jobs(), status.disruptions, status.restarts) == (["2"], 1, 0)
    assert [ancestor.incarnation for ancestor in status.ancestry] == [first]


def test_an_eviction_that_never_deletes_its_pod_ends_nothing_and_excuses_no_later_crash() -> None:
    life = Life().begin().running()
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    life.world.kubelet(life.pod(0), lambda live: live["status"]["conditions"].append(condition))
    assert (life.turn().told, life.jobs()) == (("Ready", "Running"), ["1"])
    life.later(120).world.kubelet(life.pod(0), lambda live: live["status"]["conditions"].pop())
    life.turn().crash(rank=1)
    assert (life.owner.status.restarts, life.owner.status.disruptions) == (1, 0)


def test_a_full_volume_is_waited_for_in_words_and_burns_no_restart() -> None:
    life = Life().begin().running()
    said = json.dumps({"message": "rank 1 found no room: the checkpoint volume is full: no room for step 40"})
    for _ in range(5):
        # The peers of the rank that found no room die of a broken connection, before or after it.
        life.exit(0, 1, "connection reset by peer")
        life.exit(1, 73, said)
        life.gone()
        assert life.told == ("Reconciling", "CheckpointVolumeFull")
        assert (life.owner.status.restarts, life.owner.status.result) == (0, None)
        life.later(600).running()
    assert life.owner.status.disruptions == 5
    life.exit(1, 73, said)
    life.gone()
    claim = life.owner.status.volume.claim_name  # type: ignore[union-attr]
    assert f"PersistentVolumeClaim {claim} has no room" in life.message
    assert "no room for step 40" in life.message
    assert "write a larger checkpoints.volume.size" in life.message
    assert life.event_reasons().count("CheckpointVolumeFull") == 6
    assert "AttemptDisrupted" not in life.event_reasons()


def full(**spec: Any) -> Life:
    """An attempt found no room, and waits; its claim holds 10Gi."""
    life = Life().begin(**spec).running()
    grow(life, "10Gi")
    life.exit(1, 73, json.dumps({"message": "no room for step 40"}))
    life.gone()
    assert (life.told[1], life.jobs()) == ("CheckpointVolumeFull", ["1"])
    return life


def grow(life: Life, capacity: str, *conditions: str) -> None:
    """What the volume's driver writes into the claim."""
    told = [{"type": condition, "status": "True"} for condition in conditions]
    status = {"phase": "Bound", "capacity": {"storage": capacity}, "conditions": told}
    life.cluster.edit(CLAIM, NAMESPACE, claim_of(life), lambda live: live.update(status=status))


def claim_of(life: Life) -> str:
    volume = life.owner.status.volume
    assert volume is not None
    return volume.claim_name


ROOM: dict[str, Callable[[Life], object]] = {
    "the claim is larger": lambda life: grow(life, "20Gi"),
    "its file system grows once a pod mounts it": lambda life: grow(life, "10Gi", "FileSystemResizePending"),
    "fewer checkpoints are kept": lambda life: life.edit(lambda spec: spec["checkpoints"].update(keepLast=1)),
}


@pytest.mark.parametrize("made", ROOM.values(), ids=ROOM)
def test_room_on_a_full_claim_is_noticed_at_once(made: Callable[[Life], object]) -> None:
    life = full(checkpoints={"volume": {"accessMode": "ReadWriteMany"}})
    made(life)
    assert life.turn().told[1] != "CheckpointVolumeFull"
    assert life.jobs() == ["1", "2"]


def test_room_on_a_full_claim_of_the_users_own_is_noticed_at_once() -> None:
    life = Life()
    life.cluster.put(claim("mine", "ReadWriteMany"))
    life.cluster.edit(CLAIM, NAMESPACE, "mine", lambda live: live.update(status={"phase": "Bound"}))
    life.begin(checkpoints={"volume": {"claimName": "mine"}}).running()
    grow(life, "10Gi")
    life.exit(1, 73)
    life.gone()
    grow(life, "20Gi")
    assert life.turn().jobs() == ["1", "2"]


NO_ROOM: dict[str, Callable[[Life], object]] = {
    "nothing": lambda life: None,
    "another training's claim": lambda life: life.cluster.put(claim("other", "ReadWriteMany")),
    "a resize that has only begun": lambda life: grow(life, "10Gi", "Resizing"),
}


@pytest.mark.parametrize("made", NO_ROOM.values(), ids=NO_ROOM)
def test_a_full_claim_without_more_room_is_waited_for(made: Callable[[Life], object]) -> None:
    life = full()
    made(life)
    assert life.turn().told[1] == "CheckpointVolumeFull"
    assert life.jobs() == ["1"]


def test_a_larger_claim_that_is_full_again_is_waited_for_again() -> None:
    life = full()
    grow(life, "20Gi")
    life.turn().running()
    life.exit(1, 73)
    assert life.gone().told[1] == "CheckpointVolumeFull"


@pytest.mark.parametrize(("metric", "kept"), [("loss", None), ("evalLoss", 3), ("accuracy", 3)])
def test_what_an_earlier_release_called_best_by_one_batchs_loss_is_forgotten(metric: str, kept: int | None) -> None:
    """The trainer exports no such step any more, so a serving that asks for the best must get the latest."""
    said = {"best": {"step": 3, "metric": metric, "value": 0.5}, "latest": {"step": 5}}
    life = Life().begin().running().crash(message=json.dumps(said))
    assert life.owner.status.best_checkpoint is not None
    life.later(600).running().complete(json.dumps({"best": None, "exports": [9]}))
    best = life.owner.status.best_checkpoint
    assert (best.step if best is not None else None) == kept


def test_an_edit_that_makes_another_attempt_does_not_wait_for_the_last_ones_back_off() -> None:
    life = Life().begin().running().crash()
    assert life.told == ("Reconciling", "BackingOff")
    life.edit(lambda spec: spec.update(failurePolicy={"maxRestarts": 7}))
    assert life.jobs() == ["1"]
    life.edit(lambda spec: spec.update(trainer={"resources": {"memory": "8Gi"}}))
    assert life.jobs() == ["1", "2"]


def test_a_job_that_another_controller_suspends_is_told_as_such() -> None:
    life = Life().begin()
    life.cluster.edit(JOB, NAMESPACE, life.owner.status.attempt.job, lambda live: live["spec"].update(suspend=True))  # type: ignore[union-attr]
    life.turn()
    assert life.told == ("Reconciling", "Starting")
    assert "spec.suspend" in life.message


def test_a_pod_whose_container_has_ended_before_its_phase_does_not_count_as_replaced() -> None:
    life = Life().begin().running()
    pod = life.pod(1)
    ended = {"exitCode": 137, "finishedAt": "2026-01-01T00:00:00Z"}
    life.world.kubelet(pod, lambda live: live["status"]["containerStatuses"][0].update(state={"terminated": ended}))
    assert (life.turn().jobs(), life.owner.status.summary.workers) == (["1"], "1/2")
    life.exit(1, 137)
    life.gone()
    assert (life.owner.status.restarts, life.jobs()) == (1, ["1"])


def test_a_worker_that_succeeds_before_the_others_is_not_missed() -> None:
    life = Life().begin().running()
    ended = {"exitCode": 0, "finishedAt": "2026-01-01T00:00:00Z"}
    life.world.kubelet(
        life.pod(1), lambda live: live["status"]["containerStatuses"][0].update(state={"terminated": ended})
    )
    assert life.turn().told == ("Ready", "Running")
    life.exit(1, 0)
    assert life.turn().told == ("Ready", "Running")


def test_deleting_a_pod_is_one_disruption_even_when_its_peer_then_crashes() -> None:
    life = Life().begin().running()
    life.cluster.remove(POD, NAMESPACE, life.pod(0)["metadata"]["name"], "Background")
    life.operator.settle()
    life.clock.advance(2)
    life.exit(1, 1)
    life.gone()
    assert (life.owner.status.disruptions, life.owner.status.restarts) == (1, 0)


def test_the_peers_that_the_job_takes_down_do_not_make_a_crash_a_disruption() -> None:
    life = Life().begin().running()
    life.exit(0, 1)
    life.clock.advance(1)
    life.gone()
    assert (life.owner.status.disruptions, life.owner.status.restarts) == (0, 1)


def test_an_exit_with_75_is_a_disruption() -> None:
    life = Life().begin().running().crash(code=75)
    assert (life.owner.status.disruptions, life.owner.status.restarts) == (1, 0)


def test_an_exit_with_64_fails_at_once_and_for_good() -> None:
    message = json.dumps({"formatVersion": 1, "result": "Invalid", "message": "datasets[0] has no rows"})
    life = Life().begin().running().crash(code=64, message=message)
    assert life.told == ("Stalled", "InvalidConfiguration")
    assert "datasets[0] has no rows" in life.message
    assert life.later(86400).jobs() == ["1"]


DIVERGED = json.dumps(
    {
        "formatVersion": 1,
        "result": "Diverged",
        "message": "rank 0 exited with code 64: diverged at step 57: the loss is no longer finite; write a lower learningRate",
        "step": 57,
        "latest": {"step": 40},
    }
)


def test_divergence_fails_at_once_and_for_good_with_its_own_reason() -> None:
    """The same settings lead to the same numbers: a retry would only compute them again."""
    life = Life().begin().running().crash(code=64, message=DIVERGED)
    assert life.told == ("Stalled", "Diverged")
    assert "diverged at step 57" in life.message
    assert "write a lower learningRate" in life.message
    assert life.event_reasons() == ["AttemptStarted", "Running", "Diverged", "Failed"]
    status = life.later(86400).owner.status
    assert life.jobs() == ["1"]
    assert (status.restarts, status.history[-1].cause, status.last_checkpoint) == (
        0,
        "Diverged",
        LastCheckpoint(step=40),
    )


def test_a_word_of_divergence_from_a_crash_changes_nothing() -> None:
    """Only the exit code says that another try can't help."""
    assert Life().begin().running().crash(code=1, message=DIVERGED).told == ("Reconciling", "BackingOff")


def reading(**lost: object) -> Life:
    """A running training of which rank 0 says what it read."""
    life = Life().begin().running()
    said = {
        "formatVersion": 1,
        "state": "Training",
        "step": 1,
        "data": {"examples": 900, "dropped": 0, "cut": 0, **lost},
    }
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said
    return life.later(60)


def warned(life: Life) -> list[tuple[str, str]]:
    return [(one.reason, one.message) for one in life.owner.status.conditions if one.type == "DataWarning"]


@pytest.mark.parametrize(
    ("lost", "reason", "words"),
    [
        ({"dropped": 100, "longest": 4000}, "ExamplesLeftOut", "100 of 1000 examples are left out"),
        ({"cut": 3, "longest": 4000}, "CompletionsCut", "3 of 900 completions are cut"),
        (
            {"dropped": 1, "cut": 3, "longest": 4000},
            "ExamplesLeftOut",
            "end there; hyperparameters.sequenceLength 4000",
        ),
    ],
)
def test_what_is_lost_of_the_data_is_a_condition_and_one_warning(lost: dict[str, int], reason: str, words: str) -> None:
    life = reading(**lost)
    assert life.told == ("Ready", "Running")
    ((said, message),) = warned(life)
    assert said == reason
    assert words in message
    assert "hyperparameters.sequenceLength 4000 would keep every example whole" in message
    assert life.event_reasons() == ["AttemptStarted", "Running", reason]
    after = life.later(3600).complete(json.dumps({"formatVersion": 1, "result": "Complete", "step": 5}))
    assert warned(after) == [(said, message)], "it stays true of the result"
    assert after.event_reasons().count(reason) == 1


@pytest.mark.parametrize("code", [0, 64])
def test_loss_that_only_the_last_words_tell_of_is_shown_as_well(code: int) -> None:
    """A short training ends before anybody has asked it."""
    life = Life().begin().running()
    message = json.dumps(
        {"formatVersion": 1, "step": 5, "data": {"examples": 9, "dropped": 1, "cut": 0, "longest": 70}}
    )
    life = life.complete(message) if code == 0 else life.crash(code=code, message=message)
    assert [reason for reason, _ in warned(life)] == ["ExamplesLeftOut"]
    assert life.event_reasons().count("ExamplesLeftOut") == 1


DIGEST = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        (
            {"exactDuplicate": 1200, "tooShort": 3},
            "5,000 records read, 1,203 dropped (1,200 exactDuplicate, 3 tooShort); ",
        ),
        ({}, "5,000 records read, none dropped; "),
        (
            {"exactDuplicate": -1, "noSuchReason": 3, "tooLong": "many", "noRoom": True},
            "5,000 records read, none dropped; ",
        ),
    ],
)
def test_what_was_prepared_of_the_data_is_told_once(dropped: dict[str, object], words: str) -> None:
    prepared = {"digest": DIGEST, "read": 5000, "sequences": 40, "tokens": 70000, "dropped": dropped}
    life = reading(longest=20, prepared=prepared)
    (told,) = [event for _, event in life.cluster.events if event.reason == "DataPrepared"]
    assert told.note == f"{words}40 sequences of 70,000 tokens in all are in datasets/{DIGEST} on the checkpoint volume"
    life.later(3600).complete(json.dumps({"formatVersion": 1, "result": "Complete", "step": 5}))
    assert life.event_reasons().count("DataPrepared") == 1


@pytest.mark.parametrize("prepared", [None, 7, {}, {"read": "all"}, {"read": 1, "digest": "../x", "dropped": []}])
def test_preparation_that_a_pod_makes_up_is_shown_as_far_as_it_has_the_form(prepared: object) -> None:
    data = reading(longest=20, prepared=prepared).owner.status.data
    assert data is not None
    assert data.prepared is None or (data.prepared.read, data.prepared.digest) == (1, "")


def test_training_that_loses_nothing_of_its_data_is_not_warned_of() -> None:
    life = reading(longest=20)
    assert warned(life) == []
    assert life.owner.status.data == DataStatus(examples=900, longest=20)


def test_more_crashes_than_max_restarts_fail_for_good() -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 1}).running().crash(message="first")
    life.later(10).running().crash(message="out of memory in layer 3")
    assert life.told == ("Stalled", "TooManyRestarts")
    assert "exit code 1" in life.message
    assert "out of memory in layer 3" in life.message
    assert life.later(86400).jobs() == ["2"]


def test_the_wait_doubles_until_a_newer_checkpoint_is_reported() -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 9})
    waits = []
    for message in ("", "", saved(10), saved(10), saved(20)):
        life.running().crash(message=message)
        until = parse_time(life.owner.status.not_before)
        assert until is not None
        waits.append((until - life.clock.now()).total_seconds())
        life.later(waits[-1])
    assert waits == [10, 20, 10, 20, 10]


def test_the_next_attempt_resumes_from_the_recorded_ancestry_only() -> None:
    life = Life().begin().running()
    job, zero = life.cluster.all(JOB)[0], life.pod(0)
    life.crash().later(10)
    assert json.loads(life.environment()["DEEPSEEK_RESUME_ANCESTRY"]) == [
        {"attempt": 1, "jobUID": job["metadata"]["uid"], "incarnation": zero["metadata"]["uid"]}
    ]


def test_no_attempt_starts_while_a_pod_of_the_last_one_may_still_write() -> None:
    life = Life().begin().running()
    life.exit(1, 1)
    life.turn().later(3600)
    assert life.jobs() == ["1"]
    life.gone().later(10)
    assert life.jobs() == ["1", "2"]


def stray(life: Life, attempt: str) -> dict[str, Any]:
    """A Job of a number that nobody recorded, as an answer that came too late may leave it."""
    job = life.cluster.all(JOB)[0]
    template = {**job["spec"]["template"], "metadata": {"labels": dict(job["metadata"]["labels"])}}
    labels = {**job["metadata"]["labels"], "deepseek-operator.io/attempt": attempt}
    template["metadata"]["labels"] = labels
    name = training_job(NAME, life.owner.metadata.uid, int(attempt))
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    spec = {**{key: job["spec"][key] for key in ("completions", "parallelism", "completionMode", "backoffLimit")}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**spec, "template": template}}


def test_a_job_that_nobody_recorded_is_stopped_before_the_next_attempt_and_its_number_is_used_up() -> None:
    life = Life().begin().running().crash()
    life.cluster.put(stray(life, "7"), "deepseek-operator")
    life.world.run_job_controller()
    for pod in life.pods():
        life.world.run(pod)
    life.later(10).later(60)
    assert [pod["metadata"]["labels"]["deepseek-operator.io/attempt"] for pod in life.cluster.all(POD)].count("8") == 0
    assert life.pods() == []
    life.gone().later(10)
    assert life.jobs() == ["1", "8"]


def test_a_mirror_that_lost_the_gang_leads_to_no_verdict() -> None:
    life = Life().begin().running()
    for resource in (JOB, POD):
        for item in life.cluster.all(resource):
            life.operator.mirror.forget(resource, item)
    life.operator.reconcile(life.key)
    assert life.owner.status.attempt is not None
    assert life.owner.status.attempt.verdict is None


def test_an_unreachable_node_is_given_up_on_a_shared_volume_after_node_lost_seconds() -> None:
    life = Life().begin(failurePolicy={"nodeLostSeconds": 300}).running()
    life.world.evict(life.pod(0), "DeletionByTaintManager")
    life.clock.advance(1)
    life.exit(1, 1)
    life.turn().later(120 + 290)
    assert life.told == ("Reconciling", "NodeUnreachable")
    assert life.jobs() == ["1"]
    life.later(20).later(10)
    assert life.jobs() == ["1", "2"]


def test_a_pod_that_does_not_end_is_promised_an_end_only_once_its_node_is_known_to_be_lost() -> None:
    life = Life().begin(failurePolicy={"nodeLostSeconds": 300}).running()
    life.exit(1, 1)
    life.turn().later(120 + 600)
    assert (life.told, life.jobs()) == (("Reconciling", "NodeUnreachable"), ["1"])
    assert "given up at" not in life.message
    assert "nothing says" in life.message
    life.world.evict(life.cluster.all(POD)[0], "DeletionByTaintManager")
    assert life.turn().later(10).jobs() == ["1", "2"]


def test_an_unreachable_node_is_waited_for_when_one_node_alone_can_write_the_volume() -> None:
    life = Life().begin(nodes={"count": 1}).running()
    life.world.evict(life.pod(0), "DeletionByTaintManager")
    life.turn().later(86400)
    assert (life.told, life.jobs()) == (("Reconciling", "NodeUnreachable"), ["1"])
    assert "must come back" in life.message


def test_complete_is_final_and_names_the_exports() -> None:
    life = Life().begin().running().complete(REPORT)
    assert life.told == ("Ready", "Complete")
    assert life.owner.status.exports == [100]
    life.edit(lambda spec: spec.update(nodes={"count": 4}, suspend=True))
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job, "Background")  # type: ignore[union-attr]
    life.turn().later(86400)
    assert (life.told, life.jobs()) == (("Ready", "Complete"), [])


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_wiped_status_never_reruns_a_training_that_has_ended(restarts: int) -> None:
    life = Life().begin(failurePolicy={"maxRestarts": restarts}).running().crash(message="boom")
    if restarts:
        life.later(10).running().crash(message="boom")
    before = life.owner.status
    after = life.wipe_status().later(86400).owner.status
    assert (after.result, after.restarts, after.volume) == ("Failed", before.restarts, before.volume)
    assert life.jobs() == [str(restarts + 1)]


def test_a_wiped_status_never_reruns_what_failed_to_start_in_time() -> None:
    life = Life().begin(failurePolicy={"startTimeoutSeconds": 60, "maxRestarts": 1}).running().crash().later(10)
    for pod in life.pods():
        life.world.schedule(pod)
    life.turn().later(60).gone()
    before = life.owner.status
    assert before.result == "Failed"
    after = life.wipe_status().later(86400).owner.status
    assert (after.result, after.result_message, life.jobs()) == ("Failed", before.result_message, ["1"])
    assert life.told == ("Stalled", "TooManyRestarts")


@pytest.mark.parametrize(
    ("code", "message", "policy"),
    [
        (0, REPORT, "Background"),
        (0, REPORT, None),
        (64, json.dumps({"formatVersion": 1, "message": "datasets[0] has no rows"}), "Background"),
        (64, DIVERGED, "Foreground"),
        (64, DIVERGED, None),
        (1, saved(20), "Background"),
    ],
)
def test_a_result_is_final_although_the_status_and_all_that_it_was_judged_from_are_gone(
    code: int, message: str, policy: Any
) -> None:
    life = Life().begin(nodes={"count": 1}, failurePolicy={"maxRestarts": 0}).running()
    life = life.complete(message) if code == 0 else life.crash(code=code, message=message)
    before, told = life.owner.status, life.told
    for pod in life.cluster.all(POD):
        life.cluster.drop(POD, NAMESPACE, pod["metadata"]["name"])
    life.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live.update(status={"observedGeneration": -1}))
    life.cluster.remove(JOB, NAMESPACE, before.attempt.job, policy)  # type: ignore[union-attr]
    life.operator.pipe.flush()
    life.operator.reconcile(life.key)
    life.cluster.remove(SERVICE, NAMESPACE, f"{NAME}-train", "Background")
    after = life.gone().later(3600).owner.status
    assert (life.told, life.jobs()) == (told, [])
    for name in ("result", "result_message", "volume", "ancestry", "exports", "last_checkpoint", "restarts"):
        assert getattr(after, name) == getattr(before, name)
    assert (after.attempt.number, after.attempt.verdict) == (1, before.attempt.verdict)  # type: ignore[union-attr]


def test_an_edit_after_a_refusal_starts_anew_although_the_status_was_wiped() -> None:
    life = Life().begin().running().crash(code=64, message=json.dumps({"formatVersion": 1, "message": "no rows"}))
    life.wipe_status().edit(lambda spec: spec.update(hyperparameters={"maxSteps": 7}))
    assert life.jobs() == ["1", "2"]


def test_a_wiped_status_finds_a_running_gang_again() -> None:
    life = Life().begin().running().crash().later(10).running()
    before = life.owner.status
    after = life.wipe_status().owner.status
    for name in ("number", "job", "job_uid", "incarnation", "digest"):
        assert getattr(after.attempt, name) == getattr(before.attempt, name)
    assert (after.ancestry, after.volume, after.restarts) == (before.ancestry, before.volume, before.restarts)
    assert life.told == ("Ready", "Running")


def test_with_every_record_lost_no_number_is_reused_and_the_own_folder_is_resumed_from() -> None:
    life = Life().begin().running()
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job, "Background")  # type: ignore[union-attr]
    life.world.run_garbage_collector()
    life.world.reap_all()
    life.wipe_status().turn()
    assert life.jobs() == ["2"]
    uid = life.owner.metadata.uid
    assert json.loads(life.environment()["DEEPSEEK_RESUME_FROM"]) == {"trainingUID": uid, "checkpoint": "Latest"}


def test_a_deleted_job_is_a_disruption_and_its_pods_are_waited_for() -> None:
    life = Life().begin().running()
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job, "Background")  # type: ignore[union-attr]
    life.turn().later(100)
    assert (life.told, life.jobs()) == (("Reconciling", "AttemptEnding"), [])
    life.gone()
    assert (life.owner.status.disruptions, life.owner.status.restarts) == (1, 0)
    assert life.later(10).jobs() == ["2"]


def test_the_orphaned_pods_of_a_deleted_job_are_stopped() -> None:
    life = Life().begin().running()
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job)  # type: ignore[union-attr]
    life.turn()
    assert all(is_terminating(pod) for pod in life.cluster.all(POD))


def test_the_ended_pods_of_an_orphaned_gang_are_removed_once_judged() -> None:
    life = Life().begin().running()
    life.exit(1, 1)
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job)  # type: ignore[union-attr]
    life.gone().later(10)
    assert {pod["metadata"]["labels"]["deepseek-operator.io/attempt"] for pod in life.cluster.all(POD)} == {"2"}


def test_suspending_stops_the_pods_and_counts_nothing() -> None:
    life = Life().begin().running()
    life.edit(lambda spec: spec.update(suspend=True))
    assert life.told == ("Reconciling", "Stopping")
    life.gone()
    assert (life.told, life.jobs(), life.owner.status.phase) == (("Suspended", "Suspended"), [], "Suspended")
    assert (life.owner.status.disruptions, life.owner.status.restarts) == (0, 0)
    life.edit(lambda spec: spec.update(suspend=False))
    assert life.jobs() == ["2"]


def test_a_training_that_is_born_suspended_makes_nothing() -> None:
    life = Life().begin(suspend=True)
    assert life.told == ("Suspended", "Suspended")
    assert [write.verb for write in life.cluster.writes] == ["status"]


def test_editing_the_nodes_starts_another_attempt_without_a_wait() -> None:
    life = Life().begin().running()
    life.edit(lambda spec: spec.update(nodes={"count": 4})).gone()
    assert life.jobs() == ["2"]
    assert (len(life.pods()), life.owner.status.restarts, life.owner.status.disruptions) == (4, 0, 0)


def test_live_edits_and_another_release_leave_the_gang_alone() -> None:
    life = Life().begin().running()
    before = life.cluster.all(JOB), life.cluster.all(POD)
    life.edit(lambda spec: spec.update(failurePolicy={"maxRestarts": 7}, checkpoints={"keepLast": 5}))
    released = Life(Configuration(runtime_image="deepseek-operator.io/runtime:v2"))
    life.operator.kind = released.operator.kind
    life.operator.restart()
    life.turn()
    assert (life.cluster.all(JOB), life.cluster.all(POD)) == before


def test_a_gang_that_does_not_run_in_time_is_a_crash_with_the_reason() -> None:
    life = Life().begin(failurePolicy={"startTimeoutSeconds": 60})
    for pod in life.pods():
        life.world.schedule(pod)
        life.world.waiting(pod, "ImagePullBackOff", "no such image")
    life.turn()
    assert "no such image" in life.message
    life.later(60).gone()
    assert life.owner.status.restarts == 1
    assert "ErrImagePull" in life.owner.status.history[-1].message


def test_the_start_timeout_does_not_run_before_all_pods_are_placed() -> None:
    life = Life().begin(failurePolicy={"startTimeoutSeconds": 60})
    life.world.schedule(life.pod(0))
    life.world.unschedulable(life.pod(1))
    life.turn().later(86400)
    assert life.told == ("Reconciling", "WaitingForCapacity")
    assert "Insufficient nvidia.com/gpu" in life.message


@pytest.mark.parametrize("change", ["gone", "another"])
def test_a_lost_volume_stalls_and_is_never_made_again(change: str) -> None:
    life = Life().begin().running()
    name = life.owner.status.volume.claim_name  # type: ignore[union-attr]
    life.cluster.drop(CLAIM, NAMESPACE, name)
    if change == "another":
        life.cluster.put(claim(name))
    life.crash().later(3600)
    assert life.told == ("Stalled", "CheckpointVolumeLost")
    assert life.owner.status.restarts == 1
    assert life.jobs() == ["1"]
    assert (life.cluster.read(CLAIM, NAMESPACE, name) is None) == (change == "gone")


@pytest.mark.parametrize("parameters", [{"maxSteps": 40}, {"maxSteps": 40, "globalBatchSize": 7}])
def test_a_lost_volume_is_told_before_what_an_edit_made_wrong(parameters: dict[str, Any]) -> None:
    """Nothing that the edit's own message says to write would help."""
    life = Life().begin().running()
    life.cluster.drop(CLAIM, NAMESPACE, life.owner.status.volume.claim_name)  # type: ignore[union-attr]
    life.crash().later(3600)
    life.edit(lambda spec: spec["hyperparameters"].update(parameters))
    assert life.told == ("Stalled", "CheckpointVolumeLost")
    assert life.jobs() == ["1"]


def test_a_number_is_not_used_again_after_its_job_and_the_status_were_lost() -> None:
    """The Job of the attempt before tells less than the Service, which outlives both."""
    life = Life().begin().running().crash().later(700).running()
    (newest,) = [job["metadata"]["name"] for job in life.cluster.all(JOB) if job["metadata"]["name"].endswith("-2")]
    life.cluster.remove(JOB, NAMESPACE, newest, "Background")
    life.wipe_status().gone().later(700)
    assert life.jobs()[-1] == "3"


def test_a_volume_lost_together_with_the_status_is_not_made_again() -> None:
    life = Life().begin().running().crash()
    life.cluster.drop(CLAIM, NAMESPACE, life.owner.status.volume.claim_name)  # type: ignore[union-attr]
    life.wipe_status().later(3600)
    assert life.told == ("Stalled", "CheckpointVolumeLost")


def test_an_existing_claim_is_waited_for_and_never_written() -> None:
    life = Life().begin(checkpoints={"volume": {"claimName": "mine"}})
    assert life.told == ("Reconciling", "WaitingForClaim")
    before = life.cluster.put(claim("mine"))
    life.turn()
    assert life.jobs() == ["1"]
    assert life.cluster.read(CLAIM, NAMESPACE, "mine") == before


def test_a_claim_for_one_node_is_refused_for_two() -> None:
    life = Life()
    life.cluster.put(claim("mine", "ReadWriteOnce"))
    life.begin(checkpoints={"volume": {"claimName": "mine"}})
    assert life.told == ("Stalled", "InvalidSpec")
    assert "ReadWriteMany" in life.message


def test_a_claim_that_was_made_for_one_node_keeps_the_gang_at_one() -> None:
    life = Life().begin(nodes={"count": 1}).running()
    life.edit(lambda spec: spec.update(nodes={"count": 2}))
    assert life.told == ("Stalled", "InvalidSpec")
    assert len(life.pods()) == 1


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ({"datasets": []}, "split Train"),
        ({"datasets": [{"source": {"uri": "builtin://x"}, "split": "Heldout"}]}, "split Train"),
        ({"hyperparameters": {}}, "maxSteps, moreSteps and epochs"),
        ({"hyperparameters": {"maxSteps": 1, "globalBatchSize": 7}}, "write 8"),
        ({"checkpoints": {"volume": {"accessMode": "ReadWriteOnce"}}}, "ReadWriteMany"),
        (long(65, custom={"max_position_embeddings": 64}), "65 is more than the 64 positions of model.custom"),
        (long(65, name="deepseek-v3", custom={"max_position_embeddings": 64}), "write 64 or less"),
        (long(131073, name="deepseek-r1-distill-qwen-7b"), "131,073 is more than the 131,072 positions of deepseek-r1"),
        (long(4097, name="deepseek-llm-7b"), "4,097 is more than the 4,096 positions"),
    ],
)
def test_an_impossible_spec_says_what_to_write(spec: dict[str, Any], advice: str) -> None:
    life = Life().begin(**spec)
    assert life.told == ("Stalled", "InvalidSpec")
    assert advice in life.message
    assert life.cluster.all(JOB) == []


@pytest.mark.parametrize(
    "spec",
    [
        long(64, custom={"max_position_embeddings": 64}),
        long(2048, custom={"max_position_embeddings": 64}),  # the default, which nobody may have written
        long(4097, custom={"max_position_embeddings": 64})
        | {"trainer": {"type": "custom", "image": "i", "command": ["train"]}},
        long(1048576, custom={}),
        long(1048576, name="private"),
    ],
)
def test_a_length_that_only_the_pod_can_judge_starts(spec: dict[str, Any]) -> None:
    assert Life().begin(**spec).jobs() == ["1"]


def test_a_length_beyond_the_model_lets_what_has_learnt_go_on() -> None:
    life = Life().begin(**long(64, custom={"max_position_embeddings": 64})).running()
    life.edit(lambda spec: spec.update(long(65, custom={"max_position_embeddings": 64})))
    assert life.told == ("Stalled", "FixedFieldChanged")


def test_a_missing_dataset_claim_is_waited_for() -> None:
    life = Life().begin(datasets=[{"source": {"uri": "pvc://corpora/a.jsonl"}}])
    assert life.told == ("Reconciling", "WaitingForClaim")
    assert "datasets[0].source.uri" in life.message
    life.cluster.put(claim("corpora"))
    assert life.turn().jobs() == ["1"]


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteOncePod"])
def test_data_that_one_node_alone_can_mount_is_refused_for_two(mode: str) -> None:
    life = Life()
    life.cluster.put(claim("corpora", mode))
    life.begin(datasets=[{"source": {"uri": "pvc://corpora/a.jsonl"}}])
    assert life.told == ("Stalled", "InvalidSpec")
    assert "datasets[0].source.uri" in life.message
    assert "ReadOnlyMany" in life.message
    assert life.edit(lambda spec: spec.update(nodes={"count": 1})).jobs() == ["1"]


def test_what_a_claim_is_bound_to_says_how_many_nodes_can_mount_it() -> None:
    life = Life()
    bound = {"status": {"phase": "Bound", "accessModes": ["ReadWriteOnce", "ReadWriteMany"]}}
    life.cluster.put(claim("corpora", "ReadWriteOnce"))
    life.cluster.edit(CLAIM, NAMESPACE, "corpora", lambda live: live.update(bound))
    assert life.begin(datasets=[{"source": {"uri": "pvc://corpora/a.jsonl"}}]).jobs() == ["1"]


def test_a_changed_fixed_field_stalls_and_lets_the_gang_go_on() -> None:
    life = Life().begin().running()
    life.edit(lambda spec: spec.update(hyperparameters={"maxSteps": 7}))
    assert life.told == ("Stalled", "FixedFieldChanged")
    assert len(life.pods()) == 2
    life.complete(REPORT)
    assert life.told == ("Ready", "Complete")


def test_an_impossible_edit_stops_nothing() -> None:
    life = Life().begin(hyperparameters={"maxSteps": 1, "globalBatchSize": 8}).running()
    life.edit(lambda spec: spec.update(nodes={"count": 3}))
    assert life.told == ("Stalled", "InvalidSpec")
    assert len(life.pods()) == 2


def test_a_stranger_at_the_services_name_is_told_and_never_touched() -> None:
    life = Life()
    stranger = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{NAME}-train", "namespace": NAMESPACE}}
    before = life.cluster.put({**stranger, "spec": {"ports": []}})
    life.begin()
    assert life.told == ("Stalled", "NameConflict")
    assert life.cluster.read(SERVICE, NAMESPACE, f"{NAME}-train") == before
    life.cluster.drop(SERVICE, NAMESPACE, f"{NAME}-train")
    assert life.later(30).jobs() == ["1"]


def test_a_predecessors_leftovers_are_waited_for_and_its_data_is_not_inherited() -> None:
    life = Life().begin().running()
    former = life.owner.status.volume
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    life.cluster.put(training())
    life.operator.settle()
    assert life.told == ("Reconciling", "WaitingForPredecessor")
    life.gone().later(30)
    assert (life.jobs(), life.told) == (["1"], ("Reconciling", "Starting"))
    assert life.owner.status.volume != former
    retained = life.cluster.read(CLAIM, NAMESPACE, former.claim_name)  # type: ignore[union-attr]
    assert retained is not None
    assert "ownerReferences" not in retained["metadata"]


def test_on_delete_is_live_in_both_directions() -> None:
    life = Life().begin().running()
    name = life.owner.status.volume.claim_name  # type: ignore[union-attr]
    for on_delete, owned in (("Delete", True), ("Retain", False), ("Delete", True)):
        life.edit(lambda spec, on_delete=on_delete: spec.update(checkpoints={"onDelete": on_delete}))  # type: ignore[misc]
        metadata = life.cluster.read(CLAIM, NAMESPACE, name)["metadata"]  # type: ignore[index]
        assert bool(metadata.get("ownerReferences")) == owned
    assert life.jobs() == ["1"]


def test_a_bound_claim_grows_and_never_shrinks_and_an_unbound_one_waits() -> None:
    life = Life().begin()
    name = life.owner.status.volume.claim_name  # type: ignore[union-attr]
    life.edit(lambda spec: spec.update(checkpoints={"volume": {"size": "20Gi"}}))
    assert _requested(life, name) == "10Gi"
    life.world.bind_claim(NAMESPACE, name)
    for size in ("20Gi", "5Gi"):
        life.edit(lambda spec, size=size: spec.update(checkpoints={"volume": {"size": size}}))  # type: ignore[misc]
        assert _requested(life, name) == "20Gi"


def test_a_claim_that_may_not_grow_makes_nothing_of_a_complete_training() -> None:
    life = Life().begin()
    name = life.owner.status.volume.claim_name  # type: ignore[union-attr]
    life.world.bind_claim(NAMESPACE, name)
    life.running().complete(REPORT)
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job, "Background")  # type: ignore[union-attr]
    life.gone()
    refusal = Forbidden("the storage class does not support resize")
    life.cluster.refuse = lambda verb, _, ref: refusal if (verb, ref.name) == ("apply", name) else None
    life.edit(lambda spec: spec.update(checkpoints={"volume": {"size": "20Gi"}}))
    assert (life.told, str(refusal) in life.message) == (("Reconciling", "Forbidden"), True)
    assert "Complete" in [c.type for c in life.owner.status.conditions if c.status == "True"], "and stays so"
    assert [c.status for c in life.owner.status.conditions if c.type == "Ready"] == ["True"]


def _requested(life: Life, claim: str) -> object:
    return life.cluster.read(CLAIM, NAMESPACE, claim)["spec"]["resources"]["requests"]["storage"]  # type: ignore[index]


def test_a_drifted_service_is_put_back() -> None:
    life = Life().begin().running()

    def meddle(live: dict[str, Any]) -> None:
        live["spec"]["publishNotReadyAddresses"] = False

    life.cluster.edit(SERVICE, NAMESPACE, f"{NAME}-train", meddle)
    life.turn()
    assert life.cluster.read(SERVICE, NAMESPACE, f"{NAME}-train")["spec"]["publishNotReadyAddresses"]  # type: ignore[index]


def test_the_newest_failed_job_is_kept_and_older_ones_go() -> None:
    life = Life().begin()
    for _ in range(3):
        life.running().crash().later(60)
    assert life.jobs() == ["3", "4"]


@pytest.mark.parametrize("at_once", [True, False], ids=["ends unseen", "ends seen"])
def test_the_last_words_replace_what_was_pulled_before(at_once: bool) -> None:
    life = Life().begin().running()
    pulled = {"state": "Training", "step": 90, "maxSteps": 100, "loss": 0.5, "accuracy": 0.77, "etaSeconds": 9}
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = pulled
    life.later(30)
    for pod in life.pods():
        life.world.end(pod, 0, LAST_WORDS)
    if at_once:
        life.world.run_job_controller()
    progress = life.turn().owner.status.progress
    assert progress is not None
    assert (progress.state, progress.step, progress.max_steps, progress.eta_seconds) == ("Complete", 100, 100, None)
    assert (progress.loss, progress.eval_loss, progress.accuracy) == ("0.125", "0.25", "1")


def test_a_crash_leaves_the_numbers_of_its_last_words() -> None:
    life = Life().begin().running().crash(message=json.dumps({"step": 61, "loss": 0.5}))
    progress = life.owner.status.progress
    assert progress is not None
    assert (progress.step, progress.loss, life.owner.status.summary.progress) == (61, "0.5", "61/100 (61 %)")


def test_the_first_step_is_shown_soon_after_a_long_start_which_is_not_written_again_and_again() -> None:
    life = Life().begin().running()
    name = life.pod(0)["metadata"]["name"]
    life.operator.progress.answers[name] = {"state": "Starting"}
    life.later(5)
    written = len(life.cluster.writes)
    for _ in range(100):
        life.later(5)
    assert len(life.cluster.writes) == written
    assert progress_interval(Seen(life.owner, life.clock.now()), Configuration()) == timedelta(seconds=5)
    life.operator.progress.answers[name] = {"state": "Training", "step": 1, "maxSteps": 100}
    assert life.later(5).owner.status.summary.progress == "1/100 (1 %)"
    life.operator.progress.answers[name] = {"state": "Training", "step": 2, "maxSteps": 100}
    assert life.later(25).owner.status.summary.progress == "1/100 (1 %)"


def test_progress_is_shown_at_most_every_interval() -> None:
    life = Life().begin()
    name = life.pod(0)["metadata"]["name"]
    life.operator.progress.answers[name] = {"state": "Training", "step": 42, "maxSteps": 100, "etaSeconds": 200.0}
    life.running()
    summary = life.owner.status.summary
    assert (summary.progress, summary.eta) == ("42/100 (42 %)", "3m20s")
    life.operator.progress.answers[name] = {"state": "Training", "step": 43, "maxSteps": 100}
    assert life.later(4).owner.status.summary.progress == "42/100 (42 %)"
    assert life.later(1).owner.status.summary.progress == "43/100 (43 %)"
    life.later(175)
    life.operator.progress.answers[name] = {"state": "Training", "step": 44, "maxSteps": 100}
    assert life.later(29).owner.status.summary.progress == "43/100 (43 %)"
    assert life.later(1).owner.status.summary.progress == "44/100 (44 %)"


def test_the_pulls_of_a_long_run_add_up_to_few_more_than_the_interval_asks_for() -> None:
    life = Life().begin()
    name, told = life.pod(0)["metadata"]["name"], []
    life.running()
    for second in range(0, 600, 5):
        life.operator.progress.answers[name] = {"state": "Training", "step": second, "maxSteps": 1000}
        life.later(5)
        progress = life.owner.status.progress
        told += [progress.step] if progress is not None and progress.step is not None else []
    shown = sorted(set(told))
    assert shown[0] <= 5
    assert len(shown) <= 600 / 30 + 10


def test_a_dollar_in_a_private_config_reaches_the_trainer_as_it_was_written() -> None:
    life = Life().begin(model={"custom": {"chat_template": "$$ $(HOME) $"}})
    text = life.environment()["DEEPSEEK_TRAINING_SPEC"]
    # What the kubelet makes of a value: $$ is one dollar, $(NAME) a variable of the container.
    told = re.sub(r"\$\$|\$\((\w+)\)", lambda found: "/tmp" if found[1] else "$", text)
    assert json.loads(told)["model"]["custom"]["chat_template"] == "$$ $(HOME) $"


def test_events_tell_transitions_once() -> None:
    life = Life().begin().running().crash().later(10).running().complete(REPORT)
    assert life.event_reasons() == [
        "AttemptStarted",
        "Running",
        "AttemptCrashed",
        "AttemptStarted",
        "Running",
        "Complete",
    ]


@pytest.mark.parametrize(("code", "told"), [(1, "AttemptCrashed"), (64, "InvalidConfiguration")])
def test_a_final_failure_is_told_as_what_happened_and_as_the_end(code: int, told: str) -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 0}).running().crash(code=code)
    assert life.event_reasons() == ["AttemptStarted", "Running", told, "Failed"]


def test_deleting_the_training_leaves_nothing_but_the_retained_claim() -> None:
    life = Life().begin().running()
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    life.gone()
    assert [life.cluster.all(resource) for resource in (JOB, POD, SERVICE)] == [[], [], []]
    assert len(life.cluster.all(CLAIM)) == 1


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda life: life.complete(), id="complete"),
        pytest.param(lambda life: life.crash(), id="too many restarts"),
        pytest.param(lambda life: life.crash(code=64), id="invalid"),
    ],
)
def test_no_write_tells_a_result_beside_another_phase(end: Callable[[Life], Life]) -> None:
    life, told = Life(), []

    def hear(change: Change) -> None:
        status = change.manifest.get("status") or {} if change.resource == TRAINING else {}
        if "result" in status:
            says = {one["type"]: one["status"] for one in status["conditions"]}
            told.append((status["result"], status["phase"], says.get("Complete"), says.get("Failed")))

    life.cluster.listeners.append(hear)
    end(life.begin(failurePolicy={"maxRestarts": 0}).running())
    assert told, "it has ended"
    assert len(set(told)) == 1, told
    assert "True" in told[0][2:]
