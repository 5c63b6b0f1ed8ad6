"""Runs an example in memory until nothing moves, and prints what it became."""

import re
from pathlib import Path
from typing import Any

import yaml

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    DEPLOYMENT,
    LEADER_WORKER_SET,
    POD,
    REVISION,
    SERVICE,
    Manifest,
)
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.signals import queries
from tests.support.examples import resource
from tests.support.servings import NAMESPACE, a_claim, a_training
from tests.support.shell import Operator
from tests.support.world import StoppedClock, World

EXAMPLES_FOLDER = Path(__file__).parents[3] / "examples"
# What rewritten examples were: the hashes in their golden files must never change.
FROZEN_FOLDER = Path(__file__).parents[1] / "frozen"
EXAMPLES = (
    "from-training",
    "aliases",
    "on-a-claim",
    "custom-engine",
    "autoscaling",
    "r1-vllm",
    "tensorrt-llm",
    "r1-two-nodes",
)
_VOLATILE = ("resourceVersion", "creationTimestamp", "managedFields")
_ROUNDS = 4


def _claim(serving: Manifest) -> str:
    """The claim that an example names."""
    found = re.match("pvc://([^/]+)", serving["spec"]["model"].get("source", {}).get("uri", ""))
    return found[1] if found else "models"


def rendered(example: str) -> str:
    """Children, status and queries of one example at rest."""
    frozen = FROZEN_FOLDER / f"serving-{example}.yaml"
    serving = resource(frozen if frozen.exists() else EXAMPLES_FOLDER / frozen.name)
    serving["metadata"]["namespace"] = NAMESPACE
    serving["spec"].setdefault("replicas", 1)
    clock = StoppedClock()
    cluster = MemoryCluster(clock)
    configuration = Configuration()
    operator, world = Operator(serving_kind(configuration), cluster, clock), World(cluster, clock)
    training = a_training(exports=[300], result="Complete", bestCheckpoint={"step": 300})
    for manifest in (a_claim(_claim(serving)), training, serving):
        cluster.put(manifest)
    cluster.edit(TRAINING, NAMESPACE, "tune", lambda live: live.update(status=training["status"]))
    for _ in range(_ROUNDS):
        operator.settle()
        world.run_deployment_controller()
        world.run_leader_worker_set_controller()
        for pod in cluster.all(POD):
            world.run(pod)
        world.run_deployment_controller()
        world.run_leader_worker_set_controller()
    made = (REVISION, DEPLOYMENT, LEADER_WORKER_SET, SERVICE, BUDGET, AUTOSCALER)
    documents = [_clean(item) for one in made for item in cluster.all(one)]
    owner = cluster.all(SERVING)[0]
    asked = dict(queries(DeepSeekServing.model_validate(owner), configuration))
    return str(yaml.safe_dump_all([*documents, {"status": owner["status"], "queries": asked}], width=120))


def _clean(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _VOLATILE}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}
