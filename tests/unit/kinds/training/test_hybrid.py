"""A copy of all states on each node: planned, told to the trainer, counted, and refused where nothing is gained by it."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.kinds.training.settings import attempt_digest
from tests.support.trainings import Life, claim

WEIGHTS = {"uri": "pvc://models/m"}
HYBRID = {"sharding": "Hybrid"}


def on_nodes(distill: str, count: int | None, per_node: int | None = 8, **spec: Any) -> Life:
    life = Life()
    life.cluster.put(claim("models"))
    devices = {"profile": "nvidia-h100-80", **({} if per_node is None else {"perNode": per_node})}
    return life.begin(
        **{
            "model": {"name": f"deepseek-r1-distill-{distill}", "source": WEIGHTS},
            "nodes": {} if count is None else {"count": count},
            "accelerator": devices,
            "hyperparameters": {"maxSteps": 10, "globalBatchSize": 96, "sequenceLength": 2048},
            **spec,
        }
    )


def needed(life: Life) -> float:
    plan = life.owner.status.plan
    assert plan is not None
    assert plan.memory is not None
    return float(plan.memory.needed.split()[0])


@pytest.mark.parametrize(("model", "count", "per_node"), [("qwen-7b", 2, 8), ("llama-8b", 3, 8), ("qwen-1.5b", 4, 2)])
def test_the_plan_counts_a_copy_on_each_node_and_the_trainer_is_told(model: str, count: int, per_node: int) -> None:
    hybrid, full = (on_nodes(model, count, per_node, parallelism=one) for one in (HYBRID, {"sharding": "Full"}))
    assert hybrid.owner.status.plan is not None
    assert hybrid.owner.status.plan.layout == f"DP {count * per_node}, HSDP over {per_node}"
    assert needed(hybrid) > needed(full)
    told = [json.loads(life.environment()["DEEPSEEK_TRAINING_SPEC"]).get("parallelism") for life in (hybrid, full)]
    assert told == [HYBRID, None], "an older trainer is told nothing new"


def test_where_states_over_all_nodes_would_fit_a_copy_on_each_is_refused_with_that() -> None:
    life = on_nodes("qwen-32b", 4, parallelism=HYBRID, hyperparameters={"maxSteps": 10, "globalBatchSize": 64})
    assert life.told == ("Stalled", "DoesNotFit")
    assert "states shared out over all nodes (parallelism.sharding: Full): 32 devices" in life.message
    life.edit(lambda spec: spec.update(parallelism={"sharding": "Full"}))
    assert life.told[1] == "Starting"


def test_a_copy_that_fits_one_node_alone_is_not_taken_for_one_on_each() -> None:
    tight = {"sequenceLength": 8192, "crossEntropy": "Chunked", "activationRecomputation": "Full"}
    life = on_nodes("qwen-32b", 2, parallelism=HYBRID, hyperparameters={"maxSteps": 10, "globalBatchSize": 64, **tight})
    assert life.told == ("Stalled", "DoesNotFit")
    assert "2 nodes don't hold a copy of all states each" in life.message
    assert "write parallelism.sharding Full" in life.message


@pytest.mark.parametrize(
    ("count", "per_node", "words"),
    [(1, 8, "there is one node"), (None, None, "there is one node"), (2, 1, "a node has one process")],
)
def test_one_node_or_one_process_on_each_is_refused_with_what_to_write(
    count: int | None, per_node: int | None, words: str
) -> None:
    life = on_nodes("qwen-1.5b", count, per_node, parallelism=HYBRID)
    assert life.told == ("Stalled", "InvalidSpec")
    assert words in life.message
    assert "write Full, or nodes.count and accelerator.perNode of 2 or more" in life.message


def test_beside_experts_that_are_dealt_out_only_whole_layers_are_offered_to_be_computed_again() -> None:
    life = on_nodes("qwen-7b", 1, model={"name": "deepseek-v2-lite", "source": WEIGHTS}, parallelism={"expert": 8},
                    hyperparameters={"maxSteps": 10, "globalBatchSize": 64, "sequenceLength": 16384})  # fmt: skip
    assert life.told == ("Stalled", "DoesNotFit")
    assert "activationRecomputation: Full" in life.message
    assert "Selective" not in life.message


def test_full_is_as_absent_and_hybrid_is_another_attempt() -> None:
    digests = [
        attempt_digest(TrainingSpec.model_validate({} if one is None else {"parallelism": {"sharding": one}}))
        for one in (None, "Full", "Hybrid")
    ]
    assert digests[0] == digests[1] != digests[2]
