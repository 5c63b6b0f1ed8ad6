"""Trainings and servings that the tests of this layer write, in few steps and little room."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support.kubectl import Kubectl

EXAMPLES = Path(__file__).parents[2] / "examples"
OWNER = "deepseek-operator.io/serving"
SMALL = {"cpu": "50m", "memory": "1Gi"}

TRAINING: dict[str, Any] = {
    "apiVersion": "deepseek-operator.io/v1alpha1",
    "kind": "DeepSeekTraining",
    "metadata": {"name": "tune"},
    "spec": {
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"globalBatchSize": 8, "sequenceLength": 24, "maxSteps": 3, "precision": "fp32", "seed": 1},
        "trainer": {"resources": {"cpu": "100m", "memory": "2Gi"}},
        "checkpoints": {"everySteps": 3, "volume": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
    },
}


def tune() -> str:
    """The training whose model all servings here have: the quickstart's, in three steps."""
    quickstart = yaml.safe_load((EXAMPLES / "quickstart" / "training.yaml").read_text())
    return json.dumps({**TRAINING, "spec": {**TRAINING["spec"], "model": quickstart["spec"]["model"]}})


def manifest(name: str, **spec: Any) -> str:
    """A serving of the module's model; the field manager that applies it owns exactly what is written."""
    model = {"fromTraining": {"name": "tune", "checkpoint": "Latest"}}
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": name}}
    return json.dumps({**head, "spec": {"model": model, **spec}})


def builtin(concurrency: int = 2, queue: int = 64, **more: Any) -> dict[str, Any]:
    """The builtin engine, small."""
    return {"maxConcurrency": concurrency, "queueLimit": queue, "resources": SMALL, **more}


def scaling(maximum: int, target: int, window_s: int) -> dict[str, Any]:
    signals = [{"type": "InFlight", "target": target}]
    return {"maxReplicas": maximum, "signals": signals, "scaleDownStabilizationSeconds": window_s}


def pods_of(kubectl: Kubectl, name: str) -> list[dict[str, Any]]:
    return kubectl.list("pods", f"{OWNER}={name}")


MODEL = {
    "model_type": "deepseek_v3",
    "hidden_size": 32,
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "first_k_dense_replace": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "max_position_embeddings": 64,
}


def tiny(name: str, **spec: Any) -> dict[str, Any]:
    """A training of a model that is small enough to make many steps in a second; `spec` replaces fields."""
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekTraining",
        "metadata": {"name": name},
        "spec": {
            "model": {"custom": MODEL},
            "datasets": [{"source": {"uri": "builtin://uppercase"}}],
            "hyperparameters": hyperparameters(),
            "trainer": trainer(),
            "checkpoints": {"everySteps": 20, "volume": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
            "failurePolicy": {"maxRestarts": 0},
            **spec,
        },
    }


def hyperparameters(steps: int = 400) -> dict[str, Any]:
    sizes = {"globalBatchSize": 32, "sequenceLength": 24, "learningRate": "3e-3"}
    return {**sizes, "precision": "fp32", "maxSteps": steps}


def trainer(**fields: Any) -> dict[str, Any]:
    resources = {"cpu": "100m", "memory": "2Gi"}
    return {"resources": resources, "pod": {"terminationGracePeriodSeconds": 20}, **fields}
