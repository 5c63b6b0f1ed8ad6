"""Schedules of a serving: the bounds that follow the clock, what wakes them, and what is told."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.scaling import Autoscaling
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import Settled
from deepseek_operator.core.resources import AUTOSCALER
from deepseek_operator.domain.policy.zero import Phase
from tests.support.moments import START
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE
from tests.support.sleep_life import SleepLife

DAY: dict[str, Any] = {"name": "day", "from": "08:00", "to": "18:00", "zone": "UTC", "minReplicas": 4}
NIGHT: dict[str, Any] = {
    "name": "night",
    "from": "22:00",
    "to": "06:00",
    "zone": "UTC",
    "minReplicas": 1,
    "maxReplicas": 2,
}


def scaled(*schedules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"minReplicas": 1, "maxReplicas": 6, "signals": [{"target": 4}], "schedules": list(schedules), **more}


def bounds(now: datetime, *schedules: dict[str, Any], **more: Any) -> tuple[int, int, tuple[str, ...]]:
    found = Autoscaling.model_validate(scaled(*schedules, **more)).bounds(now)
    return found.least, found.most, found.schedules


def at(hour: int) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def test_outside_of_all_schedules_the_bounds_are_those_of_all_times() -> None:
    assert bounds(at(20), DAY, NIGHT) == (1, 6, ())


def test_a_schedule_raises_the_floor_and_one_with_a_ceiling_lowers_it() -> None:
    assert bounds(at(9), DAY, NIGHT) == (4, 6, ("day",))
    assert bounds(at(23), DAY, NIGHT) == (1, 2, ("night",))


def test_of_several_in_force_the_largest_of_each_counts() -> None:
    beside = {**DAY, "name": "peak", "minReplicas": 5, "maxReplicas": 12}
    low = {**DAY, "name": "low", "minReplicas": 1, "maxReplicas": 2}
    assert bounds(at(9), DAY, beside, low) == (5, 12, ("day", "peak", "low"))
    assert bounds(at(9), low, DAY) == (4, 6, ("low", "day")), "one without a ceiling has that of all times"


def test_a_schedule_never_lowers_the_floor_of_all_times() -> None:
    assert bounds(at(9), {**DAY, "minReplicas": 1}, minReplicas=3) == (3, 6, ("day",))


def autoscaler(life: ServingLife) -> tuple[int, int]:
    spec = life.stored(AUTOSCALER, SERVICE)["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


def until_next_look(life: ServingLife) -> float | None:
    """Seconds until the operator looks again although nothing tells it to."""
    outcome = life.operator.reconcile(Key(SERVING, NAMESPACE, "chat"))
    assert isinstance(outcome, Settled)
    return outcome.requeue_after_s


def test_the_autoscaler_and_what_runs_follow_the_clock_and_nothing_polls() -> None:
    life = ServingLife(autoscaling=scaled(DAY))
    life.run()
    assert (autoscaler(life), len(life.pods())) == ((1, 6), 1)
    told = life.status.autoscaling
    assert told is not None
    assert (told.floor, told.ceiling, told.schedules, told.next_change) == (1, 6, [], "2026-01-01T08:00:00Z")
    life.clock.advance(8 * 3600 - 1)
    assert until_next_look(life) == 1.0
    life.clock.advance(1)
    life.operator.settle()
    life.run()
    assert (autoscaler(life), len(life.pods())) == ((4, 6), 4)
    told = life.status.autoscaling
    assert told is not None
    assert (told.floor, told.schedules, told.next_change) == (4, ["day"], "2026-01-01T18:00:00Z")


def test_a_night_over_midnight_and_a_change_of_clocks_begins_and_ends_as_clocks_show_it() -> None:
    """From 22:00 to 06:00 in Berlin, 7 hours on 28 March 2026 and 9 on 24 October; each pass waits for just the next change."""
    night = {**NIGHT, "zone": "Europe/Berlin", "minReplicas": 2, "maxReplicas": 3}
    life = ServingLife(autoscaling=scaled(night))
    life.run()
    for begins, hours in ((datetime(2026, 3, 28, 21, tzinfo=UTC), 7), (datetime(2026, 10, 24, 20, tzinfo=UTC), 9)):
        life.clock.advance((begins - life.clock.now()).total_seconds() - 1)
        life.operator.settle()
        assert (autoscaler(life), until_next_look(life)) == ((1, 6), 1.0)
        life.clock.advance(1)
        life.operator.settle()
        assert (autoscaler(life), until_next_look(life)) == ((2, 3), hours * 3600.0)
        life.clock.advance(hours * 3600 - 1)
        life.operator.settle()
        assert autoscaler(life) == (2, 3)
        life.clock.advance(1)
        life.operator.settle()
        assert autoscaler(life) == (1, 6)


def test_what_a_schedule_brought_goes_when_the_autoscaler_says_so_and_not_before() -> None:
    life = ServingLife(autoscaling=scaled(DAY))
    life.clock.advance(9 * 3600)
    life.operator.settle()
    life.run()
    life.clock.advance(10 * 3600)
    life.operator.settle()
    life.run()
    assert (autoscaler(life), len(life.pods())) == ((1, 6), 4)
    life.world.scale(NAMESPACE, "chat", 1)
    life.world.set_autoscaler(NAMESPACE, SERVICE, True, 1)
    life.operator.settle()
    life.run()
    assert len(life.pods()) == 1


def test_the_floor_of_a_schedule_must_be_ready_for_the_serving_to_be() -> None:
    life = ServingLife(autoscaling=scaled({**DAY, "from": "00:00"}))
    life.run(room=3)
    ready = {one.type: one.status for one in life.status.conditions}
    assert ready["Ready"] == "False"
    life.run()
    ready = {one.type: one.status for one in life.status.conditions}
    assert ready["Ready"] == "True"


def test_a_zone_that_nobody_knows_is_for_a_person_to_mend_and_what_serves_goes_on() -> None:
    life = ServingLife(autoscaling=scaled({**DAY, "zone": "Europe/Berln"}))
    life.run()
    told = {one.type: one for one in life.status.conditions}
    assert told["Stalled"].reason == "UnknownZone"
    assert "no zone is called Europe/Berln" in told["Stalled"].message
    assert told["Ready"].status == "True"


def test_who_sleeps_is_woken_by_a_schedule_and_does_not_sleep_in_it() -> None:
    schedule = {"name": "a", "from": "01:00", "to": "12:00", "zone": "UTC", "minReplicas": 1}
    wake = {"idleSeconds": 60, "holdSeconds": 200}
    life = SleepLife(autoscaling=scaled(schedule, minReplicas=0, wake=wake))
    life.falls_asleep()
    life.after((START + timedelta(hours=1) - life.clock.now()).total_seconds())
    assert life.status.sleep is not None
    assert life.at in (Phase.WAKING.value, Phase.AWAKE.value)
    phases = []
    for _ in range(20):
        life.after(15)
        phases.append(life.at)
    assert set(phases[2:]) == {Phase.AWAKE.value}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata"])
def test_zones_come_with_what_the_operator_is_installed_with(zone: str) -> None:
    """An image of Python has none of its own."""
    code = f"import zoneinfo; zoneinfo.reset_tzpath([]); print(zoneinfo.ZoneInfo('{zone}'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == zone
