"""A second autoscaler over a serving, or over what it makes: named, with what to do, and never written against."""

from typing import Any

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import AUTOSCALER, DEPLOYMENT
from deepseek_operator.kinds.serving.rivals import SOLE_AUTOSCALER
from tests.support.serving_life import NAME, SERVICE, ServingLife
from tests.support.servings import NAMESPACE

SCALED: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 6, "signals": [{"target": 4}]}
OURS = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "name": NAME}


def an_autoscaler(name: str, target: dict[str, str], **metadata: Any) -> Stored:
    head = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    return {
        **head,
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5},
    }


def told(life: ServingLife) -> str | None:
    condition = find(life.status.conditions, SOLE_AUTOSCALER)
    return condition.message if condition is not None else None


def rivalled(target: dict[str, str], **spec: Any) -> ServingLife:
    life = ServingLife(**spec)
    life.run()
    assert told(life) is None
    life.put(an_autoscaler("mine", target))
    life.operator.settle()
    return life


def over_the_group(life: ServingLife) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": life.deployment()["metadata"]["name"]}


def test_one_that_scales_the_serving_beside_our_own_is_named_with_what_to_do() -> None:
    life = rivalled(OURS, autoscaling=SCALED)
    message = told(life)
    assert message is not None
    assert "HorizontalPodAutoscaler mine scales this serving beside its own autoscaling" in message
    assert "delete the named one, or leave autoscaling out" in message
    assert life.reason(SOLE_AUTOSCALER) == "AnotherAutoscaler"
    assert life.status.phase == "Available", "what serves goes on"
    life.cluster.remove(AUTOSCALER, NAMESPACE, "mine")
    life.operator.settle()
    assert told(life) is None


def test_one_that_scales_a_serving_without_autoscaling_is_its_autoscaler() -> None:
    assert told(rivalled(OURS)) is None


def test_two_that_scale_a_serving_without_autoscaling_are_told() -> None:
    life = rivalled(OURS)
    life.put(an_autoscaler("yours", OURS))
    life.operator.settle()
    assert "HorizontalPodAutoscaler mine, HorizontalPodAutoscaler yours scale this serving" in (told(life) or "")


@pytest.mark.parametrize(
    "target",
    [
        {**OURS, "name": "another"},
        {**OURS, "kind": "Deployment"},
        {**OURS, "apiVersion": "example.com/v1"},
        {"kind": "DeepSeekServing"},
        {},
    ],
)
def test_one_that_scales_something_else_is_nobodys_business(target: dict[str, str]) -> None:
    assert told(rivalled(target, autoscaling=SCALED)) is None


def test_one_that_turns_to_something_else_is_told_no_more() -> None:
    life = rivalled(OURS, autoscaling=SCALED)
    life.cluster.edit(
        AUTOSCALER, NAMESPACE, "mine", lambda live: live["spec"]["scaleTargetRef"].update(name="another"), "person"
    )
    life.operator.settle()
    assert told(life) is None


def test_what_another_scales_of_ours_stays_as_it_writes_it() -> None:
    life = ServingLife(replicas=2)
    life.run()
    group = over_the_group(life)
    life.put(an_autoscaler("mine", group))
    life.cluster.edit(DEPLOYMENT, NAMESPACE, group["name"], lambda live: live["spec"].update(replicas=4), "hpa")
    life.operator.settle()
    life.run()
    assert life.deployment()["spec"]["replicas"] == 4
    message = told(life) or ""
    assert f"HorizontalPodAutoscaler mine scales Deployment {group['name']}" in message
    assert "made for DeepSeekServing chat" in message
    changes = len(life.changes)
    life.operator.settle()
    assert len(life.changes) == changes, "nobody writes against anybody"
    life.cluster.remove(AUTOSCALER, NAMESPACE, "mine")
    life.operator.settle()
    life.run()
    assert life.deployment()["spec"]["replicas"] == 2


def test_a_suspended_serving_ends_what_another_scales() -> None:
    """At none an autoscaler is off: nothing is written against."""
    life = ServingLife(replicas=2)
    life.run()
    life.put(an_autoscaler("mine", over_the_group(life)))
    life.edit(suspend=True)
    life.run()
    assert life.deployment()["spec"]["replicas"] == 0


def test_whoever_made_the_other_is_named_too() -> None:
    life = ServingLife(autoscaling=SCALED)
    life.run()
    maker = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "mine", "uid": "u", "controller": True}
    life.put(an_autoscaler("keda-hpa-mine", OURS, ownerReferences=[maker]))
    life.operator.settle()
    assert "HorizontalPodAutoscaler keda-hpa-mine of ScaledObject mine scales" in (told(life) or "")


def test_our_own_is_no_other_even_where_it_lost_its_labels() -> None:
    life = ServingLife(autoscaling=SCALED)
    life.run()
    life.cluster.edit(AUTOSCALER, NAMESPACE, SERVICE, lambda live: live["metadata"].pop("labels"), "person")
    life.operator.settle()
    assert told(life) is None


def test_the_other_is_found_without_a_request() -> None:
    life = rivalled(OURS, autoscaling=SCALED)
    reads = sum(life.cluster.reads.values())
    life.put(an_autoscaler("yours", OURS))
    life.operator.settle()
    assert "HorizontalPodAutoscaler yours" in (told(life) or "")
    assert sum(life.cluster.reads.values()) == reads
