"""Experts that are dealt out over processes: planned, told to the trainer, counted, and refused where there are none."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.kinds.training.settings import attempt_digest
from tests.support.trainings import Life, claim

WEIGHTS = {"uri": "pvc://models/m"}
PROFILE = {"profile": "nvidia-h100-80", "perNode": 8}
LITE = {"name": "deepseek-v2-lite", "source": WEIGHTS}
MIXTURE = {"model_type": "deepseek_v3", "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def begun(**spec: Any) -> Life:
    life = Life()
    life.cluster.put(claim("models"))
    return life.begin(**spec)


def on_devices(expert: int | None, **spec: Any) -> Life:
    parallelism = {"parallelism": {"expert": expert}} if expert is not None else {}
    return begun(**{"model": LITE, "nodes": {"count": 1}, "accelerator": PROFILE, **parallelism, **spec})


def told(life: Life) -> Any:
    return json.loads(life.environment()["DEEPSEEK_TRAINING_SPEC"]).get("parallelism")


def memory_of(life: Life) -> float:
    assert life.owner.status.plan is not None
    assert life.owner.status.plan.memory is not None
    return float(life.owner.status.plan.memory.needed.split()[0])


@pytest.mark.parametrize("expert", [2, 4, 8])
def test_the_plan_shows_the_degree_and_the_trainer_is_told(expert: int) -> None:
    life = on_devices(expert)
    plan = life.owner.status.plan
    assert plan is not None
    assert f"EP {expert}" in plan.layout
    assert plan.degrees is not None
    assert (plan.degrees.data, plan.degrees.expert) == (8, expert)
    assert told(life) == {"expert": expert}


def test_without_a_word_none_are_dealt_out_and_an_older_trainer_is_told_nothing_new() -> None:
    for expert in (None, 1):
        life = on_devices(expert)
        assert life.owner.status.plan is not None
        assert "EP" not in life.owner.status.plan.layout
        assert told(life) is None


def test_experts_that_are_not_gathered_need_no_memory_for_it() -> None:
    needed = [memory_of(on_devices(expert)) for expert in (1, 2, 8)]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] - needed[-1] > 1.2, "two layers at once, of 1.0 GiB of experts each in bf16, become an eighth"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"model": {"name": "deepseek-r1-distill-qwen-7b", "source": WEIGHTS}}, "no routed experts"),
        ({"parallelism": {"expert": 3}, "accelerator": {**PROFILE, "perNode": 6}}, "64 experts"),
        ({"parallelism": {"expert": 16}}, "does not divide 8 devices"),
        (
            {"parallelism": {"expert": 2}, "trainer": {"type": "llama-factory"}, "method": {"type": "LoRA", "lora": {"export": "Adapter"}}},
            "offers none",
        ),
    ],
    ids=["dense", "other experts", "fewer devices", "another trainer"],
)  # fmt: skip
def test_what_can_not_be_dealt_out_is_stalled_with_the_reason(spec: dict[str, Any], words: str) -> None:
    life = on_devices(2, hyperparameters={"maxSteps": 10, "globalBatchSize": 48}, **spec) if "parallelism" not in spec else begun(
        **{"model": LITE, "nodes": {"count": 1}, "accelerator": PROFILE, "hyperparameters": {"maxSteps": 10, "globalBatchSize": 48}, **spec}
    )  # fmt: skip
    assert life.told[0] == "Stalled"
    assert words in life.message


@pytest.mark.parametrize(
    ("model", "expert", "words"),
    [
        ({"custom": {"model_type": "llama"}}, 2, None),
        ({"name": "deepseek-r1-distill-qwen-7b", "source": WEIGHTS}, 2, "no routed experts: leave it out"),
        ({"name": "deepseek-v2-lite", "source": WEIGHTS}, 3, "does not divide the 64 experts"),
        ({"name": "ours", "source": WEIGHTS}, 3, None),
    ],
)
def test_without_a_profile_what_is_known_of_the_model_is_compared(
    model: dict[str, Any], expert: int, words: str | None
) -> None:
    life = begun(model=model, parallelism={"expert": expert}, nodes={"count": 6}, hyperparameters={"maxSteps": 10, "globalBatchSize": 48})  # fmt: skip
    assert (life.told == ("Stalled", "InvalidSpec")) is (words is not None)
    if words is not None:
        assert words in life.message


def test_one_is_as_absent_and_any_other_is_another_attempt() -> None:
    digests = {
        expert: attempt_digest(TrainingSpec.model_validate({**({} if expert is None else {"parallelism": {"expert": expert}})}))
        for expert in (None, 1, 2, 4)
    }  # fmt: skip
    assert digests[None] == digests[1]
    assert len(set(digests.values())) == 3
