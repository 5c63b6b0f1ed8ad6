"""Whatever a training rests in, and whichever of its children loses its marks, while the operator is there or not: what is
recorded is looked for by name, so that it gets its marks back and goes when its training goes."""

from collections import Counter
from collections.abc import Callable

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import owner_labels
from deepseek_operator.core.resources import CLAIM, JOB, POD, POLICY, SERVICE, controller_of, labels_of, uid_of
from deepseek_operator.kinds.registry import KINDS
from tests.support.marks import LOSSES
from tests.support.trainings import NAME, NAMESPACE, Life

OWNED = (JOB, SERVICE, POLICY, CLAIM)
MEDDLINGS: dict[str, Callable[[Stored], object]] = {
    **LOSSES,
    "owner": lambda live: live["metadata"].pop("ownerReferences", None),
    "owner and managed-by": lambda live: (LOSSES["managed-by"](live), live["metadata"].pop("ownerReferences", None)),
}


def begun(**policy: int) -> Life:
    volume = {"volume": {"accessMode": "ReadWriteMany"}}
    return Life().begin(checkpoints=volume, failurePolicy={"maxRestarts": 5, **policy}).running()


def stopped(life: Life) -> Life:
    return life.edit(lambda spec: spec.update(suspend=True)).gone()


def resumed(life: Life) -> Life:
    return life.edit(lambda spec: spec.update(suspend=False)).running()


SCENES: dict[str, tuple[Callable[[], Life], list[str]]] = {
    "runs": (begun, ["1"]),
    "runs after a failure": (lambda: begun().crash().later(700).running(), ["1", "2"]),
    "runs after a failure and a stop": (lambda: resumed(stopped(begun().crash().later(700).running())), ["1", "3"]),
    "waits after a failure": (lambda: begun().crash(), ["1"]),
    "suspended": (lambda: stopped(begun()), []),
    "suspended after a failure": (lambda: stopped(begun().crash().later(700).running()), ["1"]),
    "failed": (lambda: begun(maxRestarts=0).crash(), ["1"]),
    "complete after a failure": (lambda: begun().crash().later(700).running().complete(), ["1", "2"]),
}
WHERE = pytest.mark.parametrize("is_down", [False, True], ids=["up", "down"])


def children(life: Life) -> list[Stored]:
    return [child for resource in (JOB, SERVICE, POLICY, CLAIM) for child in life.cluster.all(resource)]


@WHERE
@pytest.mark.parametrize("scene", SCENES)
def test_children_that_lose_their_marks_at_rest_get_them_back(scene: str, is_down: bool) -> None:
    make, jobs = SCENES[scene]
    life = make()
    assert life.jobs() == jobs
    told, labels = life.told, owner_labels(TRAINING, NAME, life.owner.metadata.uid).items()
    before = {uid_of(child): bool(controller_of(child)) for child in children(life)}
    for meddling, change in MEDDLINGS.items():
        for child in children(life):
            ref = KINDS.ref_of(child)
            if ref.resource != CLAIM or meddling in LOSSES:
                life.cluster.edit(ref.resource, NAMESPACE, ref.name, change)
        if is_down:
            life.operator.restart()
        assert (meddling, life.turn().told) == (meddling, told)
        after = children(life)
        assert (meddling, {uid_of(child): bool(controller_of(child)) for child in after}) == (meddling, before)
        unmarked = [child["metadata"]["name"] for child in after if not labels_of(child).items() >= labels]
        assert (meddling, unmarked) == (meddling, [])
    writes = len(life.cluster.writes)
    life.operator.restart()
    assert (life.turn().told, life.cluster.writes[writes:]) == (told, [])


@WHERE
@pytest.mark.parametrize("meddling", LOSSES)
def test_a_worker_that_loses_our_labels_is_counted_and_judged_as_before(meddling: str, is_down: bool) -> None:
    life = begun()
    life.cluster.edit(POD, NAMESPACE, life.pod(1)["metadata"]["name"], kept_by_its_job(MEDDLINGS[meddling]))
    if is_down:
        life.operator.restart()
    assert (life.turn().told, life.jobs()) == (("Ready", "Running"), ["1"])
    life.exit(1, 9, "boom")
    assert life.gone().told == ("Reconciling", "BackingOff")
    (last,) = life.owner.status.history
    assert (last.verdict, "exit code 9" in last.message) == ("Crash", True)


def kept_by_its_job(change: Callable[[Stored], object]) -> Callable[[Stored], object]:
    """The change, but for the labels by which a Job knows its pods."""

    def changed(live: Stored) -> None:
        before = dict(live["metadata"]["labels"])
        change(live)
        labels = live["metadata"].setdefault("labels", {})
        labels |= {key: value for key, value in before.items() if key.startswith("batch.kubernetes.io/")}

    return changed


@pytest.mark.parametrize("scene", SCENES)
def test_a_process_that_starts_asks_only_for_what_it_lacks(scene: str) -> None:
    life = SCENES[scene][0]()
    for most in ({"get": len(life.owner.status.history)}, {}):
        before = Counter(life.cluster.reads)
        if most:
            life.operator.restart()
        life.operator.settle()
        assert life.cluster.reads - before <= Counter(most)
