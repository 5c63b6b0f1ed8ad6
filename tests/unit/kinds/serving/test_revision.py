"""Names of revisions: frozen, and blind to everything that the user did not decide."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.kinds.serving.revision import revision_name
from tests.support.servings import a_serving

MODEL = ResolvedModel(reference="r", claim_name="models", sub_path="v2")
EXPORT = ResolvedModel(reference="r", claim_name="work", sub_path="u/exports/300", training="tune", step=300)


def name(resolved: ResolvedModel = MODEL, /, *, called: str = "chat", **spec: Any) -> str:
    return revision_name(DeepSeekServing.model_validate(a_serving(called, **spec)), resolved)


FROZEN: dict[str, tuple[str, ResolvedModel, dict[str, Any]]] = {
    "plain": ("ef86e4ff83", MODEL, {}),
    "export": ("964325c323", EXPORT, {}),
    "served name": ("758a590c10", MODEL, {"model": {"source": {"uri": "pvc://models/v2"}, "name": "ds"}}),
    "concurrency": ("74be2b3a0f", MODEL, {"engine": {"maxConcurrency": 8}}),
    "custom": ("ae3d14f97d", MODEL, {"engine": {"type": "custom", "image": "a:1", "args": ["-x"]}}),
    "env": ("eee4014e4f", MODEL, {"engine": {"env": [{"name": "A", "value": "1"}, {"name": "B"}]}}),
    "resources": ("d3d9cfca0e", MODEL, {"engine": {"resources": {"cpu": "500m", "memory": "1Gi"}}}),
    "accelerator": ("7d8745e636", MODEL, {"accelerator": {"resource": "nvidia.com/gpu", "perNode": 2}}),
    "node": ("9f3b936d84", MODEL, {"pod": {"nodeSelector": {"zone": "a"}, "priorityClassName": "high"}}),
    "toleration": ("b4f197d2e5", MODEL, {"pod": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}}),
}
"""Ten names that may never change: a change restarts every replica of every user at the next upgrade."""


@pytest.mark.parametrize("case", FROZEN)
def test_a_revision_keeps_its_name_in_every_release(case: str) -> None:
    frozen, model, spec = FROZEN[case]
    assert name(model, **spec) == frozen


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"replicas": 7}, id="replicas"),
        pytest.param({"rollout": {"strategy": "Recreate"}}, id="rollout"),
        pytest.param({"suspend": True}, id="suspend"),
        pytest.param({"autoscaling": {"maxReplicas": 3, "signals": [{"type": "InFlight", "target": 2}]}}, id="scaling"),
        pytest.param({"engine": {"port": 8000, "maxConcurrency": 4, "env": []}}, id="neutral values written out"),
        pytest.param({"engine": {"resources": {"sharedMemory": "1024Mi"}}}, id="neutral shared memory"),
        pytest.param({"pod": {"terminationGracePeriodSeconds": 60, "runAsUser": 1000}}, id="neutral pod settings"),
        pytest.param({"accelerator": {"perNode": 4}}, id="devices of no resource"),
    ],
)
def test_what_does_not_change_the_pods_does_not_change_the_name(spec: dict[str, Any]) -> None:
    assert name(**spec) == name()


def test_equal_quantities_have_one_name() -> None:
    halves: list[dict[str, Any]] = [
        {"engine": {"resources": {"cpu": cpu, "memory": memory}}}
        for cpu, memory in (("0.5", "1024Mi"), ("500m", "1Gi"))
    ]
    assert name(**halves[0]) == name(**halves[1])


def test_another_export_is_another_revision() -> None:
    assert name(EXPORT.model_copy(update={"sub_path": "u/exports/400"})) != name(EXPORT)


def test_the_resource_s_own_name_is_no_part_of_it() -> None:
    assert name(called="other") == name()
