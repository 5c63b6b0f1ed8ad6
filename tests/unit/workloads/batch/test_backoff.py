"""How long the next attempt waits."""

from datetime import UTC, datetime, timedelta

import pytest

from deepseek_operator.workloads.batch.backoff import Backoff, after_failure, wait

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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
    assert after_failure(3, known, newest, NOW) == expected


def test_a_stored_wait_is_never_shorter_than_the_wait() -> None:
    late = NOW + timedelta(microseconds=1)
    assert after_failure(None, None, None, late).not_before == "2026-01-01T00:00:11Z"
