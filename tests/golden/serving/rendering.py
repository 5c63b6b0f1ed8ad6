"""Runs an example in memory until nothing moves, and prints what it became."""

from pathlib import Path
from typing import Any

import yaml

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import AUTOSCALER, BUDGET, DEPLOYMENT, POD, REVISION, SERVICE
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.signals import queries
from tests.support.examples import resource
from tests.support.servings import NAMESPACE, a_claim, a_training
from tests.support.shell import Operator
from tests.support.world import StoppedClock, World

EXAMPLES_FOLDER = Path(__file__).parents[3] / "examples"
# What rewritten examples were: the hashes in their golden files must never change.
FROZEN_FOLDER = Path(__file__).parents[1] / "frozen"
EXAMPLES = ("from-training", "aliases", "on-a-claim", "custom-engine", "autoscaling", "r1-vllm")
_VOLATILE = ("resourceVersion", "creationTimestamp", "managedFields")
_ROUNDS = 4


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
    for manifest in (a_claim(), training, serving):
        cluster.put(manifest)
    cluster.edit(TRAINING, NAMESPACE, "tune", lambda live: live.update(status=training["status"]))
    for _ in range(_ROUNDS):
        operator.settle()
        world.run_deployment_controller()
        for pod in cluster.all(POD):
            world.run(pod)
        world.run_deployment_controller()
    documents = [_clean(item) for r in (REVISION, DEPLOYMENT, SERVICE, BUDGET, AUTOSCALER) for item in cluster.all(r)]
    owner = cluster.all(SERVING)[0]
    asked = dict(queries(DeepSeekServing.model_validate(owner), configuration))
    return str(yaml.safe_dump_all([*documents, {"status": owner["status"], "queries": asked}], width=120))


def _clean(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _VOLATILE}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}
