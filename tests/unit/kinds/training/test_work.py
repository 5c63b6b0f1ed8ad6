"""What the built-in trainer is told of the work of a token and of its devices' peak, so that it can tell how busy they are."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.models import catalogue
from deepseek_operator.domain.models.parameters import active
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.flops import training_flops_per_token
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.kinds.training import work
from tests.support.trainings import Life, claim, training

MODEL = "deepseek-r1-distill-qwen-7b"
LENGTH = 2048


def told(name: str = MODEL, profile: str = "nvidia-h100-80", **spec: Any) -> dict[str, float] | None:
    wanted = {"model": {"name": name, "source": {"uri": "pvc://models/base"}}, "nodes": {"count": 1}, **spec}
    read = DeepSeekTraining.model_validate(training(accelerator={"profile": profile, "perNode": 8}, **wanted)).spec
    variables = work.variables(read, Configuration().profiles.resolve(profile))
    return json.loads(variables[0]["value"]) if variables else None


@pytest.mark.parametrize("name", [MODEL, "deepseek-r1-distill-llama-8b", "deepseek-v2-lite", "deepseek-v3"])
def test_a_token_costs_six_flops_for_each_active_parameter_and_those_of_attention(name: str) -> None:
    known, said = catalogue.find(name).architecture, told(name)
    assert known is not None
    assert said is not None
    assert said["perToken"] == 6 * active(known)
    per_token = said["perToken"] + said["perKey"] * min(LENGTH / 2, said["mostKeys"])
    assert per_token == training_flops_per_token(known, LENGTH, Method.FULL, Recompute.NONE)


@pytest.mark.parametrize("method", ["LoRA", "PromptTuning", "PTuning"])
def test_a_base_that_stays_as_it_is_has_no_gradients_of_its_weights(method: str) -> None:
    full, beside = told(), told(method={"type": method})
    assert full is not None
    assert beside is not None
    assert beside["perToken"] * 6 == full["perToken"] * 4


def test_the_peak_is_that_of_all_devices() -> None:
    one, two = told(), told(nodes={"count": 2})
    assert one is not None
    assert two is not None
    assert (one["peak"], two["peak"]) == (8 * 989e12, 16 * 989e12)


@pytest.mark.parametrize(
    "unknown",
    [
        {"profile": "cpu"},
        {"name": "a-private-model"},
        {"hyperparameters": {"maxSteps": 9, "precision": "fp32"}},
    ],
    ids=["a processor", "a model", "a peak for the precision"],
)
def test_nothing_is_told_of_what_would_be_guessed(unknown: dict[str, Any]) -> None:
    assert told(**unknown) is None


def test_pods_are_told_under_a_profile_alone() -> None:
    for spec, is_told in (
        ({"accelerator": {"profile": "nvidia-h100-80", "perNode": 8}}, True),
        ({"accelerator": {"resource": "nvidia.com/gpu", "perNode": 8}}, False),
    ):
        life = Life()
        life.cluster.put(claim("models"))
        model = {"name": MODEL, "source": {"uri": "pvc://models/base"}}
        life.begin(model=model, nodes={"count": 1}, **spec)
        assert ("DEEPSEEK_FLOPS" in life.environment()) is is_told
