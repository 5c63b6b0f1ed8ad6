"""Back-off, ancestry, and what the columns show."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from deepseek_operator.api.v1alpha1.training.attempts import Ancestor, AttemptStatus
from deepseek_operator.api.v1alpha1.training.progress import ProgressStatus
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.kinds.training import ancestry
from deepseek_operator.kinds.training.backoff import Backoff, after_failure, wait
from deepseek_operator.kinds.training.reasons import ADVICE, Reason
from deepseek_operator.kinds.training.status import duration_text, progress_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = TrainingSpec.model_validate({"model": {"custom": {}}})


def test_the_wait_doubles_from_ten_seconds_to_ten_minutes() -> None:
    assert [wait(level).total_seconds() for level in (0, 1, 2, 5, 6, 7, 1000)] == [10, 20, 40, 320, 600, 600, 600]


@pytest.mark.parametrize(
    ("known", "newest", "expected"),
    [
        (None, None, Backoff(level=4, step=None, not_before="2026-01-01T00:01:20Z")),
        (None, 5, Backoff(level=1, step=5, not_before="2026-01-01T00:00:10Z")),
        (5, 5, Backoff(level=4, step=5, not_before="2026-01-01T00:01:20Z")),
        (5, 4, Backoff(level=4, step=5, not_before="2026-01-01T00:01:20Z")),
        (5, 6, Backoff(level=1, step=6, not_before="2026-01-01T00:00:10Z")),
    ],
)
def test_only_a_newer_checkpoint_resets_the_wait(known: int | None, newest: int | None, expected: Backoff) -> None:
    assert after_failure(TrainingStatus(backoff_level=3, step_at_failure=known), newest, NOW) == expected


def test_a_stored_wait_is_never_shorter_than_the_wait() -> None:
    late = NOW + timedelta(microseconds=1)
    assert after_failure(TrainingStatus(), None, late).not_before == "2026-01-01T00:00:11Z"


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
