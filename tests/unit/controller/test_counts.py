"""What a new resource costs: requests by verb, and looks at it. Counts, not times, so that none creeps in unnoticed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster, Stored
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import Settled
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    CLAIM,
    DEPLOYMENT,
    JOB,
    REVISION,
    SERVICE,
    Resource,
)
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.training import training_kind
from tests.support.servings import a_claim, a_serving
from tests.support.shell import Operator
from tests.support.trainings import training
from tests.support.world import StoppedClock

SCALED = {"maxReplicas": 4, "minReplicas": 1, "signals": [{"type": "InFlight", "target": 4}]}
GIVEN: dict[Resource, tuple[Callable[[Configuration], Kind[Any, Any]], list[Stored]]] = {
    TRAINING: (training_kind, [training(nodes={"count": 1})]),
    SERVING: (serving_kind, [a_claim(), a_serving(autoscaling=SCALED)]),
}
# A training asks once for itself, for its claim comes before any record; a serving for the claim that its spec names. Of
# children's names the server judges when they are made.
READS = {TRAINING: {"get": 1}, SERVING: {"get": 1}}
WRITES = {
    TRAINING: {"create": 2, "apply": 1, "status": 2},
    SERVING: {"create": 1, "apply": 5, "status": 2},
}
LOOKS = {TRAINING: 5, SERVING: 4}
PARSED = {TRAINING: 3, SERVING: 2}
"""Each version of the owner once."""


@pytest.mark.parametrize("resource", GIVEN, ids=lambda resource: resource.kind)
def test_a_new_resource_is_made_in_one_pass_with_few_requests(resource: Resource) -> None:
    make, manifests = GIVEN[resource]
    clock = StoppedClock()
    cluster = MemoryCluster(clock)
    operator = Operator(make(Configuration()), cluster, clock)
    for manifest in manifests:
        cluster.put(manifest)
    looks = _counted(operator, "decide", "parse")
    operator.pipe.flush()
    metadata = manifests[-1]["metadata"]
    key = Key(resource, metadata["namespace"], metadata["name"])
    assert isinstance(operator.reconcile(key), Settled)
    assert cluster.reads == READS[resource]
    assert Counter(write.verb for write in cluster.writes) == WRITES[resource]
    assert len(cluster.events) <= 2
    assert looks == {"decide": LOOKS[resource], "parse": PARSED[resource]}
    before = (cluster.reads.copy(), len(cluster.writes))
    operator.settle()
    assert (cluster.reads, len(cluster.writes)) == before, "what the watches tell afterwards is known already"


@pytest.mark.parametrize("resource", GIVEN, ids=lambda resource: resource.kind)
def test_nothing_that_there_may_be_many_of_is_made_before_a_status_was_written(resource: Resource) -> None:
    """Of an owner without one nobody lists them."""
    make, manifests = GIVEN[resource]
    cluster = MemoryCluster(StoppedClock())
    operator = Operator(make(Configuration()), cluster, StoppedClock())
    for manifest in manifests:
        cluster.put(manifest)
    before = len(cluster.writes)
    operator.settle()
    written = [write.ref.resource for write in cluster.writes[before:]]
    first = written.index(resource)
    assert not {*written[:first]} & {*operator.kind.many}
    assert {*written[first:]} & {*operator.kind.many}


NAMES = [
    (resource, child)
    for resource, children in (
        (TRAINING, (CLAIM, SERVICE, JOB)),
        (SERVING, (REVISION, SERVICE, DEPLOYMENT, BUDGET, AUTOSCALER)),
    )
    for child in children
]


@pytest.mark.parametrize(("resource", "child"), NAMES, ids=lambda resource: resource.kind)
def test_a_name_that_a_stranger_has_is_told_by_the_pass_that_hears_of_it_and_the_stranger_left_alone(
    resource: Resource, child: Resource
) -> None:
    """No watch has told of it, so it counts as free until the server refuses."""
    make, manifests = GIVEN[resource]
    undisturbed = MemoryCluster(StoppedClock())
    for manifest in manifests:
        undisturbed.put(manifest)
    Operator(make(Configuration()), undisturbed, StoppedClock()).settle()
    name = undisturbed.all(child)[-1]["metadata"]["name"]
    cluster = MemoryCluster(StoppedClock())
    operator = Operator(make(Configuration()), cluster, StoppedClock())
    for manifest in manifests:
        cluster.put(manifest)
    operator.pipe.flush()
    metadata = manifests[-1]["metadata"]
    key = Key(resource, metadata["namespace"], metadata["name"])
    taken = {"name": name, "namespace": key.namespace}
    stranger = cluster.put({"apiVersion": child.api_version, "kind": child.kind, "metadata": taken, "spec": {}})
    operator.reconcile(key)
    told = _conditions(cluster, key)
    assert name in str(told)
    operator.settle()
    assert _conditions(cluster, key) == told
    assert cluster.read(child, key.namespace, name) == stranger


def _conditions(cluster: MemoryCluster, key: Key) -> list[tuple[str, str, str, str]]:
    found = cluster.read(key.resource, key.namespace, key.name)
    assert found is not None
    return [(one["type"], one["status"], one["reason"], one["message"]) for one in found["status"]["conditions"]]


def _counted(operator: Operator, *names: str) -> Counter[str]:
    """How often the kind is asked each of these, from now on."""
    asked: Counter[str] = Counter()
    for name in names:
        setattr(operator.kind, name, _counting(getattr(operator.kind, name), asked, name))
    return asked


def _counting(answer: Callable[[Any], Any], asked: Counter[str], name: str) -> Callable[[Any], Any]:
    def counted(of: Any) -> Any:
        asked[name] += 1
        return answer(of)

    return counted
