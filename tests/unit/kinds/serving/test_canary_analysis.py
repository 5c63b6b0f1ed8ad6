"""A canary that is judged: it goes on for numbers that are well, goes back for numbers that are bad, and waits for any."""

from collections.abc import Callable
from datetime import datetime
from math import inf, nan
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.seen import Answer, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.kinds.serving.events import events
from tests.support.serving_life import ServingLife

BAKE_S, INTERVAL_S, LIMIT = 180, 60, 2
METRICS = [{"type": "ErrorRate", "max": "0.01"}, {"type": "Latency", "maxIncreasePercent": 20}]
ANALYSIS = {"intervalSeconds": INTERVAL_S, "failureLimit": LIMIT, "metrics": METRICS}
STEPS: list[dict[str, Any]] = [
    {"weight": 25, "bakeSeconds": BAKE_S, "analysis": ANALYSIS},
    {"weight": 50, "bakeSeconds": BAKE_S},
]


class Judged(ServingLife):
    """Four replicas of a first version, and a second one that is asked for and judged."""

    def __init__(self, analysis: dict[str, Any] = ANALYSIS, **canary: Any) -> None:
        steps = [{**STEPS[0], "analysis": analysis}, STEPS[1]]
        super().__init__(replicas=4, rollout={"canary": {"steps": steps, **canary}})
        self.run()
        self.first = self.status.stable
        self.says(errors=0.0, seconds=1.0)
        self.edit(engine={"maxConcurrency": 8})
        self.run()

    def says(self, errors: float, seconds: float, requests: float = 500.0) -> None:
        """What Prometheus tells of the new version; the old one takes a second for each of many requests."""

        def answer(query: str, at: datetime) -> Answer:
            is_new = f'deepseek_revision="{self.first}"' not in query
            if query.startswith("sum(increase("):
                return Reading((requests if is_new else 500.0,), at)
            if query.startswith("histogram_quantile"):
                return Reading((seconds if is_new else 1.0,), at)
            return Reading((errors,), at)

        self.operator.store.answer = answer

    def silent(self, answer: Callable[[datetime], Answer]) -> None:
        self.operator.store.answer = lambda query, at: answer(at)

    def after(self, seconds: float) -> None:
        """Time passes, and then all have their turns."""
        self.clock.advance(seconds)
        self.operator.settle()
        self.run()

    def at(self) -> tuple[str, int]:
        assert self.status.canary is not None
        return self.status.canary.phase, self.status.canary.step

    @property
    def judged(self) -> tuple[str, int]:
        assert self.status.canary is not None
        of = self.status.canary.analysis
        return (of.verdict, of.failures) if of is not None else ("", 0)

    def told(self, prefix: str) -> list[str]:
        """Notes of the events whose reason begins so, in order."""
        manifests = [change.manifest for change in self.changes if change.resource == SERVING]
        states = [self.operator.kind.parse(manifest).status for manifest in manifests]
        pairs = zip(states, states[1:], strict=False)  # noqa: RUF007
        return [one.note for was, now in pairs for one in events(was, now) if one.reason.startswith(prefix)]


def test_nothing_is_asked_at_rest_nor_between_two_judgements() -> None:
    life = Judged()
    assert life.at() == ("Baking", 1)
    assert life.operator.store.asked == []
    life.after(INTERVAL_S)
    asked = len(life.operator.store.asked)
    assert asked == 5, "two values, a baseline, and the requests of both"
    life.after(INTERVAL_S - 1)
    assert len(life.operator.store.asked) == asked


def test_a_version_that_is_well_goes_on_and_its_numbers_are_told() -> None:
    life = Judged()
    for _ in range(BAKE_S // INTERVAL_S):
        life.after(INTERVAL_S)
    assert life.at() == ("Baking", 2)
    assert life.judged == ("", 0), "a new step begins with nothing"
    (note,) = life.told("AnalysisPassed")
    assert "ErrorRate 0, at most 0.01, over 500 requests in 300 s" in note
    assert "LatencyP99 1 s, at most 1.2 s (20 % more than stable's 1 s)" in note
    life.after(BAKE_S)
    assert life.at()[0] == "Completed"
    asked = len(life.operator.store.asked)
    life.after(10 * INTERVAL_S)
    assert len(life.operator.store.asked) == asked, "at rest nothing is asked"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"errors": 0.05, "seconds": 1.0}, "ErrorRate 0.05, at most 0.01, over 500 requests in 300 s"),
        ({"errors": 0.0, "seconds": 3.0}, "LatencyP99 3 s, at most 1.2 s (20 % more than stable's 1 s)"),
    ],
)
def test_a_version_that_is_bad_goes_back_within_its_failures_and_is_not_tried_again(
    numbers: dict[str, float], words: str
) -> None:
    life = Judged()
    life.says(**numbers)
    life.after(INTERVAL_S)
    assert (life.at(), life.judged) == (("Baking", 1), ("Fail", 1))
    assert words in life.told("AnalysisFailed")[0]
    life.after(INTERVAL_S)
    assert (life.at()[0], life.judged) == ("RolledBack", ("Fail", LIMIT))
    assert words in life.told("CanaryRolledBack")[0]
    life.says(errors=0.0, seconds=1.0)
    life.after(10 * BAKE_S)
    assert life.at()[0] == "RolledBack"
    assert life.status.stable == life.first
    assert life.told("CanaryStarted") == life.told("CanaryStarted")[:1]


def test_failures_that_are_not_enough_let_a_step_go_on_only_once_it_is_well() -> None:
    life = Judged({**ANALYSIS, "failureLimit": 9})
    life.says(errors=0.5, seconds=1.0)
    life.after(INTERVAL_S)
    life.after(INTERVAL_S)
    life.after(INTERVAL_S)
    assert (life.at(), life.judged) == (("Baking", 1), ("Fail", 3))
    life.says(errors=0.0, seconds=1.0)
    life.after(INTERVAL_S)
    assert life.at() == ("Baking", 2)


@pytest.mark.parametrize(
    "answer",
    [
        lambda at: Unavailable("connection refused"),
        lambda at: Reading((), at),
        lambda at: Reading((nan,), at),
        lambda at: Reading((inf,), at),
        lambda at: Reading((-1.0,), at),
        lambda at: Reading((1e9, nan), at),
    ],
    ids=["down", "empty", "NaN", "infinite", "negative", "absurd"],
)
def test_without_numbers_it_is_held_and_goes_on_when_they_are_back(answer: Callable[[datetime], Answer]) -> None:
    life = Judged()
    life.silent(answer)
    for _ in range(BAKE_S // INTERVAL_S + 1):
        life.after(INTERVAL_S)
    assert (life.at(), life.judged) == (("Held", 1), ("Inconclusive", 0))
    for _ in range(3):
        life.after(INTERVAL_S)
    assert (life.at(), life.judged) == (("Held", 1), ("Inconclusive", 0))
    assert len(life.told("AnalysisInconclusive")) == 1, "told once, not in every interval"
    life.says(errors=0.0, seconds=1.0)
    for _ in range(BAKE_S // INTERVAL_S + 2):
        life.after(INTERVAL_S)
    assert life.at() == ("Baking", 2)


def test_a_promotion_by_hand_needs_no_numbers() -> None:
    life = Judged()
    life.silent(lambda at: Unavailable("connection refused"))
    life.after(BAKE_S)
    assert life.at() == ("Held", 1)
    assert life.status.canary is not None
    target = life.status.canary.target
    life.cluster.edit(
        SERVING,
        "team",
        "chat",
        lambda live: live["metadata"].update(annotations={"deepseek-operator.io/promote": f"{target}/1"}),
    )
    life.operator.settle()
    life.run()
    assert life.at() == ("Baking", 2)


def test_who_wants_it_goes_back_without_numbers_but_not_at_once() -> None:
    life = Judged(onInconclusive="Rollback", stallSeconds=600)
    life.silent(lambda at: Unavailable("connection refused"))
    life.after(BAKE_S)
    assert life.at() == ("Baking", 1)
    life.after(INTERVAL_S)
    life.after(600)
    assert life.at()[0] == "RolledBack"
    assert "connection refused" in life.told("CanaryRolledBack")[0]


def test_too_few_requests_hold_it() -> None:
    life = Judged()
    life.says(errors=1.0, seconds=9.0, requests=99.0)
    for _ in range(BAKE_S // INTERVAL_S + 1):
        life.after(INTERVAL_S)
    assert (life.at(), life.judged) == (("Held", 1), ("Inconclusive", 0))


def test_another_process_counts_no_failure_twice_and_forgets_none() -> None:
    life = Judged()
    life.says(errors=0.05, seconds=1.0)
    life.after(INTERVAL_S)
    for _ in range(3):
        life.operator.restart()
        life.after(1)
    assert life.judged == ("Fail", 1)
    life.operator.restart()
    life.after(INTERVAL_S)
    assert life.at()[0] == "RolledBack"
