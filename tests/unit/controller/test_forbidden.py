"""A right on one kind of child is lost: no pass fails, and the object tells it under the labels that an alert asks for."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster, Stored
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import SLOW_RETRY_S, Settled
from deepseek_operator.controller.told import Told
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.resources import Ref, Resource
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.training import training_kind
from deepseek_operator.ports.cluster import ClusterError, Forbidden
from tests.support.servings import a_claim, a_serving
from tests.support.shell import Operator
from tests.support.trainings import training
from tests.support.world import StoppedClock

WORDS = 'jobs.batch is forbidden: User "operator" cannot create resource'


def refuse(verb: str, namespace: str, ref: Ref) -> ClusterError | None:
    return Forbidden(WORDS) if verb in ("create", "apply") and ref.resource.plural in ("jobs", "deployments") else None


@pytest.mark.parametrize(
    ("resource", "kind", "manifests"),
    [
        (TRAINING, training_kind, [training(nodes={"count": 1})]),
        (SERVING, serving_kind, [a_claim(), a_serving()]),
    ],
    ids=["training", "serving"],
)
def test_what_the_server_forbids_for_long_is_told_for_as_long(
    resource: Resource, kind: Callable[[Configuration], Kind[Any, Any]], manifests: list[Stored]
) -> None:
    clock = StoppedClock()
    cluster = MemoryCluster(clock)
    operator = Operator(kind(Configuration()), cluster, clock)
    for manifest in manifests:
        cluster.put(manifest)
    cluster.refuse = refuse
    operator.pipe.flush()
    metadata = manifests[-1]["metadata"]
    key = Key(resource, metadata["namespace"], metadata["name"])
    for _ in range(3):
        assert operator.reconcile(key) == Settled(SLOW_RETRY_S), "which counts as a pass that went well"
        operator.pipe.flush()
        clock.advance(SLOW_RETRY_S)
        told = Told(operator.mirror, KINDS, Configuration(), clock, lambda: True)
        word = next(entry.word for entry in KINDS if entry.resource == resource)
        (line,) = [
            line
            for line in asyncio.run(told.exposition()).decode().splitlines()
            if line.startswith(f"deepseek_operator_{word}_condition{{") and 'type="Reconciling"' in line
        ]
        assert 'status="True",reason="Forbidden"' in line
