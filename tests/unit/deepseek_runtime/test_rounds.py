"""When a gang starts again in its pods, by what it had told."""

import pytest

from deepseek_runtime.launcher.rounds import Rounds, Told

CRASH = "rank 1 died of SIGSEGV"


def told(step: int | None, saved: int | None, first: int = 1) -> Told:
    return {"step": step, "firstStep": first, "latest": {"step": saved} if saved is not None else None}


def test_the_first_crash_needs_a_step_alone() -> None:
    assert Rounds(3, follows_crash=False).refusal(told(5, None)) is None


@pytest.mark.parametrize("said", [{}, told(0, None), told(None, 40), told(40, 40, first=41), {"step": True}])
def test_a_run_without_a_step_does_not_start_again(said: Told) -> None:
    assert Rounds(3, follows_crash=False).refusal(said) == "it had made no step"


def test_each_next_one_needs_a_newer_checkpoint() -> None:
    rounds = Rounds(9, follows_crash=False)
    rounds.begin(told(47, 40), CRASH)
    assert rounds.refusal(told(47, 40, first=41)) == "no checkpoint was saved since the crash before"
    assert rounds.refusal(told(61, 60, first=41)) is None
    rounds.begin(told(61, 60), CRASH)
    assert rounds.refusal(told(79, 60, first=61)) is not None


def test_there_are_only_so_many() -> None:
    rounds = Rounds(2, follows_crash=False)
    for step in (10, 20):
        assert rounds.refusal(told(step + 1, step)) is None
        rounds.begin(told(step + 1, step), CRASH)
    assert "failurePolicy.maxInPlaceRestarts is 2" in str(rounds.refusal(told(31, 30)))
    assert "is 0" in str(Rounds(0, follows_crash=False).refusal(told(5, 4)))


def test_after_an_attempt_that_crashed_something_must_have_been_saved_first() -> None:
    rounds = Rounds(3, follows_crash=True)
    assert rounds.refusal(told(47, 40, first=41)) == "no checkpoint was saved since the crash before"
    assert rounds.refusal(told(3, None)) is not None, "it began at step 1 again"
    assert rounds.refusal(told(61, 60, first=41)) is None


def test_a_long_cause_leaves_room_for_the_other_words_of_a_pod() -> None:
    assert len(Rounds(1, follows_crash=False).begin(told(5, 4), "x" * 9000).cause) == 400
