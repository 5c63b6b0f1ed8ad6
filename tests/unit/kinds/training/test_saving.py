"""A save that would not fit into the grace period is told before a node is drained, with what to write, and never flaps."""

from typing import Any

import pytest

from deepseek_operator.core.conditions import find
from deepseek_operator.kinds.training.saving import wanted_s
from tests.support.trainings import Life

GRACE = {"trainer": {"pod": {"terminationGracePeriodSeconds": 60}}}


def saves(life: Life, step: int, seconds: float | None) -> Life:
    latest = {"step": step, "time": "2026-01-01T00:00:40Z", "seconds": seconds}
    said = {"formatVersion": 1, "state": "Training", "step": step, "firstStep": 1, "maxSteps": 900, "latest": latest}
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said
    return life.later(30)


def message(life: Life) -> str | None:
    found = find(life.owner.status.conditions, "SaveWarning")
    return found.message if found is not None else None


def warnings(life: Life) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == "GraceTooShort"]


def test_the_first_save_that_would_not_fit_is_told_with_what_to_write() -> None:
    life = Life().begin(**GRACE).running()
    assert message(life) is None
    saves(life, 100, 70.2)
    told = message(life)
    assert told is not None
    assert told.startswith(
        "a checkpoint took 71 s to save (newest: step 100), and a pod that is asked to stop has 58 s of"
    )
    assert "write trainer.pod.terminationGracePeriodSeconds 150" in told
    assert warnings(life) == [told]
    assert life.told == ("Ready", "Running")
    assert warnings(saves(life, 200, 75)) == [told], "one warning, however many saves"


@pytest.mark.parametrize(
    ("seconds", "tells"), [(57, False), (58, False), (58.1, True), (59, True), (0.2, False), (None, False)]
)
def test_what_fits_is_not_told(seconds: float | None, tells: bool) -> None:
    assert (message(saves(Life().begin(**GRACE).running(), 100, seconds)) is not None) == tells


def test_saves_of_about_that_time_do_not_flap_nor_does_one_that_was_not_measured() -> None:
    life = Life().begin(**GRACE).running()
    took = (60, 57, None, 60, 50, 46, 57, 58)
    told = [message(saves(life, 100 + number, seconds)) is not None for number, seconds in enumerate(took)]
    assert told == [True, True, True, True, True, False, False, False]
    assert len(warnings(life)) == 1


def test_a_longer_grace_period_settles_it_and_last_words_do_not() -> None:
    last = '{"formatVersion": 1, "latest": {"step": 100}}'
    life = saves(Life().begin(**GRACE).running(), 100, 70).crash(message=last)
    assert message(life) is not None, "measured once, known to the next attempt"
    life.edit(lambda spec: spec["trainer"]["pod"].update(terminationGracePeriodSeconds=150))
    assert message(life) is None


def test_what_is_over_saves_nothing_any_more() -> None:
    assert message(saves(Life().begin(**GRACE).running(), 100, 70).complete()) is None


def test_the_usual_grace_period_counts_where_none_is_written() -> None:
    life = Life().begin().running()
    assert message(saves(life, 100, 118)) is None
    assert "terminationGracePeriodSeconds 120" in (message(saves(life, 200, 130)) or "")


@pytest.mark.parametrize("lie", [-1, float("inf"), "70", True, 1e30, [70]])
def test_what_no_trainer_says_counts_as_nothing(lie: Any) -> None:
    assert message(saves(Life().begin(**GRACE).running(), 100, lie)) is None


def test_what_is_to_be_written_has_room_for_a_save_under_way_and_the_one_after_it() -> None:
    for seconds in (1, 29, 60, 118, 3600):
        assert 2 * seconds + 2 <= wanted_s(seconds) < 2 * seconds + 32
