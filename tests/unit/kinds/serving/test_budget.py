"""The PodDisruptionBudget of a serving: what a drain may take, and whose name it has."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import BUDGET, POD, is_terminating, labels_of
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE

NAME = "chat-serve"
OUR_LABELS = {
    "app.kubernetes.io/managed-by": "deepseek-operator",
    "app.kubernetes.io/name": "deepseek-serving",
    "app.kubernetes.io/instance": "chat",
    "deepseek-operator.io/serving": "chat",
}


def budget(life: ServingLife) -> dict[str, Any]:
    found: dict[str, Any] = life.stored(BUDGET, NAME)
    return found


def test_one_budget_stands_over_all_replicas_and_may_lose_one() -> None:
    life = ServingLife(replicas=3)
    uid = life.serving()["metadata"]["uid"]
    (found,) = life.cluster.all(BUDGET)
    assert found["spec"] == {
        "minAvailable": 2,
        "maxUnavailable": None,
        "selector": {
            "matchLabels": {"deepseek-operator.io/owner-uid": uid, "deepseek-operator.io/role": "engine"},
        },
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    metadata = found["metadata"]
    assert (metadata["name"], metadata["labels"]) == (NAME, {**OUR_LABELS, "deepseek-operator.io/owner-uid": uid})
    assert [(owner["kind"], owner["uid"]) for owner in metadata["ownerReferences"]] == [("DeepSeekServing", uid)]


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        pytest.param({"replicas": 1}, 0, id="one replica"),
        pytest.param({"replicas": 0}, 0, id="none"),
        pytest.param({"replicas": 3, "suspend": True}, 0, id="suspended"),
        pytest.param({"replicas": 4}, 3, id="four"),
    ],
)
def test_a_drain_may_take_one_of_the_replicas_that_are_wanted(spec: dict[str, Any], least: int) -> None:
    assert budget(ServingLife(**spec))["spec"]["minAvailable"] == least


def test_replicas_added_by_a_rollout_do_not_count() -> None:
    """Against their sum a new replica that never comes would hold the drain of the old one for ever."""
    life = ServingLife(replicas=1)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.run(room=1)
    assert len(life.pods()) == 2, "the new one has no place yet"
    assert budget(life)["spec"]["minAvailable"] == 0


def test_the_budget_selects_what_the_status_says_and_one_pod_per_replica_in_a_rollout() -> None:
    life = ServingLife(replicas=3)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.run(room=3)
    selector = budget(life)["spec"]["selector"]["matchLabels"]
    assert selector == dict(pair.split("=") for pair in life.status.selector.split(","))
    pods = [pod for pod in life.cluster.all(POD) if not is_terminating(pod)]
    assert sum(selector.items() <= labels_of(pod).items() for pod in pods) == len(pods) == 4


def test_the_budget_follows_the_replicas() -> None:
    life = ServingLife(replicas=3)
    life.edit(replicas=5)
    assert budget(life)["spec"]["minAvailable"] == 4


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param({"minAvailable": 3}, id="another number"),
        pytest.param({"minAvailable": None, "maxUnavailable": 0}, id="the other way to say it"),
        pytest.param({"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, id="keeps what does not answer"),
        pytest.param({"selector": {"matchLabels": {"app": "theirs"}}}, id="other pods"),
    ],
)
def test_what_others_wrote_into_the_budget_is_undone(theirs: dict[str, Any]) -> None:
    life = ServingLife(replicas=3)
    ours = budget(life)["spec"]
    life.cluster.edit(BUDGET, NAMESPACE, NAME, lambda live: live["spec"].update(theirs))
    life.operator.settle()
    live = budget(life)["spec"]
    assert {key: live[key] for key in ours if key != "selector"} == {k: v for k, v in ours.items() if k != "selector"}
    assert ours["selector"]["matchLabels"].items() <= live["selector"]["matchLabels"].items()


def test_a_deleted_serving_takes_its_budget_with_it() -> None:
    life = ServingLife(replicas=3)
    life.cluster.remove(SERVING, NAMESPACE, "chat", "Background")
    life.world.run_garbage_collector()
    assert life.cluster.all(BUDGET) == []


def test_a_stranger_s_budget_of_that_name_is_a_conflict_and_stays() -> None:
    theirs = {
        "apiVersion": BUDGET.api_version,
        "kind": BUDGET.kind,
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"maxUnavailable": 2, "selector": {"matchLabels": {"app": "theirs"}}},
    }
    life = ServingLife(theirs, replicas=3)
    stalled = find(life.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.status, stalled.reason) == ("True", "NameConflict")
    assert f"PodDisruptionBudget/{NAME}" in stalled.message
    assert budget(life)["spec"] == theirs["spec"]
