"""Which edits of a training are let in: everything before it starts, and afterwards only what keeps its checkpoints true."""

from collections.abc import Mapping
from typing import Any

import pytest

from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.api_objects import UID, changed, collection, minimal_training

VOLUME = "spec.checkpoints.volume"
HYPER = "spec.hyperparameters"
NEST = {"model_type": "deepseek_v3", "rope": {"factor": 40, "betas": [32, 1]}}

NEW_CLAIM = changed(
    minimal_training(),
    {"spec.model.custom": NEST, VOLUME: {"size": "20Gi", "storageClassName": "fast"}, "spec.nodes": {"count": 2}},
)
OLD_CLAIM = changed(minimal_training(), {VOLUME: {"claimName": "checkpoints", "subPath": "a"}})
NO_SIZE = minimal_training()


ATTEMPT = {"number": 1, "job": "tune-train-000000-1"}


def _begin(
    cluster: Cluster, namespace: str, manifest: Manifest, started: bool, status: Mapping[str, Any] | None = None
) -> str:
    """Creates the training and returns its path; `started`: with the record of a first attempt, or with `status`."""
    path = collection(manifest, namespace)
    cluster.api.create(path, manifest)
    if started:
        wanted = {"attempt": ATTEMPT, "observedGeneration": 1, **(status or {})}
        cluster.api.patch(f"{path}/tune/status", {"status": wanted})
    return f"{path}/tune"


def _merge(changes: Mapping[str, Any]) -> Manifest:
    """A JSON merge patch: None takes a field away."""
    patch: Manifest = {}
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = patch
        for key in parents:
            part = part.setdefault(key, {})
        part[last] = value
    return patch


FIXED = [
    pytest.param(NEW_CLAIM, {"spec.model.custom.hidden_size": 128}, "spec.model", id="another configuration"),
    pytest.param(
        NEW_CLAIM, {"spec.model.custom.rope.factor": 41}, "spec.model", id="a number deep in the configuration"
    ),
    pytest.param(
        NEW_CLAIM, {"spec.model.custom.rope.betas": [32, 2]}, "spec.model", id="a list deep in the configuration"
    ),
    pytest.param(NEW_CLAIM, {"spec.model.custom.rope": None}, "spec.model", id="a part of the configuration removed"),
    pytest.param(NEW_CLAIM, {"spec.model.name": "x"}, "spec.model", id="another model name"),
    pytest.param(
        NEW_CLAIM, {"spec.model": {"custom": None, "source": {"uri": "pvc://a/b"}}}, "spec.model", id="weights instead"
    ),
    pytest.param(
        NEW_CLAIM, {"spec.datasets": [{"source": {"uri": "builtin://reverse"}}]}, "spec.datasets", id="other data"
    ),
    pytest.param(NEW_CLAIM, {f"{HYPER}.learningRate": "2e-5"}, HYPER, id="another rate"),
    pytest.param(NEW_CLAIM, {f"{HYPER}.maxSteps": 200}, HYPER, id="more steps"),
    pytest.param(NEW_CLAIM, {f"{HYPER}.microBatchSize": 1}, HYPER, id="a field added"),
    pytest.param(
        NEW_CLAIM, {"spec.checkpoints.resume.policy": "Never"}, "spec.checkpoints.resume", id="never to resume"
    ),
    pytest.param(
        OLD_CLAIM,
        {"spec.checkpoints.resume.from": {"trainingUID": UID}},
        "spec.checkpoints.resume",
        id="to resume from another",
    ),
    pytest.param(NEW_CLAIM, {f"{VOLUME}.storageClassName": "slow"}, f"{VOLUME}.storageClassName", id="another class"),
    pytest.param(NEW_CLAIM, {f"{VOLUME}.storageClassName": None}, f"{VOLUME}.storageClassName", id="no class"),
    pytest.param(
        NEW_CLAIM, {f"{VOLUME}.accessMode": "ReadWriteMany"}, f"{VOLUME}.accessMode", id="another access mode"
    ),
    pytest.param(OLD_CLAIM, {f"{VOLUME}.claimName": "other"}, f"{VOLUME}.claimName", id="another claim"),
    pytest.param(OLD_CLAIM, {f"{VOLUME}.subPath": "b"}, f"{VOLUME}.subPath", id="another folder"),
    pytest.param(OLD_CLAIM, {f"{VOLUME}.subPath": None}, f"{VOLUME}.subPath", id="no folder"),
    pytest.param(OLD_CLAIM, {VOLUME: {"claimName": None, "subPath": None}}, f"{VOLUME}.claimName", id="a new claim"),
]


@pytest.mark.parametrize(("manifest", "edit", "field"), FIXED)
def test_what_is_fixed_stays_once_the_training_has_started(
    api_server: Cluster, namespace: str, manifest: Manifest, edit: Mapping[str, Any], field: str
) -> None:
    path = _begin(api_server, namespace, manifest, started=True)
    with pytest.raises(ApiError) as refusal:
        api_server.api.patch(path, _merge(edit))
    assert refusal.value.code == 422
    assert f"{field} is fixed once the training has started: create a new DeepSeekTraining" in str(refusal.value)


def test_every_field_that_is_fixed_is_told_at_once(api_server: Cluster, namespace: str) -> None:
    path = _begin(api_server, namespace, NEW_CLAIM, started=True)
    edits = {f"{HYPER}.maxSteps": 200, f"{VOLUME}.storageClassName": "slow", f"{VOLUME}.size": "1Gi"}
    with pytest.raises(ApiError) as refusal:
        api_server.api.patch(path, _merge({**edits, "spec.nodes.count": 4}))
    told = str(refusal.value)
    assert f"{HYPER} is fixed" in told
    assert f"{VOLUME}.storageClassName is fixed" in told
    assert f"{VOLUME}.size may only grow" in told
    assert told.count("is fixed") == 2


UNUSED = {"claimName": "tune-train-000000", "made": True, "used": False}
MADE = {f"{VOLUME}.storageClassName", f"{VOLUME}.accessMode"}
UNLEARNT = [
    pytest.param({"volume": UNUSED}, id="nothing runs yet"),
    pytest.param(
        {"volume": UNUSED, "attempt": {**ATTEMPT, "runningAt": "2026-01-01T00:00:00Z", "verdict": "Invalid"}},
        id="it ended and wrote nothing",
    ),
    pytest.param({"volume": UNUSED, "attempt": {**ATTEMPT, "verdict": "Invalid"}, "result": "Failed"}, id="it failed"),
]
LEARNT = [
    pytest.param({"volume": {**UNUSED, "used": True}}, id="something was written"),
    pytest.param({"volume": {"claimName": "tune-train-000000", "made": True}}, id="an earlier release's status"),
    pytest.param({"volume": UNUSED, "lastCheckpoint": {"step": 5}}, id="a checkpoint was told"),
    pytest.param({"volume": UNUSED, "exports": [5]}, id="an export was told"),
    pytest.param({"volume": UNUSED, "attempt": {**ATTEMPT, "runningAt": "2026-01-01T00:00:00Z"}}, id="it runs"),
    pytest.param(
        {"volume": UNUSED, "attempt": {**ATTEMPT, "verdict": "Complete"}, "result": "Complete"}, id="it is complete"
    ),
]


@pytest.mark.parametrize("status", UNLEARNT)
def test_while_nothing_was_learnt_only_the_claim_stays_as_it_was_made(
    api_server: Cluster, namespace: str, status: Mapping[str, Any]
) -> None:
    for manifest, edit, field in (parameter.values for parameter in FIXED):
        path = _begin(api_server, namespace, manifest, started=True, status=status)  # type: ignore[arg-type]
        if field in MADE:
            with pytest.raises(ApiError, match=f"{field} is fixed"):
                api_server.api.patch(path, _merge(edit))  # type: ignore[arg-type]
        else:
            api_server.api.patch(path, _merge(edit), dryRun="All")  # type: ignore[arg-type]
        api_server.api.delete(path)


@pytest.mark.parametrize("status", LEARNT)
def test_what_may_have_been_learnt_is_not_given_up_for_an_edit(
    api_server: Cluster, namespace: str, status: Mapping[str, Any]
) -> None:
    path = _begin(api_server, namespace, NEW_CLAIM, started=True, status=status)
    with pytest.raises(ApiError, match="is fixed once the training has started"):
        api_server.api.patch(path, _merge({"spec.datasets": [{"source": {"uri": "builtin://reverse"}}]}))


@pytest.mark.parametrize(("manifest", "edit", "field"), FIXED)
def test_everything_may_change_before_the_training_starts(
    api_server: Cluster, namespace: str, manifest: Manifest, edit: Mapping[str, Any], field: str
) -> None:
    path = _begin(api_server, namespace, manifest, started=False)
    api_server.api.patch(path, _merge(edit), dryRun="All")


@pytest.mark.parametrize(
    ("manifest", "edit"),
    [
        pytest.param(NEW_CLAIM, {"spec.suspend": True}, id="suspend"),
        pytest.param(NEW_CLAIM, {"spec.nodes.count": 4}, id="more nodes"),
        pytest.param(NEW_CLAIM, {"spec.accelerator": {"resource": "nvidia.com/gpu"}}, id="an accelerator"),
        pytest.param(NEW_CLAIM, {"spec.trainer.image": "registry.example.com/fixed:2"}, id="another image"),
        pytest.param(NEW_CLAIM, {"spec.trainer.env": [{"name": "NCCL_DEBUG", "value": "INFO"}]}, id="environment"),
        pytest.param(NEW_CLAIM, {"spec.failurePolicy.maxRestarts": 9}, id="more restarts"),
        pytest.param(NEW_CLAIM, {"spec.checkpoints.keepLast": 9, "spec.checkpoints.keepBest": 0}, id="retention"),
        pytest.param(NEW_CLAIM, {"spec.checkpoints.everySteps": 7}, id="another interval"),
        pytest.param(NEW_CLAIM, {"spec.checkpoints.onDelete": "Delete"}, id="what becomes of the claim"),
        pytest.param(NEW_CLAIM, {f"{VOLUME}.size": "21474836480"}, id="the same size in other words"),
        pytest.param(NEW_CLAIM, {f"{VOLUME}.size": "1Ti"}, id="a larger volume"),
        pytest.param(NO_SIZE, {f"{VOLUME}.size": "11Gi"}, id="a volume larger than the default"),
        pytest.param(NEW_CLAIM, {"metadata.labels": {"team": "a"}}, id="labels"),
    ],
)
def test_a_started_training_takes_the_edits_that_it_can_follow(
    api_server: Cluster, namespace: str, manifest: Manifest, edit: Mapping[str, Any]
) -> None:
    path = _begin(api_server, namespace, manifest, started=True)
    api_server.api.patch(path, _merge(edit), dryRun="All")


@pytest.mark.parametrize(
    ("manifest", "size"),
    [
        pytest.param(NEW_CLAIM, "19Gi", id="smaller"),
        pytest.param(NEW_CLAIM, "20G", id="smaller in decimal units"),
        pytest.param(NEW_CLAIM, None, id="back to the default"),
        pytest.param(NO_SIZE, "9Gi", id="below the default"),
    ],
)
def test_a_volume_never_shrinks(api_server: Cluster, namespace: str, manifest: Manifest, size: str | None) -> None:
    path = _begin(api_server, namespace, manifest, started=True)
    with pytest.raises(ApiError, match="may only grow once the training has started"):
        api_server.api.patch(path, _merge({f"{VOLUME}.size": size}))


def test_an_operator_that_writes_status_is_not_stopped_by_the_edit_rules(api_server: Cluster, namespace: str) -> None:
    path = _begin(api_server, namespace, NEW_CLAIM, started=True)
    written = api_server.api.patch(
        f"{path}/status", {"status": {"attempt": {"number": 2, "job": "tune-train-000000-2"}}}
    )
    assert written["status"]["attempt"]["number"] == 2
    assert "attempt" not in api_server.api.patch(f"{path}/status", {"status": {"attempt": None}})["status"]


def test_a_user_who_writes_the_object_does_not_reach_its_status(api_server: Cluster, namespace: str) -> None:
    path = _begin(api_server, namespace, NEW_CLAIM, started=True)
    written = api_server.api.patch(path, {"status": {"attempt": None}, "spec": {"suspend": True}})
    assert written["status"]["attempt"]["number"] == 1
