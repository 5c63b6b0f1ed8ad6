"""One spec through both kinds on four vendors' devices: only profile, image and storage differ, the rest follows."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.serving.devices import planned
from deepseek_operator.kinds.serving.template import render
from deepseek_operator.kinds.training.children import first_children
from tests.support.canonical import plain
from tests.support.host_access import EVERYWHERE
from tests.support.servings import a_serving
from tests.support.trainings import training

VENDORS = {
    "nvidia": ("nvidia-h200-141", "nvidia.com/gpu"),
    "amd": ("amd-mi300x-192", "amd.com/gpu"),
    "gaudi": ("intel-gaudi3-128", "habana.ai/gaudi"),
    "ascend": ("huawei-ascend910b-64", "huawei.com/Ascend910"),
}
ALLOWED = Configuration(host_access=EVERYWHERE)
"""Two of the vendors need access to the node."""
MODEL = {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}}
UID = "11111111-2222-4333-8444-555555555555"


def served_on(profile: str) -> dict[str, Any]:
    engine = {"type": "vllm", "version": "0.25.0", "maxModelLength": 32768, "resources": {"memory": "256Gi"}}
    spec: dict[str, Any] = {"model": MODEL, "engine": engine, "accelerator": {"profile": profile, "perNode": 8}}
    owner = DeepSeekServing.model_validate(a_serving(**spec))
    plan = planned(owner, ALLOWED)
    assert plan is not None
    assert plan.refused == "", plan.reason
    owner = owner.model_copy(update={"status": owner.status.model_copy(update={"plan": plan})})
    model = ResolvedModel(reference="r", claim_name="models", sub_path="m")
    return {"plan": plan.to_wire(), "template": plain(render(owner, "0123456789", model, ALLOWED))}


def trained_on(profile: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "model": MODEL,
        "nodes": {},
        "accelerator": {"profile": profile},
        "trainer": {"type": "custom", "image": "team/trainer:1", "command": ["/train"], "resources": {"memory": "1Ti"}},
    }
    manifest = training(**spec)
    manifest["metadata"]["uid"] = UID
    *_, job = first_children(DeepSeekTraining.model_validate(manifest), ALLOWED)
    return {"nodes": job["spec"]["completions"], "template": plain(job["spec"]["template"])}


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_serving_has_each_vendors_resource_env_image_and_launcher(
    vendor: str, golden: Callable[[str, str], None]
) -> None:
    found = served_on(VENDORS[vendor][0])
    (container,) = found["template"]["spec"]["containers"]
    assert container["resources"]["limits"][VENDORS[vendor][1]] == "8"
    assert container["command"][4:6] == ["vllm", "serve"]
    golden(f"vendors/serving-{vendor}.yaml", yaml.safe_dump(found, sort_keys=False, width=120, allow_unicode=True))


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_training_has_each_vendors_resource_env_and_placement(
    vendor: str, golden: Callable[[str, str], None]
) -> None:
    found = trained_on(VENDORS[vendor][0])
    (container,) = found["template"]["spec"]["containers"]
    assert container["resources"]["limits"][VENDORS[vendor][1]]
    golden(f"vendors/training-{vendor}.yaml", yaml.safe_dump(found, sort_keys=False, width=120, allow_unicode=True))
