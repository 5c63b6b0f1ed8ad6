"""An A/B test: it promotes nobody, tells how both versions did in the same time, and waits for a person with the old one alone."""

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.resources import DEPLOYMENT, HTTP_ROUTE, JOB, POD
from deepseek_operator.core.seen import Answer, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.story import exit_status, picture
from deepseek_operator.kinds.serving.verbs import PROMOTE, ROLLBACK
from tests.support.faults import Crash, crash_at_write
from tests.support.gateways import PUBLIC, takes
from tests.support.serving_life import SERVICE, ExaminedLife, ServingLife
from tests.support.servings import NAMESPACE

BAKE_S = 600
NUMBERS = {"new": {"requests": 400.0, "errors": 0.01, "0.5": 0.3, "0.99": 2.0},
           "old": {"requests": 1600.0, "errors": 0.0025, "0.5": 0.25, "0.99": 1.5}}  # fmt: skip


class Compared(ExaminedLife):
    """Four replicas of a first version, and a second one that is asked for and compared."""

    def __init__(self, analysis: dict[str, Any] | None = None, begins: bool = True, **canary: Any) -> None:
        step = {"replicas": 1, "bakeSeconds": BAKE_S, **({"analysis": analysis} if analysis is not None else {})}
        rollout = {"canary": {"steps": [step], "match": {"percent": 20}, **canary}}
        super().__init__(replicas=4, rollout=rollout)
        self.run()
        self.first = self.status.stable
        self.operator.store.answer = self.answer
        if begins:
            self.edit(engine={"maxConcurrency": 8})
            self.run()
            assert self.status.canary is not None
            self.second = self.status.canary.target

    def answer(self, query: str, at: datetime) -> Answer:
        numbers = NUMBERS["old" if f'"{self.first}"' in query else "new"]
        if query.startswith("histogram_quantile"):
            tenth = 0.1 if "first_token" in query else 1.0
            return Reading((numbers["0.5" if "(0.5," in query else "0.99"] * tenth,), at)
        return Reading((numbers["errors" if " / " in query else "requests"],), at)

    def annotate(self, key: str, value: str) -> None:
        self.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["metadata"].update(annotations={key: value}))
        self.operator.settle()
        self.run()

    @property
    def phase(self) -> str:
        assert self.status.canary is not None
        return self.status.canary.phase

    def table(self) -> list[dict[str, Any]]:
        assert self.status.canary is not None
        assert self.status.canary.comparison is not None
        return [one.to_wire() for one in self.status.canary.comparison.revisions]

    def replicas(self) -> dict[str, int]:
        found = self.cluster.all(DEPLOYMENT, NAMESPACE)
        return {one["metadata"]["name"].rpartition("-")[2]: one["spec"]["replicas"] for one in found}

    def told(self) -> list[tuple[str, str]]:
        """Reason and note of each event, in order."""
        manifests = [change.manifest for change in self.changes if change.resource == SERVING]
        states = [self.operator.kind.parse(manifest).status for manifest in manifests]
        return [(one.reason, one.note) for was, now in pairwise(states) for one in events(was, now)]


def test_it_lasts_for_its_steps_and_ends_with_the_numbers_of_both() -> None:
    life = Compared()
    life.after(BAKE_S - 1)
    assert (life.phase, life.operator.store.asked) == ("Baking", [])
    life.after(1)
    assert life.phase == "Compared"
    old, new = life.table()
    assert new == {
        "revision": life.second,
        "model": "models/v2",
        "requests": 400,
        "errorRate": "0.01",
        "errorRateInterval": "0.0039..0.0254",
        "latencyP50Seconds": "0.3",
        "latencyP99Seconds": "2",
        "firstTokenP50Seconds": "0.03",
        "firstTokenP99Seconds": "0.2",
    }
    assert (old["revision"], old["requests"], old["errorRate"]) == (life.first, 1600, "0.0025")
    (note,) = [note for reason, note in life.told() if reason == "CanaryCompared"]
    assert f"{life.second}: 400 requests, errors 0.01" in note
    assert "CanaryPromoted" not in [reason for reason, _ in life.told()]


def test_both_are_asked_over_the_whole_time_and_no_other() -> None:
    life = Compared()
    life.after(BAKE_S)
    assert {query.rpartition("[")[2].partition("]")[0] for query in life.operator.store.asked} == {f"{BAKE_S}s"}
    assert len(life.operator.store.asked) == 12
    comparison = life.status.canary.comparison if life.status.canary is not None else None
    assert comparison is not None
    assert (comparison.since, comparison.until) == ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z")
    life.after(10 * BAKE_S)
    assert len(life.operator.store.asked) == 12, "at rest nothing is asked"


def test_then_the_old_one_serves_alone_and_a_person_is_waited_for() -> None:
    life = Compared()
    assert life.replicas() == {life.first: 4, life.second: 1}
    life.after(BAKE_S)
    assert life.replicas() == {life.first: 4, life.second: 0}
    for _ in range(3):
        life.after(BAKE_S)
    assert (life.phase, life.status.stable, life.reason("Reconciling")) == ("Compared", life.first, "CanaryCompared")
    assert life.reason("Ready") == "CanaryCompared"
    (said,) = [one.message for one in life.status.conditions if one.type == "Reconciling"]
    assert "400 requests, errors 0.01, P50 0.3 s, P99 2 s" in said
    assert f"{PROMOTE}={life.second}/1" in said
    assert f"{ROLLBACK}={life.first}" in said


def test_a_person_promotes_it() -> None:
    life = Compared()
    life.after(BAKE_S)
    life.annotate(PROMOTE, life.second)
    life.run(rounds=12)
    assert (life.phase, life.status.stable, life.replicas()) == ("Completed", life.second, {life.second: 4})
    assert len(life.table()) == 2, "the numbers stay"


def test_a_person_rejects_it_and_it_is_not_tried_again() -> None:
    life = Compared()
    life.after(BAKE_S)
    life.annotate(ROLLBACK, life.first)
    assert (life.phase, life.status.stable) == ("RolledBack", life.first)
    life.after(BAKE_S)
    assert (life.phase, life.replicas()[life.first]) == ("RolledBack", 4)


def test_to_promote_the_last_step_ends_it_and_compares() -> None:
    life = Compared()
    life.after(60)
    life.annotate(PROMOTE, life.second)
    assert life.phase == "Compared"
    life.after(60)
    assert life.phase == "Compared", "the wish was for the step alone"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda at: Unavailable("connection refused"), "connection refused"),
        (lambda at: Reading((), at), "nothing is known of some numbers"),
        (lambda at: Reading((nan,), at), "nothing is known of some numbers"),
        (lambda at: Reading((inf,), at), "nothing is known of some numbers"),
        (lambda at: Reading((-1.0,), at), "nothing is known of some numbers"),
        (lambda at: Reading((1.0, 2.0), at), "nothing is known of some numbers"),
    ],
    ids=["down", "empty", "NaN", "infinite", "negative", "several"],
)
def test_what_is_not_known_is_absent_and_no_zero(answer: Any, words: str) -> None:
    life = Compared()
    life.operator.store.answer = lambda query, at: answer(at)
    life.after(BAKE_S)
    assert life.phase == "Compared"
    assert life.table() == [
        {"revision": life.first, "model": "models/v2"},
        {"revision": life.second, "model": "models/v2"},
    ]
    assert life.status.canary is not None
    assert life.status.canary.comparison is not None
    assert words in life.status.canary.comparison.message
    row = next(line for line in picture(life.serving()).splitlines() if line.split()[:2] == [life.second, "-"])
    assert row.split() == [life.second, *["-"] * 7]


def test_a_command_that_watches_prints_the_table_and_ends() -> None:
    life = Compared()
    assert exit_status(life.serving()) is None
    life.after(BAKE_S)
    assert exit_status(life.serving()) == 0
    lines = [line.split() for line in picture(life.serving()).splitlines()]
    assert ["REVISION", "REQUESTS", "ERRORS", "P50", "P99", "TTFT", "P50", "TTFT", "P99", "ACCURACY"] in lines
    assert [life.second, "400", "0.01", "(0.0039..0.0254)", "0.3", "s", "2", "s", "0.03", "s", "0.2", "s", "-"] in lines


def test_where_accuracy_is_asked_both_are_examined_and_told() -> None:
    life = Compared({"intervalSeconds": 60, "metrics": [EXAM]})
    marks(life)
    life.after(60)
    for _ in range(BAKE_S // 60):
        life.after(60)
    assert life.phase == "Compared"
    assert [(one["accuracy"], one["accuracyInterval"]) for one in life.table()] == [("0.9", "0.786..0.957")] * 2
    assert life.cluster.all(JOB, NAMESPACE) == []


EXAM = {"type": "Accuracy", "data": "builtin://uppercase", "samples": 50, "min": "0.5"}


def marks(life: Compared) -> None:
    for pod in life.cluster.all(POD, NAMESPACE):
        if pod["metadata"]["labels"].get("deepseek-operator.io/role") == "examiner":
            life.world.end(pod, 0, json.dumps({"metrics": {"accuracy": 0.9, "samples": 50}}))
    life.run()


def test_a_version_that_is_bad_goes_back_before_its_time() -> None:
    life = Compared({"intervalSeconds": 60, "failureLimit": 1, "metrics": [{"type": "ErrorRate", "max": "0.001"}]})
    life.after(60)
    assert life.phase == "RolledBack"


@pytest.mark.parametrize("when", ["while it lasts", "once it is over"])
def test_who_writes_another_version_has_the_test_of_that_one(when: str) -> None:
    life = Compared()
    life.after(60 if when == "while it lasts" else BAKE_S)
    life.edit(engine={"maxConcurrency": 16})
    life.run()
    assert life.status.canary is not None
    assert (life.status.canary.run, life.phase, life.status.canary.stable) == (2, "Baking", life.first)
    assert life.status.canary.comparison is None
    assert life.status.canary.target != life.second


def test_who_takes_the_version_back_ends_it() -> None:
    life = Compared()
    life.after(BAKE_S)
    life.edit(engine={"maxConcurrency": 4})
    life.run()
    assert life.status.canary is None
    assert (life.status.phase, life.replicas()[life.first]) == ("Available", 4)


def test_suspended_and_back_it_is_compared_still() -> None:
    life = Compared()
    life.after(BAKE_S)
    life.edit(suspend=True)
    life.run()
    life.edit(suspend=False)
    life.run()
    assert (life.phase, life.replicas()) == ("Compared", {life.first: 4, life.second: 0})
    assert len(life.table()) == 2


def test_another_process_compares_nothing_twice() -> None:
    life = Compared()
    life.after(BAKE_S)
    before = life.table()
    life.operator.restart()
    life.operator.store.answer = lambda query, at: Unavailable("connection refused")
    life.after(60)
    assert life.table() == before


@pytest.mark.deep
@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(3, 13, 2))
def test_a_process_killed_at_any_write_makes_no_exam_twice_and_loses_no_table(nth: int, committed: bool) -> None:
    """From the record of the run on, over those of the exams, to the table and the last Job's end."""
    life = Compared({"intervalSeconds": 60, "metrics": [EXAM]}, begins=False)
    crash_at_write(life.cluster, nth, committed)
    lives(life)
    assert not life.cluster.faults, "it was not killed"
    assert life.phase == "Compared"
    assert [one["accuracy"] for one in life.table()] == ["0.9", "0.9"]
    assert all(one["requests"] for one in life.table())
    made = [c.manifest["metadata"]["name"] for c in life.changes if c.resource == JOB and c.type == "ADDED"]
    assert len(made) == 2
    assert life.cluster.all(JOB, NAMESPACE) == []


def lives(life: Compared) -> None:
    """From the edit on to the end, by whichever process is alive."""
    surely(life, lambda: life.edit(engine={"maxConcurrency": 8}))
    surely(life, lambda: life.run(rounds=3))
    surely(life, lambda: marks(life))
    for seconds in (60, BAKE_S, 60, 60):
        surely(life, partial(life.after, seconds))


def surely(life: Compared, act: Callable[[], None]) -> None:
    try:
        act()
    except Crash:
        life.operator.restart()
        life.operator.settle()
        life.run()


# --- by a header ----------------------------------------------------------------------------------------------------

HEADER = {"name": "x-variant", "value": "new"}


class ByHeader(Compared):
    """The same behind a gateway, by a header."""

    def __init__(self, replicas: int = 1) -> None:
        step = {"replicas": replicas, "bakeSeconds": BAKE_S}
        rollout = {"canary": {"steps": [step], "match": {"header": HEADER}}}
        ServingLife.__init__(self, replicas=2, rollout=rollout, gateway=PUBLIC)
        self.run()
        takes(self)
        self.first = self.status.stable
        self.operator.store.answer = self.answer
        self.edit(engine={"maxConcurrency": 8})
        assert self.status.canary is not None
        self.second = self.status.canary.target

    def rules(self) -> list[tuple[list[dict[str, str]], dict[str, int]]]:
        """Headers and backends of each rule of the route."""
        rules = self.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
        return [
            (
                rule["matches"][0].get("headers", []),
                {one["name"].rpartition("-")[2]: one["weight"] for one in rule["backendRefs"] if one["weight"]},
            )
            for rule in rules
        ]


def test_what_carries_the_header_goes_to_the_new_version_once_it_serves_and_nothing_else_does() -> None:
    life = ByHeader()
    assert life.rules() == [([], {life.first: 1})]
    life.run()
    usual, matched = life.rules()
    assert usual == ([], {life.first: 1})
    assert matched == ([{"type": "Exact", **HEADER}], {life.second: 1})
    (first, second) = life.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
    assert {**second, "matches": 0, "backendRefs": 0} == {**first, "matches": 0, "backendRefs": 0}
    assert second["matches"][0]["path"] == first["matches"][0]["path"]


def test_the_header_leads_nowhere_before_the_first_step_is_whole_and_from_then_on_while_one_serves() -> None:
    """One replica of two would be compared under twice its load."""
    life = ByHeader(replicas=2)
    usual: tuple[list[dict[str, str]], dict[str, int]] = ([], {life.first: 1})
    life.run(room=3)
    assert (life.replicas()[life.second], life.rules()) == (2, [usual])
    life.run()
    takes(life)
    assert (life.phase, life.rules()) == ("Baking", [usual, ([{"type": "Exact", **HEADER}], {life.second: 1})])
    pod = next(pod for pod in life.pods() if life.second in pod["metadata"]["name"])
    life.world.run(pod, ready=False)
    life.world.run_deployment_controller()
    life.operator.settle()
    assert len(life.rules()) == 2, "who was sent there goes on being sent there"


def test_it_bakes_once_the_gateway_has_taken_the_rule() -> None:
    life = ByHeader()
    life.run()
    assert life.phase == "Preparing"
    (said,) = [one.message for one in life.status.conditions if one.type == "Reconciling"]
    assert "has not taken the route with the rule for x-variant: new" in said
    takes(life)
    assert life.phase == "Baking"


def test_the_rule_goes_before_the_pods_do() -> None:
    life = ByHeader()
    life.run()
    takes(life)
    life.after(BAKE_S)
    assert life.phase == "Compared"
    assert life.rules() == [([], {life.first: 1})]
    assert life.replicas() == {life.first: 2, life.second: 1}, "its gateway may send requests to it still"
    takes(life)
    assert life.replicas() == {life.first: 2, life.second: 0}


def test_a_new_version_that_serves_no_more_gets_no_requests() -> None:
    life = ByHeader()
    life.run()
    takes(life)
    for pod in life.pods():
        if life.second in pod["metadata"]["name"]:
            life.world.run(pod, ready=False)
    life.world.run_deployment_controller()
    life.operator.settle()
    assert life.rules() == [([], {life.first: 1})]
