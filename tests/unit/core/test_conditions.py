"""Conditions: the table of the three that kstatus reads, and their history."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.core.conditions import Verdict, find, merged, ready, reconciling, resting, stalled

T0 = datetime(2026, 1, 1, tzinfo=UTC)
three = st.sampled_from(
    [
        ready("Running", "m"),
        reconciling("Starting", "m"),
        reconciling("Rolling", "m", serves=True),
        stalled("InvalidSpec", "m"),
        stalled("InvalidSpec", "m", serves=True),
        resting("Suspended", "m"),
    ]
)


@given(three)
def test_reconciling_and_stalled_are_never_both_true_and_ready_comes_first(verdicts: tuple[Verdict, ...]) -> None:
    assert [verdict.type for verdict in verdicts[1:]] == ["Reconciling", "Stalled"]
    assert verdicts[0].type in ("Ready", "Suspended")
    assert [verdict.status for verdict in verdicts[1:]].count("True") <= 1


@given(three, three, st.integers(1, 9))
def test_the_transition_time_moves_only_when_the_status_flips(
    before: tuple[Verdict, ...], after: tuple[Verdict, ...], generation: int
) -> None:
    old = merged(before, [], generation, T0)
    new = merged(after, old, generation + 1, T0 + timedelta(hours=1))
    for later in new:
        earlier = find(old, later.type)
        if earlier is None:
            assert later.last_transition_time == "2026-01-01T01:00:00Z"
            continue
        moved = later.last_transition_time != earlier.last_transition_time
        assert moved == (later.status != earlier.status)
        assert later.observed_generation == generation + 1


@given(three)
def test_merging_twice_changes_nothing(verdicts: tuple[Verdict, ...]) -> None:
    once = merged(verdicts, [], 1, T0)
    assert merged(verdicts, once, 1, T0 + timedelta(days=1)) == once


def test_a_hostile_message_is_cut_and_an_absent_condition_is_none() -> None:
    conditions = merged(stalled("InvalidSpec", "x" * 100_000), [], 1, T0)
    assert {len(condition.message) for condition in conditions} == {4096, 0}
    assert find(conditions, "Available") is None
