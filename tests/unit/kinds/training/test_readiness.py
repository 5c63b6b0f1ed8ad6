"""What tools that wait make of a training: kstatus, and `kubectl wait --for=condition=…`."""

from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from tests.support.kstatus import kstatus
from tests.support.training_states import STATES
from tests.support.trainings import NAME, NAMESPACE, Life, claim


@pytest.mark.parametrize(("live", "status", "true"), STATES)
def test_a_state_is_read_as_it_is_meant(live: Callable[[Life], Any], status: str, true: set[str]) -> None:
    life = Life()
    live(life)
    manifest = life.cluster.read(TRAINING, NAMESPACE, NAME)
    assert manifest is not None
    told = {c["type"] for c in manifest["status"]["conditions"] if c["status"] == "True"} - {"Reconciling"}
    assert (kstatus(manifest), told) == (status, true)
    headline = next(c for c in manifest["status"]["conditions"] if c["type"] in ("Ready", "Suspended"))
    shown = manifest["status"]["summary"]
    is_ready = headline["status"] if headline["type"] == "Ready" else "False"
    assert (shown["ready"], shown["reason"]) == (is_ready, headline["reason"]), "what the columns show"


def test_the_history_tells_where_an_attempt_began_and_where_its_curve_lies() -> None:
    told = '{"formatVersion":1,"message":"boom","step":40,"loss":0.5,"firstStep":%d}'
    life = Life().begin().running()
    first = life.owner.status.attempt
    life.crash(message=told % 1)
    life.later(10).running().crash()
    life.later(30).running().crash(message=told % 41)
    uid = life.owner.metadata.uid
    assert first is not None
    history = [(one.first_step, one.last_step, one.curve) for one in life.owner.status.history]
    assert history[0] == (1, 40, f"{uid}/{first.incarnation}/metrics.jsonl")
    assert history[1] == (None, None, None), "what died without a word has not the steps of the one before it"
    assert history[2][:2] == (41, 40)


def test_an_attempt_that_dies_without_a_word_has_what_was_pulled_from_its_own_pods_only() -> None:
    life = Life().begin().running()
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = {"step": 40, "firstStep": 1, "loss": 0.5}
    life.later(30).crash()
    life.later(10).running().crash()
    assert [(one.first_step, one.last_step) for one in life.owner.status.history] == [(1, 40), (None, None)]


def test_the_curve_is_named_as_a_person_finds_it_on_the_claim() -> None:
    life = Life()
    life.cluster.put(claim("mine"))
    life.begin(checkpoints={"volume": {"claimName": "mine", "subPath": "runs/a"}}).running()
    life.crash(message='{"formatVersion":1,"firstStep":1}')
    assert (life.owner.status.history[0].curve or "").startswith(f"runs/a/{life.owner.metadata.uid}/")


def test_a_trainer_of_ones_own_has_no_curve_that_is_known() -> None:
    life = Life().begin(trainer={"type": "custom", "command": ["train"]}).running().crash(message="it broke")
    assert life.owner.status.history[0].curve is None


@pytest.mark.parametrize(("nodes", "told"), [(1, "its worker runs"), (2, "all 2 workers run")])
def test_how_many_run_is_told_as_a_person_says_it(nodes: int, told: str) -> None:
    assert Life().begin(nodes={"count": nodes}).running().message == f"attempt 1: {told}"


def test_a_complete_training_shows_all_of_its_workers_and_an_old_attempt_its_last_words() -> None:
    life = Life().begin().running().crash(message='{"formatVersion":1,"message":"boom","step":40,"loss":0.5}')
    (old,) = life.owner.status.history
    assert (old.job, old.last_step, old.loss) == (life.jobs() and f"{NAME}-train-d57d19-1", 40, "0.5")
    assert "boom" in old.message
    life.later(10).running().complete()
    assert life.owner.status.summary.workers == "2/2"
    status = life.owner.status
    assert (status.backoff_level, status.not_before, status.step_at_failure) == (None, None, None), (
        "nothing is waited for"
    )


def test_a_training_that_crashed_too_often_says_how_often_and_what_allows_it() -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 0}).running().crash(message="boom")
    assert life.message.startswith("crash 1, and failurePolicy.maxRestarts is 0: ")
