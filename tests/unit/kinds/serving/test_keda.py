"""KEDA as who makes the autoscaler: what it is given, which number it follows, and what is held and told while it has none."""

from typing import Any

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import AUTOSCALER, SCALED_OBJECT, uid_of
from deepseek_operator.kinds.serving.rivals import SOLE_AUTOSCALER
from tests.support.serving_life import NAME, SERVICE, ServingLife
from tests.support.servings import NAMESPACE
from tests.support.world import World

ENABLED = Configuration(wanted_url="http://operator.system.svc:8082")
SCALED: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 6, "signals": [{"target": 4}], "backend": "KEDA"}
MADE = f"keda-hpa-{SERVICE}"


def living(**autoscaling: Any) -> ServingLife:
    life = ServingLife(configuration=ENABLED, autoscaling={**SCALED, **autoscaling})
    life.run()
    return life


def keda_makes(life: ServingLife) -> None:
    """The HorizontalPodAutoscaler of our ScaledObject, as KEDA writes it."""
    scaled = life.stored(SCALED_OBJECT, SERVICE)
    maker = {"apiVersion": SCALED_OBJECT.api_version, "kind": SCALED_OBJECT.kind, "name": SERVICE}
    life.put(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": MADE,
                "namespace": NAMESPACE,
                "labels": {**scaled["metadata"]["labels"], "app.kubernetes.io/managed-by": "keda-operator"},
                "ownerReferences": [{**maker, "uid": uid_of(scaled), "controller": True}],
            },
            "spec": {
                "scaleTargetRef": scaled["spec"]["scaleTargetRef"],
                "minReplicas": scaled["spec"]["minReplicaCount"],
                "maxReplicas": scaled["spec"]["maxReplicaCount"],
            },
        }
    )
    life.operator.settle()


def wants(life: ServingLife, replicas: int, active: bool = True) -> None:
    """Kubernetes' autoscaler, by its HorizontalPodAutoscaler."""
    World.set_autoscaler(life.world, NAMESPACE, MADE, active, replicas)
    if active:
        life.world.scale(NAMESPACE, NAME, replicas)
    life.operator.settle()
    life.run()


def kedas_conditions(life: ServingLife, **said: str) -> None:
    conditions = [{"type": type_, "status": status, "reason": "R", "message": "m"} for type_, status in said.items()]
    status = {"conditions": conditions}
    life.cluster.edit(SCALED_OBJECT, NAMESPACE, SERVICE, lambda live: live.update(status=status), "keda")
    life.operator.settle()


def after_the_window(life: ServingLife) -> None:
    life.clock.advance(301)
    life.operator.settle()


def test_keda_is_asked_to_follow_the_same_number_within_the_same_bounds_and_to_hold_without_one() -> None:
    life = living(scaleDownStabilizationSeconds=60)
    assert life.cluster.all(AUTOSCALER) == []
    spec = life.stored(SCALED_OBJECT, SERVICE)["spec"]
    behavior = spec.pop("advanced")["horizontalPodAutoscalerConfig"]["behavior"]
    assert spec == {
        "scaleTargetRef": {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "name": NAME},
        "pollingInterval": 15,
        "minReplicaCount": 1,
        "maxReplicaCount": 6,
        "fallback": {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicas"},
        "triggers": [
            {
                "type": "metrics-api",
                "metricType": "AverageValue",
                "metadata": {
                    "url": f"http://operator.system.svc:8082/wanted/serving/{NAMESPACE}/{NAME}",
                    "valueLocation": "replicas",
                    "targetValue": "1",
                },
            }
        ],
    }
    by_hpa = ServingLife(autoscaling={**SCALED, "scaleDownStabilizationSeconds": 60, "backend": "HPA"})
    assert behavior == by_hpa.stored(AUTOSCALER, SERVICE)["spec"]["behavior"]


def test_what_keda_makes_is_followed_as_our_own_is_and_is_no_other_autoscaler() -> None:
    life = living()
    keda_makes(life)
    assert find(life.status.conditions, SOLE_AUTOSCALER) is None
    wants(life, 4)
    assert len(life.pods()) == 4
    told = life.status.autoscaling
    assert told is not None
    assert (told.active, told.desired, told.reason) == (True, 4, "ValidMetricFound")
    after_the_window(life)
    wants(life, 2)
    assert len(life.pods()) == 2


def test_what_keda_makes_bears_our_labels_and_stands_in_the_way_of_nothing() -> None:
    """KEDA copies those of the ScaledObject, by which the operator finds its own."""
    life = living()
    keda_makes(life)
    wants(life, 2)
    before = life.status.stable
    life.edit(engine={"type": "vllm"})
    life.run()
    assert life.status.stable not in ("", before)
    assert life.reason("Ready") == "Available"
    assert [one["metadata"]["name"] for one in life.cluster.all(AUTOSCALER)] == [MADE]


def test_of_several_that_scale_the_serving_the_one_that_keda_made_for_us_is_followed() -> None:
    life = living()
    another = {"name": "another", "namespace": NAMESPACE}
    target = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "name": NAME}
    spec = {"scaleTargetRef": target, "maxReplicas": 9}
    life.put({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": another, "spec": spec})
    World.set_autoscaler(life.world, NAMESPACE, "another", True, 6)
    keda_makes(life)
    wants(life, 4)
    told = life.status.autoscaling
    assert told is not None
    assert told.desired == 4


def test_nothing_goes_while_keda_has_no_number() -> None:
    """Its own fallback has the autoscaler want what the register says, which somebody may have reset."""
    life = living()
    keda_makes(life)
    wants(life, 4)
    after_the_window(life)
    kedas_conditions(life, Ready="True", Fallback="True")
    wants(life, 1)
    assert len(life.pods()) == 4
    told = life.status.autoscaling
    assert told is not None
    assert (told.active, told.reason) == (False, "FallbackExists")
    assert life.reason("Ready") == "MetricsUnavailable"
    kedas_conditions(life, Ready="True", Fallback="False")
    life.run()
    assert len(life.pods()) == 1


def test_what_keda_says_is_wrong_is_told_in_its_words() -> None:
    life = living()
    kedas_conditions(life, Ready="False")
    told = life.status.autoscaling
    assert told is not None
    assert (told.active, told.reason, told.message) == (False, "R", "m")


def scaling_active(life: ServingLife) -> tuple[str, str] | None:
    condition = find(life.status.conditions, "ScalingActive")
    return (condition.status, condition.reason) if condition is not None else None


def test_it_is_told_only_once_a_new_one_had_time_for_its_first_number() -> None:
    life = living()
    keda_makes(life)
    wants(life, 1)
    kedas_conditions(life, Ready="True", Fallback="True")
    assert scaling_active(life) is None
    life.clock.advance(121)
    life.operator.settle()
    assert scaling_active(life) == ("False", "FallbackExists")


def test_it_is_told_where_keda_makes_no_autoscaler() -> None:
    life = living()
    assert scaling_active(life) is None
    life.clock.advance(121)
    life.operator.settle()
    assert scaling_active(life) == ("False", "NoAutoscaler")
    keda_makes(life)
    wants(life, 1)
    assert scaling_active(life) == ("True", "ValidMetricFound")


def test_a_pause_of_keda_is_told_in_the_status_and_warns_nobody() -> None:
    life = living()
    keda_makes(life)
    wants(life, 4)
    kedas_conditions(life, Ready="True", Paused="True")
    assert scaling_active(life) == ("True", "ValidMetricFound"), "one direction is paused, and the autoscaler is there"
    life.cluster.drop(AUTOSCALER, NAMESPACE, MADE)
    life.world.scale(NAMESPACE, NAME, 2)
    life.clock.advance(1000)
    life.operator.settle()
    told = life.status.autoscaling
    assert told is not None
    assert (told.active, told.reason) == (False, "ScaledObjectPaused")
    assert scaling_active(life) is None
    assert len(life.pods()) == 4


def test_without_an_address_to_ask_an_administrator_is_told_what_to_do() -> None:
    life = ServingLife(autoscaling=SCALED)
    life.run()
    assert life.cluster.all(SCALED_OBJECT) == life.cluster.all(AUTOSCALER) == []
    condition = find(life.status.conditions, "ScalingActive")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "KEDANotEnabled")
    assert "keda.enabled" in condition.message


def test_one_follows_the_other_only_once_that_is_gone() -> None:
    life = ServingLife(configuration=ENABLED, autoscaling={**SCALED, "backend": "HPA"})
    life.run()
    life.cluster.edit(AUTOSCALER, NAMESPACE, SERVICE, lambda live: live["metadata"].update(finalizers=["x/held"]), "x")
    life.edit(autoscaling=SCALED)
    assert life.cluster.all(SCALED_OBJECT) == []
    assert "deletionTimestamp" in life.stored(AUTOSCALER, SERVICE)["metadata"]
    life.cluster.drop(AUTOSCALER, NAMESPACE, SERVICE)
    life.operator.settle()
    keda_makes(life)
    life.cluster.edit(
        SCALED_OBJECT,
        NAMESPACE,
        SERVICE,
        lambda live: live["metadata"].update(finalizers=["finalizer.keda.sh"]),
        "keda",
    )
    life.clock.advance(1000)
    life.edit(autoscaling={**SCALED, "backend": "HPA"})
    assert "deletionTimestamp" in life.stored(SCALED_OBJECT, SERVICE)["metadata"]
    assert [one["metadata"]["name"] for one in life.cluster.all(AUTOSCALER)] == [MADE]
    told = life.status.autoscaling
    assert told is not None
    assert f"ScaledObject {SERVICE} of KEDA is not gone yet" in told.message
    assert scaling_active(life) is None
    life.clock.advance(121)
    life.operator.settle()
    assert scaling_active(life) == ("False", "NoAutoscaler"), "an uninstalled KEDA takes its finalizer away never"
    life.cluster.drop(SCALED_OBJECT, NAMESPACE, SERVICE)
    life.world.run_garbage_collector()
    life.operator.settle()
    assert [one["metadata"]["name"] for one in life.cluster.all(AUTOSCALER)] == [SERVICE]


def test_a_suspended_serving_has_no_scaled_object_and_one_that_is_deleted_takes_it_along() -> None:
    life = living()
    life.edit(suspend=True)
    assert life.cluster.all(SCALED_OBJECT) == []
    life.edit(suspend=False)
    assert len(life.cluster.all(SCALED_OBJECT)) == 1


def test_a_scaled_object_of_somebody_else_is_named_and_its_tool_is_not() -> None:
    life = ServingLife(autoscaling={**SCALED, "backend": "HPA"})
    life.run()
    target = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "name": NAME}
    theirs: Stored = {
        "apiVersion": SCALED_OBJECT.api_version,
        "kind": SCALED_OBJECT.kind,
        "metadata": {"name": "mine", "namespace": NAMESPACE},
        "spec": {"scaleTargetRef": target},
    }
    life.put(theirs)
    stored = life.stored(SCALED_OBJECT, "mine")
    maker = {"apiVersion": SCALED_OBJECT.api_version, "kind": SCALED_OBJECT.kind, "name": "mine"}
    life.put(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": "keda-hpa-mine",
                "namespace": NAMESPACE,
                "ownerReferences": [{**maker, "uid": uid_of(stored), "controller": True}],
            },
            "spec": {"scaleTargetRef": target},
        }
    )
    life.operator.settle()
    condition = find(life.status.conditions, SOLE_AUTOSCALER)
    assert condition is not None
    assert condition.message.startswith("ScaledObject mine scales this serving")


def test_a_scaled_object_without_a_kind_scales_a_deployment() -> None:
    life = ServingLife()
    life.run()
    name = life.deployment()["metadata"]["name"]
    head = {"apiVersion": SCALED_OBJECT.api_version, "kind": SCALED_OBJECT.kind}
    life.put(
        {
            **head,
            "metadata": {"name": "mine", "namespace": NAMESPACE},
            "spec": {"scaleTargetRef": {"name": name}},
        }
    )
    life.operator.settle()
    condition = find(life.status.conditions, SOLE_AUTOSCALER)
    assert condition is not None
    assert f"ScaledObject mine scales Deployment {name}" in condition.message
