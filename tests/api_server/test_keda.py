"""What is made for KEDA, by KEDA's own definition, and another's that scales what is ours. KEDA itself does not run here."""

from typing import Any

import pytest

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import SCALED_OBJECT
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.bench import Bench
from tests.support.gateway_api import install, served
from tests.support.keda_api import SCALED_OBJECTS, scaled_objects
from tests.support.kubectl import until
from tests.support.serving_life import SERVICE, ServingLife

pytestmark = pytest.mark.timeout(400)
LIMIT_S = 120.0
SCALED: dict[str, Any] = {"minReplicas": 2, "maxReplicas": 6, "signals": [{"type": "InFlight", "target": 4}]}
OURS = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "name": "x"}


@pytest.fixture(scope="module")
def keda(untouched: Cluster) -> Cluster:
    """A server where nothing reconciles, with the definition."""
    install(untouched.api, scaled_objects())
    return untouched


def test_what_is_made_is_a_scaled_object_that_keda_knows_with_every_field(keda: Cluster) -> None:
    life = ServingLife(
        configuration=Configuration(wanted_url="http://operator.system.svc:8082"),
        autoscaling={**SCALED, "backend": "KEDA"},
    )
    made = life.stored(SCALED_OBJECT, SERVICE)
    head = {"apiVersion": made["apiVersion"], "kind": made["kind"]}
    sent = {**head, "metadata": {"name": SERVICE, "labels": made["metadata"]["labels"]}, "spec": made["spec"]}
    path = f"{SCALED_OBJECTS.format('default')}/{SERVICE}"
    stored = keda.api.apply(path, sent, dryRun="All", fieldValidation="Strict")
    assert stored["spec"] == made["spec"]


def condition(bench: Bench, type_: str) -> Manifest | None:
    path = f"/apis/deepseek-operator.io/v1alpha1/namespaces/{bench.namespace}/deepseekservings/x"
    conditions = bench.api.get(path).get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == type_), None)


def a_serving(bench: Bench, **spec: Any) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    bench.api.create(
        f"/api/v1/namespaces/{bench.namespace}/persistentvolumeclaims", {"metadata": {"name": "models"}, "spec": claim}
    )
    serving = {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekServing",
        "metadata": {"name": "x"},
        "spec": {"model": {"source": {"uri": "pvc://models/v0"}}, **spec},
    }
    bench.api.create(f"/apis/deepseek-operator.io/v1alpha1/namespaces/{bench.namespace}/deepseekservings", serving)


def test_another_autoscaler_is_named_while_it_is_there(bench: Bench) -> None:
    a_serving(bench, autoscaling=SCALED)
    hpas = f"/apis/autoscaling/v2/namespaces/{bench.namespace}/horizontalpodautoscalers"
    until("our own", lambda: bench.api.get(hpas)["items"], timeout_s=LIMIT_S)
    bench.api.create(hpas, {"metadata": {"name": "mine"}, "spec": {"scaleTargetRef": OURS, "maxReplicas": 3}})
    until("it is named", lambda: condition(bench, "SoleAutoscaler"), timeout_s=LIMIT_S)
    told = condition(bench, "SoleAutoscaler")
    assert told is not None
    assert told["message"].startswith("HorizontalPodAutoscaler mine scales this serving")
    bench.api.delete(f"{hpas}/mine")
    until("it is told no more", lambda: condition(bench, "SoleAutoscaler") is None, timeout_s=LIMIT_S)


def test_keda_comes_and_goes_under_a_running_operator(bench: Bench) -> None:
    """Without KEDA's address there is nothing to make; another's ScaledObject is named as soon as there can be one."""
    a_serving(bench, autoscaling=SCALED)
    with served(bench.api, scaled_objects()):
        path = SCALED_OBJECTS.format(bench.namespace)
        trigger = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}
        spec = {"scaleTargetRef": OURS, "triggers": [trigger]}
        head = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "theirs"}}
        bench.api.create(path, {**head, "spec": spec})
        until("it is named", lambda: condition(bench, "SoleAutoscaler"), timeout_s=LIMIT_S)
        told = condition(bench, "SoleAutoscaler")
        assert told is not None
        assert told["message"].startswith("ScaledObject theirs scales this serving")
    until("it is told no more", lambda: condition(bench, "SoleAutoscaler") is None, timeout_s=LIMIT_S)
