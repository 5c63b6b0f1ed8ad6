"""Labels and owners taken from children and put on strangers: ours stay in sight, strangers' are never touched.

Real API server and controllers, the operator as a process, pods on a node that the test directs.
"""

from functools import partial
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING as TRAINING_RESOURCE
from deepseek_operator.core.names import MANAGED_BY, OWNER_UID, owner_labels
from examples.local_cluster.api import Manifest
from tests.support.bench import LIMIT_S, SERVING, TRAINING, Bench
from tests.support.canonical import COLLECTIONS
from tests.support.kubectl import until

pytestmark = pytest.mark.timeout(240)
FAMILY = {
    "DeepSeekTraining": ("Job", "Service", "PersistentVolumeClaim"),
    "DeepSeekServing": ("Deployment", "ControllerRevision", "Service", "PodDisruptionBudget"),
}
LOSSES: dict[str, dict[str, Any]] = {
    "owner-uid": {"labels": {OWNER_UID: None}},
    "managed-by": {"labels": {MANAGED_BY: None}},
    "both": {"labels": {OWNER_UID: "another", MANAGED_BY: None}},
    "owner": {"ownerReferences": None},
}


def bears(bench: Bench, path: str, wanted: tuple[object, ...]) -> bool:
    """Whether the object there is marked like that."""
    return marks(bench.api.get(path)) == wanted


def marks(item: Manifest) -> tuple[object, ...]:
    """uid, and whose the object is by its labels and its owner."""
    metadata = item["metadata"]
    labels = metadata.get("labels", {})
    owners = [owner["uid"] for owner in metadata.get("ownerReferences", ())]
    return metadata["uid"], labels.get(OWNER_UID), labels.get(MANAGED_BY), owners


@pytest.mark.parametrize(("kind", "phase"), [("DeepSeekTraining", "Running"), ("DeepSeekServing", "Available")])
def test_children_that_lost_their_marks_get_them_back_and_their_owner_goes_on(
    bench: Bench, kind: str, phase: str
) -> None:
    bench.claim("models")
    bench.create(kind, TRAINING if kind == "DeepSeekTraining" else SERVING)
    bench.reaches(kind, phase)
    pods = {pod["metadata"]["uid"] for pod in bench.items("Pod")}
    for child in FAMILY[kind]:
        paths = [bench.path(child, item["metadata"]["name"]) for item in bench.items(child)]
        for path in (path for path in paths if not path.endswith("/models")):
            before = marks(bench.api.get(path))
            for loss, change in LOSSES.items():
                bench.api.patch(path, {"metadata": change})
                until(
                    f"{path} has back {loss}",
                    partial(bears, bench, path, before),
                    timeout_s=LIMIT_S,
                    every_s=0.1,
                )
    bench.reaches(kind, phase)
    assert {pod["metadata"]["uid"] for pod in bench.items("Pod")} == pods
    bench.api.delete(bench.path(kind))
    until("nothing is left", lambda: not any(map(bench.items, ("Job", "Deployment", "Pod"))), timeout_s=LIMIT_S)


def test_a_job_that_is_deleted_while_it_bears_no_mark_is_answered_by_another_attempt(bench: Bench) -> None:
    bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    (job,) = bench.items("Job")
    path = bench.path("Job", job["metadata"]["name"])
    bench.api.patch(path, {"metadata": {"labels": None, "ownerReferences": None}})
    bench.api.delete(path, policy="Orphan")
    until("it was noticed", lambda: bench.status("DeepSeekTraining").get("disruptions") == 1, timeout_s=LIMIT_S)
    bench.reaches("DeepSeekTraining", "Running")
    (again,) = bench.items("Job")
    owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in bench.items("Pod")}
    assert owners == {again["metadata"]["uid"]}


def test_a_training_deleted_alone_leaves_no_pod_that_nobody_controls(bench: Bench) -> None:
    bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    (job,) = bench.items("Job")
    bench.operator.stop()
    bench.api.delete(bench.path("Job", job["metadata"]["name"]), policy="Orphan")
    until("the Job is gone", lambda: not bench.items("Job"), timeout_s=LIMIT_S)
    bench.api.delete(bench.path("DeepSeekTraining"), policy="Orphan")
    until("the training is gone", lambda: not bench.items("DeepSeekTraining"), timeout_s=LIMIT_S)
    assert bench.items("Pod")
    bench.operator.environment["AUDIT_INTERVAL_SECONDS"] = "2"
    bench.operator.start()
    until("no pod is left", lambda: not bench.items("Pod"), timeout_s=LIMIT_S)


def test_our_labels_on_strangers_make_us_neither_wait_for_them_nor_touch_them(bench: Bench) -> None:
    uid = bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    labels = owner_labels(TRAINING_RESOURCE, "x", uid)
    container = {"name": "c", "image": "example.com/c"}
    specs = {
        "Pod": {"containers": [container], "nodeSelector": {"none": "none"}},
        "Service": {"ports": [{"port": 80}]},
        "PersistentVolumeClaim": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "Job": {"suspend": True, "template": {"spec": {"containers": [container], "restartPolicy": "Never"}}},
    }
    collections = {kind: bench.path(kind, "").rstrip("/") for kind in specs}
    for kind, spec in specs.items():
        version = "batch/v1" if kind == "Job" else "v1"
        metadata = {"name": "web", "labels": labels}
        bench.api.create(collections[kind], {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    before = {kind: marks(bench.api.get(f"{path}/web")) for kind, path in collections.items()}
    for suspend, phase in ((True, "Suspended"), (False, "Running")):
        bench.api.patch(bench.path("DeepSeekTraining"), {"spec": {"suspend": suspend}})
        bench.reaches("DeepSeekTraining", phase)
    bench.api.delete(bench.path("DeepSeekTraining"))
    jobs = COLLECTIONS["Job"]
    until(f"only the stranger of {jobs} is left", lambda: len(bench.items("Job")) == 1, timeout_s=LIMIT_S)
    assert {kind: marks(bench.api.get(f"{path}/web")) for kind, path in collections.items()} == before
