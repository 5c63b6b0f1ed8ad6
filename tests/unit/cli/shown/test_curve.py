"""A loss over its attempts: what is drawn is what was kept, and what was not is said."""

import json

import pytest

from deepseek_operator.cli.shown.curve import Attempt, Point, curve, read, summary, thinned
from deepseek_operator.cli.shown.series import Course, Line, Panel, course, line
from deepseek_operator.cli.shown.series import summary as told_in_time
from deepseek_operator.core.kinds import Lived


def step(number: int, loss: object) -> str:
    return json.dumps({"time": "t", "event": "step", "step": number, "loss": loss, "tokensPerSecond": 9})


LOG = [
    "torch says something",
    json.dumps({"event": "preflight", "seconds": 1}),
    step(1, 5.5),
    step(2, 5),
    "{half a li",
    step(3, None),
    json.dumps({"event": "evaluation", "step": 2, "evalLoss": 4.5, "accuracy": 0.1}),
    json.dumps({"event": "checkpoint", "step": 2, "healthy": True}),
    json.dumps({"event": "checkpoint", "step": 2, "healthy": True}),
    json.dumps(["event", "step"]),
    step(2, 4.75),
]


def test_steps_evaluations_and_saves_are_read_and_the_rest_is_passed_over() -> None:
    assert read(1, "log", LOG, "Crash") == Attempt(
        1, "log", (Point(1, 5.5), Point(2, 4.75)), (Point(2, 4.5),), (2,), "Crash"
    )


FIRST = Lived(1, 1, 87, 1.5, "PodDeleted", "u/i/metrics.jsonl")
SECOND = Lived(2, 76, 400, 0.5, "", "")


def test_an_attempt_whose_log_is_gone_is_one_point_and_a_sentence() -> None:
    told = curve("training/t", [FIRST, SECOND], [read(2, "log", [step(76, 1.7), step(400, 0.5)])])
    assert [one.points for one in told.attempts] == [(Point(87, 1.5),), (Point(76, 1.7), Point(400, 0.5))]
    assert told.restarts == ((76, "PodDeleted"),)
    assert told.notes == (
        "attempt 1: no lines of steps are left in its log: its last loss alone is known, at step 87; all of it is in "
        "u/i/metrics.jsonl of the checkpoint claim, for --file 1=FILE",
    )
    assert list(summary(told))[:2] == [
        "attempt 1: step 87, loss 1.5, PodDeleted (from the status)",
        "attempt 2: steps 76 to 400, loss 1.7 to 0.5, under way (from the log)",
    ]
    assert told.plain()["attempts"][0]["points"] == [{"step": 87, "loss": 1.5}]


def test_a_log_that_was_rotated_says_where_it_begins() -> None:
    told = curve("training/t", [SECOND], [read(2, "log", [step(90, 1.7)])])
    assert told.notes == ("attempt 2: its log begins at step 90 of 76: what was before was rotated away",)


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    told = curve("training/t", [Lived(1, None, None, None, "", "")], [])
    assert told.attempts[0].points == ()
    assert told.restarts == ()
    assert "nothing is known of it" in told.notes[0]


@pytest.mark.parametrize(("count", "most"), [(10, 20), (1000, 20), (21, 20)])
def test_thinned_points_keep_the_mean_and_the_end(count: int, most: int) -> None:
    points = [Point(index, float(index % 2)) for index in range(count)]
    found = list(thinned(points, most))
    assert len(found) == min(count, most)
    assert found[-1].step == count - 1
    assert all(0 <= one.loss <= 1 for one in found)


def matrix(*values: tuple[float, str]) -> dict[str, object]:
    result = [{"metric": {}, "values": [list(one) for one in values]}] if values else []
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def test_what_prometheus_has_no_number_of_is_no_zero() -> None:
    assert line("x", matrix()) is None
    assert line("x", matrix((1, "NaN"))) is None
    assert line("x", matrix((1, "2"), (2, "NaN"), (3, "4"))) == Line("x", (1.0, 3.0), (2.0, 4.0))
    with pytest.raises(ValueError, match="Prometheus refuses: parse error"):
        line("x", {"status": "error", "error": "parse error"})
    with pytest.raises(ValueError, match="no Prometheus"):
        line("x", "<html>")


def test_panels_without_data_are_named() -> None:
    ready = Line("ready", (0.0, 60.0), (1.0, 3.0))
    told = course(
        "serving/s", {"replicas": ["ready", "wanted"], "load": ["InFlight"]}, {"replicas": [ready], "load": []}
    )
    assert told == Course("serving/s", (Panel("replicas", (ready,)),), ("no data of replicas: wanted, load: InFlight",))
    assert next(told_in_time(told)) == "replicas, ready: 1 to 3, last 3 at 00:01:00Z"
    assert told.plain()["panels"][0]["lines"][0]["values"] == [1.0, 3.0]
