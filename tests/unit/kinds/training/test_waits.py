"""Back-off, ancestry, and what the columns show."""

import json
from datetime import UTC, datetime

import pytest

from deepseek_operator.api.v1alpha1.common.attempts import Ancestor, AttemptStatus
from deepseek_operator.api.v1alpha1.training.progress import ProgressStatus
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.kinds.training import ancestry
from deepseek_operator.kinds.training.reasons import ADVICE, Reason
from deepseek_operator.kinds.training.status import duration_text, progress_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = TrainingSpec.model_validate({"model": {"custom": {}}})


def test_an_attempt_whose_job_was_never_seen_is_no_ancestor() -> None:
    assert ancestry.extended([], AttemptStatus(number=1, job="j")) == []


def test_an_attempt_becomes_an_ancestor_once() -> None:
    attempt = AttemptStatus(number=1, job="j", job_uid="u", incarnation="i")
    once = ancestry.extended([], attempt)
    assert ancestry.extended(once, attempt) == once == [Ancestor(attempt=1, job_uid="u", incarnation="i")]


def test_the_environment_of_the_longest_ancestry_fits_one_variable() -> None:
    uid = "11111111-2222-4333-8444-555555555555"
    grown: list[Ancestor] = []
    for number in range(1, ancestry.LIMIT + 50):
        grown = ancestry.extended(grown, AttemptStatus(number=number, job="j", job_uid=uid, incarnation=uid))
    assert (grown[0].attempt, grown[-1].attempt) == (50, ancestry.LIMIT + 49)
    assert len(ancestry.to_environment(grown)) < 128 * 1024


def test_an_unseen_incarnation_is_left_out_of_the_environment() -> None:
    assert json.loads(ancestry.to_environment([Ancestor(attempt=1, job_uid="u")])) == [{"attempt": 1, "jobUID": "u"}]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (200, "3m20s"), (3600, "1h"), (7505, "2h5m"), (360000, "4d4h")]
)
def test_a_duration_shows_its_two_largest_units(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (None, ""),
        (ProgressStatus(), ""),
        (ProgressStatus(step=420), "420"),
        (ProgressStatus(step=420, max_steps=1200), "420/1200 (35 %)"),
    ],
)
def test_progress_is_shown_as_far_as_it_is_known(progress: ProgressStatus | None, text: str) -> None:
    assert progress_text(progress, SPEC) == text


def test_every_reason_says_what_to_do() -> None:
    assert set(ADVICE) == set(Reason)
    assert all(advice.endswith(".") for advice in ADVICE.values())
