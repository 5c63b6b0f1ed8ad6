"""The same name again: a successor never meets its predecessor's data, and a new operator never touches old pods.

Real API server and controllers, the operator as a process, pods on a node that the test directs.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Manifest
from tests.support.bench import LIMIT_S, SERVING, TRAINING, Bench
from tests.support.kubectl import until
from tests.support.operator_process import ROOT

pytestmark = pytest.mark.timeout(180)

# --- the same name ------------------------------------------------------------------------------------------------


def test_a_training_of_the_same_name_begins_anew_beside_the_retained_claim_and_the_job_that_still_ends(
    bench: Bench,
) -> None:
    first = bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    (old_job,), (old_claim,) = bench.items("Job"), bench.items("PersistentVolumeClaim")
    (pod,) = bench.node.pods()
    bench.node.lingers = True
    bench.node.evict(pod)  # its worker goes on saving while the training is deleted and made again
    bench.api.delete(bench.path("DeepSeekTraining"))
    until("the training is gone", lambda: not bench.status("DeepSeekTraining"), timeout_s=LIMIT_S)
    second = bench.create("DeepSeekTraining", TRAINING)
    assert first != second
    until("it has an answer", lambda: bench.status("DeepSeekTraining").get("phase"), timeout_s=LIMIT_S)
    assert old_job["metadata"]["uid"] not in _uids(bench.items("Job"), where=_is_new(second))
    bench.node.lingers = False
    bench.reaches("DeepSeekTraining", "Running")
    until("the old Job is gone", lambda: len(bench.items("Job")) == 1, timeout_s=LIMIT_S)

    (job,) = bench.items("Job")
    env = bench.env(job)
    assert bench.status("DeepSeekTraining")["record"]["uid"] == second
    assert bench.status("DeepSeekTraining")["attempt"]["number"] == 1
    assert env["DEEPSEEK_TRAINING_UID"] == second
    assert json.loads(env["DEEPSEEK_RESUME_ANCESTRY"]) == []
    assert "DEEPSEEK_RESUME_FROM" not in env
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    claims = {claim["metadata"]["name"]: claim["metadata"] for claim in bench.items("PersistentVolumeClaim")}
    assert len(claims) == 2
    assert claims[old_claim["metadata"]["name"]]["uid"] == old_claim["metadata"]["uid"], "the retained claim stays"
    assert old_claim["metadata"]["name"] not in mounted
    assert mounted <= set(claims)


def test_a_training_of_the_same_name_on_the_same_claim_writes_beside_the_old_checkpoints(bench: Bench) -> None:
    bench.claim("shared")
    spec = {**TRAINING, "checkpoints": {"volume": {"claimName": "shared"}}}
    roots = set()
    for _ in range(2):
        uid = bench.create("DeepSeekTraining", spec)
        bench.reaches("DeepSeekTraining", "Running")
        (job,) = bench.items("Job")
        env = bench.env(job)
        assert json.loads(env["DEEPSEEK_RESUME_ANCESTRY"]) == []
        assert "DEEPSEEK_RESUME_FROM" not in env
        assert uid in env["DEEPSEEK_CHECKPOINT_ROOT"]
        roots.add(env["DEEPSEEK_CHECKPOINT_ROOT"])
        bench.api.delete(bench.path("DeepSeekTraining"))
        until("all is gone", lambda: not bench.items("Job"), timeout_s=LIMIT_S)
    assert len(roots) == 2
    assert [claim["metadata"]["name"] for claim in bench.items("PersistentVolumeClaim")] == ["shared"]


def test_a_serving_of_the_same_name_leaves_alone_what_its_predecessor_left_behind(bench: Bench) -> None:
    bench.claim("models")
    bench.create("DeepSeekServing", SERVING)
    bench.reaches("DeepSeekServing", "Available")
    before = {kind: _uids(bench.items(kind)) for kind in ("Deployment", "ControllerRevision", "Pod")}
    bench.api.delete(bench.path("DeepSeekServing"), policy="Orphan")
    until("the serving is gone", lambda: not bench.status("DeepSeekServing"), timeout_s=LIMIT_S)
    # Its children were left behind without an owner: they are strangers now, and nobody takes them over.
    bench.create("DeepSeekServing", SERVING)
    bench.tells("DeepSeekServing", "Stalled", "NameConflict")
    assert _uids(bench.items("Deployment")) == before["Deployment"]
    for kind in ("Deployment", "ControllerRevision", "Service", "PodDisruptionBudget"):
        for item in bench.items(kind):
            bench.api.delete(bench.path(kind, item["metadata"]["name"]))
    bench.reaches("DeepSeekServing", "Available")
    assert not _uids(bench.items("Deployment")) & before["Deployment"]
    until("the old pods are gone", lambda: len(bench.items("Pod")) == 2, timeout_s=LIMIT_S)
    assert not _uids(bench.items("Pod")) & before["Pod"]


def test_a_serving_made_again_at_once_serves_with_pods_of_its_own(bench: Bench) -> None:
    bench.claim("models")
    bench.create("DeepSeekServing", SERVING)
    bench.reaches("DeepSeekServing", "Available")
    before = _uids(bench.items("Pod"))
    bench.api.delete(bench.path("DeepSeekServing"))
    until("the serving is gone", lambda: not bench.status("DeepSeekServing"), timeout_s=LIMIT_S, every_s=0.01)
    bench.create("DeepSeekServing", SERVING)
    bench.reaches("DeepSeekServing", "Available")
    until("the old pods are gone", lambda: len(bench.items("Pod")) == 2, timeout_s=LIMIT_S)
    assert not _uids(bench.items("Pod")) & before


# --- the claim is lost --------------------------------------------------------------------------------------------


def test_a_training_whose_claim_was_deleted_stalls_and_never_begins_at_step_0(bench: Bench) -> None:
    bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    (claim,) = bench.items("PersistentVolumeClaim")
    name = claim["metadata"]["name"]
    bench.api.patch(bench.path("DeepSeekTraining"), {"spec": {"suspend": True}})
    bench.reaches("DeepSeekTraining", "Suspended")
    bench.api.delete(bench.path("PersistentVolumeClaim", name))
    until("the claim is gone", lambda: not bench.items("PersistentVolumeClaim"), timeout_s=LIMIT_S)
    bench.api.patch(bench.path("DeepSeekTraining"), {"spec": {"suspend": False}})
    bench.tells("DeepSeekTraining", "Stalled", "CheckpointVolumeLost")
    assert bench.items("PersistentVolumeClaim") == [], "an empty claim was made in its place"
    # An empty claim under the old name is no substitute, and neither is a restart that forgets.
    bench.create("PersistentVolumeClaim", claim["spec"], name)
    bench.operator.stop()
    bench.operator.start()
    bench.api.patch(bench.path("DeepSeekTraining"), {"spec": {"failurePolicy": {"maxRestarts": 7}}})
    generation = bench.api.get(bench.path("DeepSeekTraining"))["metadata"]["generation"]
    until(
        "the edit is seen",
        lambda: bench.status("DeepSeekTraining").get("observedGeneration") == generation,
        timeout_s=LIMIT_S,
    )
    bench.tells("DeepSeekTraining", "Stalled", "CheckpointVolumeLost")
    assert bench.items("Job") == []
    assert bench.status("DeepSeekTraining")["attempt"]["number"] == 1


# --- another version of the operator ------------------------------------------------------------------------------


def test_another_version_of_the_operator_restarts_no_pod_and_renames_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.claim("models")
    accelerator = {"profile": "nvidia-h100-80", "perNode": 1}
    bench.create("DeepSeekTraining", {**TRAINING, "accelerator": accelerator})
    bench.create("DeepSeekServing", {**SERVING, "accelerator": accelerator})
    bench.reaches("DeepSeekTraining", "Running")
    bench.reaches("DeepSeekServing", "Available")
    before = {kind: _state(bench.items(kind)) for kind in CHILDREN}
    revision = bench.status("DeepSeekServing")["current"]["name"]

    bench.operator.stop()
    bench.operator.source = _with_another_label(tmp_path / "operator")
    bench.operator.environment |= {
        "RUNTIME_IMAGE": "deepseek-operator.io/runtime:another",
        "IMAGE_PULL_POLICY": "Always",
        "PROFILES_FILE": str(_another_catalogue(tmp_path / "profiles.yaml")),
    }
    bench.operator.start()
    # The new label on what may be changed shows that the new version has looked at both.
    until("the new version has labelled the Services", lambda: _labelled(bench.items("Service")), timeout_s=LIMIT_S)
    bench.reaches("DeepSeekTraining", "Running")
    bench.reaches("DeepSeekServing", "Available")
    assert {kind: _state(bench.items(kind)) for kind in CHILDREN} == before
    assert bench.status("DeepSeekServing")["current"]["name"] == revision

    # What is made from now on is of the new version: the change was a real one.
    bench.api.patch(bench.path("DeepSeekTraining"), {"spec": {"trainer": {"env": [{"name": "A", "value": "1"}]}}})
    until("the next attempt", lambda: bench.status("DeepSeekTraining")["attempt"]["number"] == 2, timeout_s=LIMIT_S)
    bench.reaches("DeepSeekTraining", "Running")
    (job,) = bench.items("Job")
    pod = job["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"] == "deepseek-operator.io/runtime:another"
    assert pod["spec"]["nodeSelector"]["pool"] == "another"
    assert pod["metadata"]["labels"][NEW_LABEL] == "1"

    # What runs is announced to be of the old one, and is renewed when a person says so.
    bench.tells("DeepSeekServing", "UpdateAvailable", "NewDefaults")
    bench.api.patch(bench.path("DeepSeekServing"), {"metadata": {"annotations": {"deepseek-operator.io/update": "1"}}})
    until(
        "only the new image serves",
        lambda: _images(bench.items("Deployment")) == {"deepseek-operator.io/runtime:another"},
        timeout_s=LIMIT_S,
    )
    bench.reaches("DeepSeekServing", "Available")
    assert "UpdateAvailable" not in [c["type"] for c in bench.status("DeepSeekServing")["conditions"]]


CHILDREN = ("Pod", "Job", "Deployment", "ReplicaSet", "ControllerRevision", "Service", "PersistentVolumeClaim")
NEW_LABEL = "example.com/added"


def _with_another_label(place: Path) -> Path:
    """A copy of the operator that labels everything it makes with one label more."""
    copied = shutil.copytree(ROOT / "operator", place, ignore=shutil.ignore_patterns("__pycache__"))
    names = copied / "deepseek_operator" / "core" / "names.py"
    old = '"app.kubernetes.io/instance": name,'
    assert names.read_text().count(old) == 1
    names.write_text(names.read_text().replace(old, f'{old} "{NEW_LABEL}": "1",'))
    return copied


def _another_catalogue(file: Path) -> Path:
    """The same accelerator, from now on in another pool."""
    profile = {"base": "nvidia-h100-80", "nodeSelector": {"pool": "another"}}
    file.write_text(json.dumps({"nvidia-h100-80": profile}))
    return file


def _images(deployments: list[Manifest]) -> set[str]:
    return {deployment["spec"]["template"]["spec"]["containers"][0]["image"] for deployment in deployments}


def _labelled(items: list[Manifest]) -> bool:
    return bool(items) and all(NEW_LABEL in item["metadata"]["labels"] for item in items)


def _uids(items: list[Manifest], where: Any = lambda item: True) -> set[str]:
    return {str(item["metadata"]["uid"]) for item in items if where(item)}


def _is_new(uid: str) -> Any:
    return lambda item: item["metadata"]["labels"]["deepseek-operator.io/owner-uid"] == uid


def _state(items: list[Manifest]) -> dict[str, object]:
    """Name to uid and spec of what runs."""
    return {item["metadata"]["name"]: (item["metadata"]["uid"], item.get("spec", item.get("data"))) for item in items}
