"""Rollback by name: kept revisions are listed, run again by their own template, and none in use is thrown away."""

from typing import Any

import pytest

from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import CLAIM, REVISION
from deepseek_operator.kinds.serving.names import serving_revision
from deepseek_operator.kinds.serving.verbs import ROLLBACK
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE, a_claim, a_training

STEPS = [100, 200, 300, 400, 500, 600]


def tuned(step: int) -> dict[str, Any]:
    return {"fromTraining": {"name": "tune", "checkpoint": str(step)}}


def rolled_out(*steps: int, **spec: Any) -> ServingLife:
    """A serving that has rolled out one export after the other."""
    life = ServingLife(a_training(exports=STEPS, result="Complete"), model=tuned(steps[0]), **spec)
    life.run()
    for step in steps[1:]:
        life.edit(model=tuned(step))
        life.run()
    return life


def annotate(life: ServingLife, value: str | None) -> None:
    def change(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"] = {ROLLBACK: value} if value is not None else {}

    life.cluster.edit(SERVING, NAMESPACE, NAME, change)
    life.operator.settle()


def revision(life: ServingLife, step: int) -> str:
    (name,) = [one.name for one in life.status.revisions if one.step == step]
    return name


def serves(life: ServingLife) -> str:
    """The revision of the only Deployment."""
    return str(life.deployment()["metadata"]["name"]).rpartition("-")[2]


def condition(life: ServingLife) -> Condition:
    found = find(life.status.conditions, "RolledBack")
    assert found is not None
    return found


def test_kept_revisions_are_listed_with_what_they_serve() -> None:
    life = rolled_out(100, 200)
    told = [(one.model, one.step, one.replicas, one.ready, bool(one.since)) for one in life.status.revisions]
    assert told == [("tune@200", 200, 1, 1, True), ("tune@100", 100, 0, 0, True)]


@pytest.mark.parametrize(("keep", "left"), [(None, 5), (3, 3), (10, 6)])
def test_as_many_revisions_are_kept_as_the_spec_says(keep: int | None, left: int) -> None:
    life = rolled_out(*STEPS, **({} if keep is None else {"rollout": {"keepRevisions": keep}}))
    assert [one.step for one in life.status.revisions] == STEPS[::-1][:left]
    assert len(life.cluster.all(REVISION)) == left


def test_the_oldest_kept_one_runs_again_by_its_own_template() -> None:
    life = rolled_out(100, 200, 300, 400, 500)
    oldest = revision(life, 100)
    stored = life.stored(REVISION, serving_revision(NAME, oldest))
    annotate(life, oldest)
    life.run()
    assert serves(life) == oldest == life.status.stable
    assert life.template() == stored["data"]["template"]
    assert (life.status.phase, life.status.summary.model) == ("RolledBack", "tune@100")
    assert (condition(life).status, life.reason("Ready")) == ("True", "Available")


def test_what_to_write_makes_it_so_and_ends_the_rollback() -> None:
    life = rolled_out(100, 200)
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    first = revision(life, 100)
    annotate(life, first)
    life.run()
    message = condition(life).message
    assert 'write model.fromTraining: {name: tune, checkpoint: "100"}; engine.maxConcurrency left out.' in message
    life.edit(model=tuned(100), engine={})
    life.run()
    assert (serves(life), life.status.phase) == (first, "Available")
    assert find(life.status.conditions, "RolledBack") is None


def test_one_that_is_done_with_does_not_undo_the_next_edit() -> None:
    life = rolled_out(100, 200)
    first = revision(life, 100)
    annotate(life, first)
    life.edit(model=tuned(100))
    life.edit(model=tuned(300))
    life.run()
    assert life.status.summary.model == "tune@300"
    assert (condition(life).status, condition(life).reason) == ("False", "RollbackDone")
    annotate(life, f"{first}/again")
    life.run()
    assert (serves(life), life.status.phase) == (first, "RolledBack")


def test_without_the_annotation_the_spec_is_followed_again() -> None:
    life = rolled_out(100, 200)
    second = serves(life)
    annotate(life, revision(life, 100))
    life.run()
    annotate(life, None)
    life.run()
    assert serves(life) == second
    assert find(life.status.conditions, "RolledBack") is None


@pytest.mark.parametrize("value", ["latest", "../../x", "x" * 100_000, "0000000000/again"])
def test_an_unknown_one_changes_nothing_and_lists_the_kept_ones(value: str) -> None:
    life = rolled_out(100, 200)
    second = serves(life)
    annotate(life, value)
    life.run()
    assert serves(life) == second
    assert (condition(life).status, condition(life).reason) == ("False", "UnknownRevision")
    assert f"Kept are: {second} (tune@200), {revision(life, 100)} (tune@100)." in condition(life).message


def test_a_sixth_revision_never_evicts_one_in_use() -> None:
    life = rolled_out(100, 200, 300)
    first = revision(life, 100)
    annotate(life, first)
    life.run()
    for concurrency in range(10, 16):
        life.edit(engine={"maxConcurrency": concurrency})
        life.run()
    assert serves(life) == first
    assert first in {one.name for one in life.status.revisions}


def test_one_whose_claim_is_gone_says_so_and_what_runs_goes_on() -> None:
    life = ServingLife(a_claim("old"), model={"source": {"uri": "pvc://old/v1"}})
    life.run()
    first = serves(life)
    life.edit(model={"source": {"uri": "pvc://models/v2"}})
    life.run()
    second = serves(life)
    life.cluster.drop(CLAIM, NAMESPACE, "old")
    annotate(life, first)
    life.run()
    assert serves(life) == second
    assert life.reason("Ready") == "WaitingForClaim"
    life.put(a_claim("old"))
    life.operator.settle()
    life.run()
    assert serves(life) == first


def test_nothing_is_written_at_rest() -> None:
    life = rolled_out(100, 200)
    annotate(life, revision(life, 100))
    life.run()
    written = len(life.changes)
    life.run()
    assert len(life.changes) == written
