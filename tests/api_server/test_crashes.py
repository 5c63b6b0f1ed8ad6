"""The operator is killed around every single write of a life, and the life ends as if nothing had happened.

Real API server and controllers, the operator as a real process under the chart's rights, SIGKILL by a proxy: before
the write reaches the API server, or after it was committed and before the operator hears of it. The oracle is the same
life undisturbed: after every stage each object of the namespace is the same but for identities and times, and on the
way no Job is made twice, no two attempts run at once, the checkpoint claim stays, and a serving keeps answering.
"""

import difflib
import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Api, ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS, snapshot
from tests.support.fake_node import FakeNode
from tests.support.fates import AfterEach, BeforeEach
from tests.support.fault_proxy import Fate, Write
from tests.support.kubectl import NotReached, until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import KILLED, OperatorProcess
from tests.support.witness import Witness

pytestmark = pytest.mark.timeout(900)
STAGE_LIMIT_S = 240.0
"""Far above what is needed: every write of a stage costs a start of the process, which a busy machine makes slow."""


# --- lives --------------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """One resource `x` in a namespace of its own, its user and its node."""

    api: Api
    namespace: str
    node: FakeNode
    operator: OperatorProcess
    collection: str

    @property
    def path(self) -> str:
        return f"{self.collection.format(self.namespace)}/x"

    def create(self, manifest: Manifest) -> None:
        """The user creates the resource."""
        self.api.create(self.collection.format(self.namespace), manifest)

    def edit(self, **spec: Any) -> None:
        """The user edits the spec."""
        self.api.patch(self.path, {"spec": spec})

    def status(self) -> Manifest:
        """The resource's status; empty when there is no resource."""
        try:
            found: Manifest = self.api.get(self.path).get("status", {})
        except ApiError as error:
            if error.code == 404:
                return {}
            raise
        return found

    def is_bare(self, *left: str) -> bool:
        """Nothing is left in the namespace but objects of these kinds."""
        kinds = [kind for kind in COLLECTIONS if self.api.get(COLLECTIONS[kind].format(self.namespace))["items"]]
        return kinds == list(left)


@dataclass(frozen=True)
class Stage:
    """One step of a life: what happens, and how to tell that it has been answered."""

    name: str
    happens: Callable[[Scene], None]
    is_answered: Callable[[Scene], bool]


TRAINING: Manifest = {
    "apiVersion": "deepseek-operator.io/v1alpha1",
    "kind": "DeepSeekTraining",
    "metadata": {"name": "x"},
    "spec": {
        "model": {"custom": {"model_type": "deepseek_v3"}},
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"maxSteps": 100},
        "nodes": {"count": 2},
    },
}
SERVING: Manifest = {
    "apiVersion": "deepseek-operator.io/v1alpha1",
    "kind": "DeepSeekServing",
    "metadata": {"name": "x"},
    "spec": {"model": {"source": {"uri": "pvc://models/v1"}}, "replicas": 1},
}
CLAIM: Manifest = {
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
REPORT = '{"formatVersion":1,"result":"Complete","step":100,"exports":[100],"latest":{"step":100}}'


def _runs(attempt: int) -> Callable[[Scene], bool]:
    def answered(scene: Scene) -> bool:
        status = scene.status()
        number = (status.get("attempt") or {}).get("number")
        return (status.get("phase"), number) == ("Running", attempt)

    return answered


def _lose_a_worker(scene: Scene) -> None:
    """Rank 1 is evicted; it goes on saving until the operator has written down why it goes."""
    scene.node.lingers = True
    victim = next(pod for pod in scene.node.pods() if pod["metadata"]["labels"][INDEX] == "1")
    scene.node.evict(victim)
    until("the cause is recorded", lambda: (scene.status().get("attempt") or {}).get("failures"), timeout_s=60)
    scene.node.lingers = False


def _complete(scene: Scene) -> None:
    for pod in scene.node.pods():
        scene.node.end(pod, 0, REPORT)


def _is(phase: str) -> Callable[[Scene], bool]:
    return lambda scene: scene.status().get("phase") == phase


def _serves(replicas: int) -> Callable[[Scene], bool]:
    def answered(scene: Scene) -> bool:
        status = scene.status()
        told = (status.get("phase"), status.get("readyReplicas"), status.get("observedGeneration"))
        return told == ("Available", replicas, scene.api.get(scene.path)["metadata"]["generation"])

    return answered


def _ask_for(scene: Scene, replicas: int) -> None:
    scene.api.patch(f"{scene.path}/scale", {"spec": {"replicas": replicas}})


def _begin_serving(scene: Scene) -> None:
    scene.api.create(COLLECTIONS["PersistentVolumeClaim"].format(scene.namespace), CLAIM)
    scene.create(SERVING)


INDEX = "batch.kubernetes.io/job-completion-index"
TRAINING_LIFE = (
    Stage("created", lambda scene: scene.create(TRAINING), _runs(1)),
    Stage("a worker is lost", _lose_a_worker, _runs(2)),
    Stage("edited", lambda scene: scene.edit(trainer={"env": [{"name": "A", "value": "1"}]}), _runs(3)),
    Stage("suspended", lambda scene: scene.edit(suspend=True), _is("Suspended")),
    Stage("resumed", lambda scene: scene.edit(suspend=False), _runs(4)),
    Stage("completed", _complete, _is("Complete")),
    Stage(
        "deleted",
        lambda scene: scene.api.delete(scene.path),
        lambda scene: scene.is_bare("PersistentVolumeClaim"),
    ),
)
SERVING_LIFE = (
    Stage("created", _begin_serving, _serves(1)),
    Stage("scaled", lambda scene: _ask_for(scene, 2), _serves(2)),
    Stage("another model", lambda scene: scene.edit(model={"source": {"uri": "pvc://models/v2"}}), _serves(2)),
    Stage(
        "deleted",
        lambda scene: scene.api.delete(scene.path),
        lambda scene: scene.is_bare("PersistentVolumeClaim"),
    ),
)
LIVES = {"DeepSeekTraining": TRAINING_LIFE, "DeepSeekServing": SERVING_LIFE}


# --- the run ------------------------------------------------------------------------------------------------------


def _settled(scene: Scene) -> str:
    """The snapshot once nothing moves for a second."""
    seen: list[tuple[str, int]] = []

    def rests() -> bool:
        seen.append((snapshot(scene.api, scene.namespace), len(scene.operator.proxy.writes)))
        return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

    until("everything rests", rests, timeout_s=STAGE_LIMIT_S)
    return seen[-1][0]


def _equals(scene: Scene, stage: Stage, expected: str) -> str:
    """Waits until everything is as it was in the undisturbed life."""
    seen: list[str] = []

    def same() -> bool:
        seen.append(snapshot(scene.api, scene.namespace))
        return seen[-1] == expected

    try:
        until(f"{stage.name}: as undisturbed", same, timeout_s=STAGE_LIMIT_S, every_s=1)
    except NotReached:
        lines = difflib.unified_diff(expected.splitlines(), seen[-1].splitlines(), "undisturbed", "disturbed", n=12)
        raise AssertionError(f"{stage.name}: it differs from the undisturbed life\n" + "\n".join(lines)) from None
    return expected


def _live(scene: Scene, life: tuple[Stage, ...], expected: list[str] | None) -> list[str]:
    """Goes through the life; the snapshots at the end of its stages."""
    snapshots: list[str] = []
    for number, stage in enumerate(life):
        stage.happens(scene)
        until(stage.name, partial(stage.is_answered, scene), timeout_s=STAGE_LIMIT_S)
        snapshots.append(_equals(scene, stage, expected[number]) if expected else _settled(scene))
    return snapshots


@dataclass(frozen=True)
class Outcome:
    """One whole life, as it went."""

    snapshots: list[str]
    writes: list[Write]
    exits: list[int]
    witnesses: dict[str, Witness]


def _run(
    cluster: Cluster, folder: Path, kind: str, decide: Callable[[int, Write], Fate], expected: list[str] | None
) -> Outcome:
    """Lives a life in a namespace that is called as the folder."""
    name = folder.name
    folder.mkdir()
    for namespace in (name, f"{name}-system"):
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    wait_for_account(cluster.api, name)
    operator = OperatorProcess(cluster, folder, f"{name}-system", name, forks=True)
    operator.decide(decide)
    with FakeNode(cluster.api, name, name) as node, operator:
        scene = Scene(cluster.api, name, node, operator, COLLECTIONS[kind])
        witnesses = {
            kind: Witness(cluster.api, COLLECTIONS[kind].format(name))
            for kind in ("Job", "Pod", "PersistentVolumeClaim")
        }
        snapshots = _live(scene, LIVES[kind], expected)
    assert node.failure is None
    return Outcome(snapshots, list(operator.proxy.writes), list(operator.exits), witnesses)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lives")


@pytest.fixture(scope="module")
def undisturbed(controllers: Cluster, folder: Path) -> dict[str, Outcome]:
    """Each kind's life with an operator that nobody kills."""
    with ThreadPoolExecutor() as pool:
        running = {
            kind: pool.submit(_run, controllers, folder / f"calm-{kind.lower()}", kind, lambda *_: Fate.PASS, None)
            for kind in LIVES
        }
    return {kind: future.result() for kind, future in running.items()}


@pytest.fixture(scope="module")
def disturbed(
    controllers: Cluster, folder: Path, undisturbed: dict[str, Outcome]
) -> dict[tuple[str, type[BeforeEach | AfterEach]], tuple[BeforeEach | AfterEach, Future[Outcome]]]:
    """All four at once: most of a life is waiting for the operator to come back."""
    begun = {}
    with ThreadPoolExecutor() as pool:
        for kind, outcome in undisturbed.items():
            for fate in (BeforeEach(), AfterEach()):
                place = folder / f"{type(fate).__name__.lower()}-{kind.lower()}"
                future = pool.submit(_run, controllers, place, kind, fate, outcome.snapshots)
                begun[kind, type(fate)] = (fate, future)
    return begun


@pytest.mark.parametrize("fate_type", [BeforeEach, AfterEach])
@pytest.mark.parametrize("kind", list(LIVES))
def test_a_life_ends_as_undisturbed_when_the_operator_is_killed_around_every_write(
    undisturbed: dict[str, Outcome],
    disturbed: dict[tuple[str, type[BeforeEach | AfterEach]], tuple[BeforeEach | AfterEach, Future[Outcome]]],
    kind: str,
    fate_type: type[BeforeEach | AfterEach],
) -> None:
    calm, (fate, future) = undisturbed[kind], disturbed[kind, fate_type]
    outcome = future.result()
    assert calm.exits == []
    assert set(outcome.exits) == {KILLED}
    assert len(fate.killed) == len(outcome.exits)
    # A pod is deleted by the operator only when its Job went faster than the garbage collector: not in every life.
    certain = [write for write in calm.writes if "/pods/" not in write.path]
    assert {_signature(write) for write in certain} <= {_signature(write) for write in fate.killed}
    print(f"{kind}: {len(fate.killed)} kills in {len(outcome.writes)} writes; {len(calm.writes)} undisturbed")
    _witnessed(outcome.witnesses, kind)


def _witnessed(witnesses: dict[str, Witness], kind: str) -> None:
    jobs, claims = witnesses["Job"].uids(), witnesses["PersistentVolumeClaim"].uids()
    assert all(len(uids) == 1 for uids in jobs.values()), f"a Job was made twice: {jobs}"
    assert len(jobs) == (4 if kind == "DeepSeekTraining" else 0)
    assert [len(uids) for uids in claims.values()] == [1]
    for pods in witnesses["Pod"].states():
        owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in pods if pod["status"]["phase"] == "Running"}
        assert kind == "DeepSeekServing" or len(owners) <= 1, f"two attempts ran at once: {owners}"
    if kind == "DeepSeekServing":
        assert _fewest_ready(witnesses["Pod"]) >= 1, "it stopped answering"


def _fewest_ready(pods: Witness) -> int:
    """From the first ready pod to the last moment before the deletion."""
    counts = [sum(map(_answers, living)) for living in pods.states()]
    begins = next(place for place, count in enumerate(counts) if count)
    ends = next(place for place in reversed(range(len(counts))) if counts[place] == 2)
    return min(counts[begins : ends + 1])


def _answers(pod: Manifest) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    return ready and "deletionTimestamp" not in pod["metadata"]


def _signature(write: Write) -> tuple[str, str]:
    """Verb and path, without what is random in it."""
    path = re.sub(r"/namespaces/[^/]+", "", write.path)
    return write.verb, re.sub(r"-train-[0-9a-f]{6}", "-train", path)
