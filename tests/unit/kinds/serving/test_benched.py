"""What a bench found is told in status once, survives its Job, and never touches it."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.resources import JOB
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.story import picture
from tests.support.benched import begins, ends, goes
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE


def serving() -> ServingLife:
    life = ServingLife()
    life.run()
    return life


def told(life: ServingLife) -> list[str]:
    manifests = [change.manifest for change in life.changes if change.resource == SERVING]
    states = [life.operator.kind.parse(manifest).status for manifest in manifests]
    found = [one for was, now in zip(states, states[1:], strict=False) for one in events(was, now)]  # noqa: RUF007
    return [one.note for one in found if one.reason == "Benched"]


def test_what_it_found_is_told_with_targets_and_an_event() -> None:
    life = serving()
    assert life.status.bench is None
    pod = begins(life)
    assert life.status.bench is None
    ends(life, pod)
    bench, current = life.status.bench, life.status.current
    assert bench is not None
    assert current is not None
    assert (bench.concurrency, bench.in_flight, bench.request_rate, bench.tokens_per_second) == (24, 19, 10, 1280)
    assert (bench.revision, bench.quantile) == (current.name, "0.99")
    assert [(one.type, one.milliseconds) for one in bench.objectives] == [("TimeToFirstToken", 500)]
    words = f"a replica of revision {current.name} answers 24 requests at a time within 500 ms of TimeToFirstToken at P99; target of InFlight: 19"
    assert told(life) == [words]
    assert f"bench of {bench.at}: {words}" in picture(life.serving())


def test_it_is_told_once_whoever_looks_again_and_after_its_job_has_gone() -> None:
    life = serving()
    pod = begins(life)
    ends(life, pod)
    bench = life.status.bench
    life.operator.restart()
    life.operator.settle()
    goes(life, pod)
    life.edit(replicas=2)
    life.run()
    assert life.status.bench == bench
    assert len(told(life)) == 1


def test_the_newest_counts_and_an_older_one_that_is_still_there_is_not_told_again() -> None:
    life = serving()
    ends(life, begins(life, "7"))
    ends(life, begins(life, "8"), streams=12)
    assert life.status.bench is not None
    assert life.status.bench.concurrency == 12
    assert len(told(life)) == 2


def test_the_operator_neither_ends_nor_mends_it_and_counts_it_nowhere() -> None:
    life = serving()
    before = (life.status.replicas, life.status.ready_replicas, life.status.phase)
    pod = begins(life)
    name = pod["metadata"]["ownerReferences"][0]["name"]
    life.cluster.edit(JOB, NAMESPACE, name, lambda live: live["metadata"]["labels"].pop("deepseek-operator.io/role"))
    life.run()
    assert (life.status.replicas, life.status.ready_replicas, life.status.phase) == before
    ends(life, pod)
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    life.edit(suspend=True)
    life.run()
    assert "deepseek-operator.io/role" not in life.stored(JOB, name)["metadata"]["labels"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (1, {}),
        (64, {}),
        (0, {"streams": 0}),
        (0, {"streams": -1}),
        (0, {"streams": 1.5}),
        (0, {"streams": 1e12}),
        (0, {"streams": True}),
        (0, {"streams": "24"}),
        (0, {"quantile": 1}),
        (0, {"quantile": None}),
    ],
)
def test_what_found_nothing_or_can_not_be_is_not_told(code: int, found: dict[str, Any]) -> None:
    life = serving()
    ends(life, begins(life), code, **found)
    assert life.status.bench is None
    assert told(life) == []


@pytest.mark.parametrize("forged", [{"at": "soon"}, {"concurrency": 0}, {"quantile": "P99"}])
def test_a_record_that_no_bench_left_counts_as_none(forged: dict[str, Any]) -> None:
    life = serving()
    ends(life, begins(life))
    assert life.status.bench is not None
    wire = {**life.status.bench.to_wire(), "at": "2027-01-01T00:00:00Z", **forged}
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["status"].update(bench=wire))
    life.operator.settle()
    assert life.status.bench is not None
    assert life.status.bench.concurrency == 24
    assert life.status.bench.at != wire["at"]
