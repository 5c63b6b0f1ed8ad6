"""A mistake costs neither the training nor a claim: while certainly nothing was learnt, an edit starts it anew."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import cel
import pytest

from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.training.definition import IS_UNLEARNT, TRAINING
from deepseek_operator.api.v1alpha1.training.progress import LastCheckpoint
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus, VolumeStatus
from deepseek_operator.core.resources import CLAIM
from deepseek_operator.kinds.training.anew import is_unlearnt
from deepseek_operator.kinds.training.reasons import Reason
from tests.support.trainings import NAME, NAMESPACE, Life, claim, training

WRONG = {"datasets": [{"source": {"uri": "image:///nosuch.jsonl"}}]}
RIGHT = [{"source": {"uri": "builtin://uppercase"}}]
REFUSED = json.dumps({"formatVersion": 1, "result": "Invalid", "message": "/nosuch.jsonl does not exist"})


def invalid(message: str = REFUSED, **spec: Any) -> Life:
    """A training whose first attempt ended with 64."""
    life = Life().begin(**{**WRONG, **spec}).running()
    life.world.bind_claim(NAMESPACE, claim_name(life))
    return life.crash(code=64, message=message)


def claim_name(life: Life) -> str:
    volume = life.owner.status.volume
    assert volume is not None
    return volume.claim_name


def is_owned(life: Life, name: str) -> bool:
    found = life.cluster.read(CLAIM, NAMESPACE, name)
    assert found is not None
    return bool(found["metadata"].get("ownerReferences"))


def test_a_wrong_path_is_corrected_by_an_edit_on_the_same_claim() -> None:
    life = invalid()
    assert life.told == ("Stalled", Reason.INVALID_CONFIGURATION)
    assert "correct the spec and it starts anew" in life.message
    before = life.owner.status.volume
    life.edit(lambda spec: spec.update(datasets=RIGHT))
    status = life.owner.status
    assert (life.told, status.result, status.result_message) == (("Reconciling", "Starting"), None, "")
    assert (status.attempt.number, status.volume) == (2, before)  # type: ignore[union-attr]
    assert life.running().told == ("Ready", "Running")
    assert json.loads(life.environment()["DEEPSEEK_TRAINING_SPEC"])["datasets"][0]["source"]["builtin"] == "uppercase"


def test_what_was_read_of_the_wrong_data_is_forgotten() -> None:
    lost = {"examples": 1, "dropped": 999, "cut": 0, "longest": 44}
    life = invalid(json.dumps({"formatVersion": 1, "result": "Invalid", "message": "999 of 1,000", "data": lost}))
    assert [one.reason for one in life.owner.status.conditions if one.type == "DataWarning"] == ["ExamplesLeftOut"]
    life.edit(lambda spec: spec.update(datasets=RIGHT)).running()
    assert life.owner.status.data is None
    assert [one.type for one in life.owner.status.conditions] == ["Ready", "Reconciling", "Stalled"]


def test_a_second_mistake_is_corrected_too() -> None:
    life = invalid()
    life.edit(lambda spec: spec["hyperparameters"].update(maxSteps=7)).running().crash(code=64, message=REFUSED)
    assert life.told == ("Stalled", Reason.INVALID_CONFIGURATION)
    assert life.edit(lambda spec: spec.update(datasets=RIGHT)).running().told == ("Ready", "Running")


def test_an_edit_of_what_an_attempt_is_made_of_answers_a_failure_too() -> None:
    life = invalid()
    life.edit(lambda spec: spec.update(trainer={"env": [{"name": "DATA", "value": "/right"}]}))
    assert life.running().told == ("Ready", "Running")


def test_what_failed_stays_failed_without_an_edit() -> None:
    life = invalid().later(86400)
    life.edit(lambda spec: spec.update(failurePolicy={"maxRestarts": 9}))
    assert (life.told, life.owner.status.attempt.number) == (("Stalled", Reason.INVALID_CONFIGURATION), 1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param({"step": 7}, id="a step was taken"),
        pytest.param({"step": 7, "latest": {"step": 5}}, id="a checkpoint was saved"),
        pytest.param({"exports": [5]}, id="an export was made"),
    ],
)
def test_what_was_learnt_is_not_given_up_for_an_edit(words: dict[str, Any]) -> None:
    life = invalid(message=json.dumps({"formatVersion": 1, "result": "Invalid", **words}))
    assert "starts anew" not in life.message
    life.edit(lambda spec: spec.update(datasets=RIGHT))
    assert (life.told[0], life.owner.status.attempt.number) == ("Stalled", 1)  # type: ignore[union-attr]
    assert not is_owned(life, claim_name(life))


@pytest.mark.parametrize(
    "message", ["", "Traceback: no such file", json.dumps({"error": "mine"})], ids=["none", "text", "foreign JSON"]
)
def test_without_the_launchers_word_nothing_is_certain(message: str) -> None:
    life = invalid(message=message)
    life.edit(lambda spec: spec.update(datasets=RIGHT))
    assert life.owner.status.attempt.number == 1  # type: ignore[union-attr]
    assert not is_owned(life, claim_name(life))


def test_a_trainer_of_the_users_own_is_not_believed_to_have_written_nothing() -> None:
    life = invalid(trainer={"type": "custom", "image": "a/b:1", "command": ["train"]})
    assert not is_owned(life, claim_name(life))


def test_a_gang_that_does_not_run_yet_is_stopped_and_begun_anew() -> None:
    life = Life().begin(**WRONG)
    assert life.told == ("Reconciling", "Starting")
    life.edit(lambda spec: spec.update(datasets=RIGHT)).gone()
    status = life.owner.status
    assert (status.attempt.number, status.history[-1].cause) == (2, "SpecChanged")  # type: ignore[union-attr]
    assert life.running().told == ("Ready", "Running")


def test_a_gang_that_runs_goes_on_and_the_edit_is_refused() -> None:
    life = Life().begin().running()
    life.edit(lambda spec: spec.update(hyperparameters={"maxSteps": 7}))
    assert (life.told, life.jobs()) == (("Stalled", Reason.FIXED_FIELD_CHANGED), ["1"])


def test_an_unpullable_image_costs_nothing_but_the_edit() -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 0, "startTimeoutSeconds": 60}, trainer={"image": "no/such:1"})
    for rank in (0, 1):
        life.world.schedule(life.pod(rank))
    life.turn().later(61).gone()
    assert life.told == ("Stalled", Reason.TOO_MANY_RESTARTS)
    life.edit(lambda spec: spec.update(trainer={"image": "some/such:1"}))
    assert life.running().told == ("Ready", "Running")
    assert life.owner.status.restarts == 0


def test_another_claim_is_written_once_the_edit_names_it() -> None:
    life = invalid()
    made = claim_name(life)
    life.cluster.put(claim("mine"))
    life.edit(lambda spec: spec.update(datasets=RIGHT, checkpoints={"volume": {"claimName": "mine"}}))
    assert life.running().told == ("Ready", "Running")
    assert (claim_name(life), life.environment()["DEEPSEEK_ATTEMPT"]) == ("mine", "2")
    assert made != "mine"


def test_a_claim_that_was_never_written_to_goes_with_its_training() -> None:
    life = invalid()
    name = claim_name(life)
    assert is_owned(life, name)
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    life.gone()
    assert life.cluster.read(CLAIM, NAMESPACE, name) is None


def test_a_claim_is_its_own_again_before_the_next_attempt_can_write_to_it() -> None:
    life = invalid()
    name = claim_name(life)
    writes = len(life.cluster.writes)
    life.edit(lambda spec: spec.update(datasets=RIGHT))
    order = [(write.verb, write.ref.resource.kind) for write in life.cluster.writes[writes:]]
    assert order.index(("apply", "PersistentVolumeClaim")) < order.index(("create", "Job"))
    assert not is_owned(life, name)


def test_a_training_that_goes_well_gives_its_claim_no_owner_at_any_time() -> None:
    life = Life().begin().running().crash().later(10).running().complete()
    applied = [w for w in life.cluster.writes if (w.verb, w.ref.resource) == ("apply", CLAIM)]
    assert (applied, is_owned(life, claim_name(life))) == ([], False)


def test_a_training_that_waits_before_its_first_attempt_takes_its_claim_along() -> None:
    life = Life()
    life.cluster.put(training())
    life.operator.settle()
    life.edit(lambda spec: spec.update(suspend=True)).gone()
    assert (life.told[1], life.owner.status.volume.used) == ("Suspended", False)  # type: ignore[union-attr]
    assert is_owned(life, claim_name(life))


def test_a_status_of_an_earlier_release_is_taken_for_one_that_may_have_written() -> None:
    life = invalid()
    name = claim_name(life)

    def as_before(live: dict[str, Any]) -> None:
        del live["status"]["volume"]["used"]

    life.cluster.edit(TRAINING, NAMESPACE, NAME, as_before)
    life.turn()
    assert not is_owned(life, name)
    assert life.edit(lambda spec: spec.update(datasets=RIGHT)).owner.status.attempt.number == 1  # type: ignore[union-attr]


def _deleted(life: Life) -> Life:
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    return life.gone()


def _told_of_claims(life: Life) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == "CheckpointsRetained"]


def test_a_claim_that_is_kept_is_told_once_with_what_to_do_with_it() -> None:
    last_words = json.dumps({"formatVersion": 1, "result": "Complete", "step": 100, "latest": {"step": 100}})
    life = Life().begin().running().complete(last_words)
    name, uid = claim_name(life), life.owner.metadata.uid
    (note,) = _told_of_claims(_deleted(life).later(60))
    assert f"kubectl delete pvc {name} -n {NAMESPACE}" in note
    assert f"trainingUID {uid}" in note
    assert "up to step 100" in note
    assert "-l deepseek-operator.io/training" in note
    labels = life.cluster.read(CLAIM, NAMESPACE, name)["metadata"]["labels"]  # type: ignore[index]
    assert labels["deepseek-operator.io/training"] == NAME


@pytest.mark.parametrize(
    "spec", [{"checkpoints": {"onDelete": "Delete"}}, {"checkpoints": {"volume": {"claimName": "c"}}}]
)
def test_of_a_claim_that_goes_or_was_brought_nothing_is_told(spec: dict[str, Any]) -> None:
    life = Life()
    life.cluster.put(claim("c"))
    life.begin(**spec).running()
    assert _told_of_claims(_deleted(life)) == []


def test_a_successor_that_comes_at_once_does_not_hide_what_its_predecessor_left() -> None:
    life = Life().begin().running()
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    life.cluster.put(training())
    life.gone()
    assert len(_told_of_claims(life)) == 1


def _statuses() -> Iterator[TrainingStatus]:
    """Every combination of what the question is decided by."""
    volumes = (
        None,
        VolumeStatus(claim_name="c", uid="1", used=True),
        VolumeStatus(claim_name="c", uid="1", used=False),
    )
    checkpoints = (None, LastCheckpoint(step=3))
    for volume, verdict, running_at, result, last, exports in product(
        volumes, (None, "Crash"), (None, "2026-01-01T00:00:00Z"), (None, "Failed", "Complete"), checkpoints, ([], [3])
    ):
        attempt = AttemptStatus(number=1, job="j", verdict=verdict, running_at=running_at)
        told = {"last_checkpoint": last, "exports": exports, "result": result}
        yield TrainingStatus(attempt=attempt, volume=volume).model_copy(update=told)


def test_the_api_server_calls_the_same_trainings_unlearnt_as_the_operator() -> None:
    """Its rule, over what the operator writes: an edit that is let in is taken up, and one that is not is refused."""
    program = cel.compile(IS_UNLEARNT)
    answers = set()
    for status in _statuses():
        context = cel.Context()
        context.add_variable("oldSelf", {"status": status.to_wire()})
        answer = program.execute(context)
        assert answer == is_unlearnt(status), status.to_wire()
        answers.add(answer)
    assert answers == {True, False}


def used(life: Life) -> bool:
    volume = life.owner.status.volume
    assert volume is not None
    return volume.used


def test_a_volume_is_in_use_from_when_the_gang_runs() -> None:
    life = Life().begin()
    assert not used(life)
    assert used(life.running())


def test_a_volume_on_which_the_trainer_refused_everything_is_unused_again_unless_it_was_written_before() -> None:
    life = invalid()
    assert not used(life)
    life.edit(lambda spec: spec.update(datasets=RIGHT)).running()
    assert used(life)
    life.crash().later(10).running().crash(code=64, message=REFUSED)
    assert (life.told[1], used(life)) == (Reason.INVALID_CONFIGURATION, True)
