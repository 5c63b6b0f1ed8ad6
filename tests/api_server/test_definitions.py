"""The definitions as the API server serves them: accepted whole, defaults in the stored object, scale, columns, selectors."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from deepseek_operator.api.base import ObservedStatus
from deepseek_operator.api.crd import UNSEEN, documents
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.conditions import columns, merged, resting
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.api_objects import changed, collection, minimal_serving, minimal_training
from tests.support.kubectl import find_program
from tests.support.output import output_of
from tests.support.statuses import SERVING, TRAINING

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMES = [document["metadata"]["name"] for document in documents(KINDS.definitions)]


def _kubectl(cluster: Cluster, namespace: str, *arguments: str) -> str:
    command = [find_program("kubectl"), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace, *arguments]
    return output_of(command)


@pytest.mark.parametrize("name", NAMES)
def test_the_api_server_takes_the_definition_as_structural(api_server: Cluster, name: str) -> None:
    status = api_server.api.get(f"{DEFINITIONS}/{name}")["status"]
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("document", documents(KINDS.definitions), ids=NAMES)
def test_nothing_of_the_definition_is_dropped_in_storage(api_server: Cluster, document: Manifest) -> None:
    stored = api_server.api.get(f"{DEFINITIONS}/{document['metadata']['name']}")["spec"]
    version = document["spec"]["versions"][0]
    # The API server leaves out what is false or empty by its own rules: priority 0, and nothing else of ours.
    columns = [{k: v for k, v in column.items() if v != 0} for column in version["additionalPrinterColumns"]]
    assert stored["versions"] == [{**version, "additionalPrinterColumns": columns}]


def test_defaults_are_visible_in_the_stored_training(api_server: Cluster, namespace: str) -> None:
    manifest = minimal_training()
    stored = api_server.api.create(collection(manifest, namespace), manifest)
    assert stored["status"] == UNSEEN
    assert stored["spec"]["nodes"] == {}, "one without a profile; with one, absence means as many as fit"
    assert stored["spec"]["trainer"] == {
        "type": "builtin",
        "pod": {"fsGroup": 1000, "runAsUser": 1000},
        "resources": {},
    }
    assert stored["spec"]["hyperparameters"]["learningRate"] == "1e-5"
    assert stored["spec"]["checkpoints"]["resume"] == {"policy": "Auto"}


@pytest.mark.parametrize(
    ("model", "manifest"),
    [(DeepSeekTraining, minimal_training()), (DeepSeekServing, minimal_serving())],
    ids=["training", "serving"],
)
def test_the_operator_would_default_exactly_as_the_api_server_does(
    api_server: Cluster, namespace: str, model: type[DeepSeekTraining | DeepSeekServing], manifest: Manifest
) -> None:
    stored = api_server.api.create(collection(manifest, namespace), manifest)
    read, alone = model.model_validate(stored), model.model_validate(manifest)
    assert read.spec == alone.spec
    # Before an operator looked, the conditions and their columns say so; that default is the definition's alone.
    told: dict[str, Any] = {"conditions": [], "summary": alone.status.summary}
    assert read.status.model_copy(update=told) == alone.status
    assert (read.status.summary.ready, read.status.summary.reason) == ("Unknown", "NotSeen")


def test_replicas_are_there_without_being_written_and_scale_reads_the_status(
    api_server: Cluster, namespace: str
) -> None:
    manifest = minimal_serving()
    path = f"{collection(manifest, namespace)}/chat"
    assert api_server.api.create(collection(manifest, namespace), manifest)["spec"]["replicas"] == 1
    api_server.api.patch(f"{path}/status", {"status": {"replicas": 2, "selector": "a=b"}})
    assert api_server.api.patch(f"{path}/scale", {"spec": {"replicas": 3}})["spec"] == {"replicas": 3}
    scale = api_server.api.get(f"{path}/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
    assert api_server.api.get(path)["spec"]["replicas"] == 3


def test_scale_can_not_go_around_the_bounds(api_server: Cluster, namespace: str) -> None:
    manifest = minimal_serving()
    api_server.api.create(collection(manifest, namespace), manifest)
    with pytest.raises(ApiError, match="less than or equal to 1000"):
        api_server.api.patch(f"{collection(manifest, namespace)}/chat/scale", {"spec": {"replicas": 1001}})


def test_scale_can_not_switch_an_autoscaler_off(api_server: Cluster, namespace: str) -> None:
    signals = [{"type": "InFlight", "target": 8}]
    manifest = changed(minimal_serving(), {"spec.autoscaling": {"maxReplicas": 3, "signals": signals}})
    stored = api_server.api.create(collection(manifest, namespace), manifest)
    assert stored["spec"]["replicas"] == 1
    with pytest.raises(ApiError, match="with autoscaling, replicas must be 1 or more"):
        api_server.api.patch(f"{collection(manifest, namespace)}/chat/scale", {"spec": {"replicas": 0}})


TRAINING_STATUS = {
    "phase": "Running",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Running",
            "message": "",
            "lastTransitionTime": "2026-01-31T08:09:10Z",
        }
    ],
    "attempt": {"number": 2, "job": "tune-train-000000-2"},
    "restarts": 1,
    "progress": {
        "step": 41,
        "loss": "0.25",
        "gradientNorm": "1.5",
        "tokensPerSecond": "1200",
        "mfu": "0.41",
        "deviceMemory": "61.3Gi",
    },
    "lastCheckpoint": {"step": 40},
    "summary": {"ready": "True", "reason": "Running", "workers": "3/4", "progress": "41%", "eta": "2h10m"},
}
SERVING_STATUS = {
    "phase": "Available",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Available",
            "message": "",
            "lastTransitionTime": "2026-01-31T08:09:10Z",
        }
    ],
    "current": {"name": "chat-serve-0123456789"},
    "url": "http://chat-serve.team.svc:8000",
    "autoscaling": {"desired": 3},
    "summary": {"ready": "True", "reason": "Available", "replicas": "2/3", "model": "uppercase@200"},
}


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_columns_of_a_training_read_well(api_server: Cluster, namespace: str) -> None:
    manifest = changed(minimal_training(), {"spec.model.name": "lite"})
    api_server.api.create(collection(manifest, namespace), manifest)
    status = {**TRAINING_STATUS, "plan": {"reference": "r", "gpus": 16, "layout": "DP-16"}}
    api_server.api.patch(f"{collection(manifest, namespace)}/tune/status", {"status": status})
    header, row = _rows(_kubectl(api_server, namespace, "get", "dst"))
    assert header == ["NAME", "PHASE", "READY", "REASON", "WORKERS", "PROGRESS", "ETA", "LOSS", "RESTARTS", "AGE"]
    assert row[:-1] == ["tune", "Running", "True", "Running", "3/4", "41%", "2h10m", "0.25", "1"]
    header, row = _rows(_kubectl(api_server, namespace, "get", "dst", "-o", "wide"))
    assert header[10:] == [
        "STEP",
        "ATTEMPT",
        "TOKENS/S",
        "GRAD-NORM",
        "MFU",
        "DEVICE-MEM",
        "LAST-CKPT",
        "MODEL",
        "GPUS",
        "LAYOUT",
    ]
    assert row[10:] == ["41", "2", "1200", "1.5", "0.41", "61.3Gi", "40", "lite", "16", "DP-16"]


def test_a_resource_that_rests_has_no_empty_columns(api_server: Cluster, namespace: str) -> None:
    """Its Ready is absent, for kstatus, and READY and REASON are filled all the same."""
    conditions = merged(resting("Suspended", "as asked"), (), 1, datetime.now(UTC))
    for manifest, start in ((minimal_training(), 1), (minimal_serving(), 0)):
        api_server.api.create(collection(manifest, namespace), manifest)
        status = {"phase": "Suspended", "summary": columns(conditions)}
        path = f"{collection(manifest, namespace)}/{manifest['metadata']['name']}"
        api_server.api.patch(f"{path}/status", {"status": status})
        header, row = _rows(_kubectl(api_server, namespace, "get", manifest["kind"].lower()))
        assert (header[start + 1], row[start + 1]) == ("READY", "False")
        assert "REASON" in header
        assert row.count("Suspended") == 2, "PHASE and REASON"


def test_the_columns_of_a_serving_read_well(api_server: Cluster, namespace: str) -> None:
    scaling = {"maxReplicas": 8, "signals": [{"target": 8}]}
    manifest = changed(minimal_serving(), {"spec.autoscaling": scaling})
    api_server.api.create(collection(manifest, namespace), manifest)
    status = {**SERVING_STATUS, "plan": {"reference": "r", "gpus": 8, "layout": "TP-8"}}
    api_server.api.patch(f"{collection(manifest, namespace)}/chat/status", {"status": status})
    header, row = _rows(_kubectl(api_server, namespace, "get", "dss"))
    assert header == ["NAME", "READY", "REPLICAS", "MODEL", "PHASE", "REASON", "URL", "AGE"]
    wanted = "chat True 2/3 uppercase@200 Available Available http://chat-serve.team.svc:8000"
    assert row[:-1] == wanted.split()
    header, row = _rows(_kubectl(api_server, namespace, "get", "dss", "-o", "wide"))
    assert header[8:] == ["REVISION", "MIN", "MAX", "WANTED", "GPUS", "LAYOUT"]
    assert row[8:] == ["chat-serve-0123456789", "1", "8", "3", "8", "TP-8"]


@pytest.mark.parametrize("manifest", [minimal_training(), minimal_serving()], ids=["training", "serving"])
def test_what_no_operator_has_seen_says_so(api_server: Cluster, namespace: str, manifest: Manifest) -> None:
    """One namespace too few in the chart's watchNamespaces, or no operator at all, and there is nobody else to tell."""
    api_server.api.create(collection(manifest, namespace), manifest)
    shown = _kubectl(api_server, namespace, "get", manifest["kind"].lower())
    assert "Unknown" in shown
    described = _kubectl(api_server, namespace, "describe", manifest["kind"].lower())
    assert "NotSeen" in described
    assert "watchNamespaces" in described


@pytest.mark.parametrize(
    ("manifest", "model", "in_place"),
    [(minimal_training(), TrainingStatus, TRAINING), (minimal_serving(), ServingStatus, SERVING)],
    ids=["training", "serving"],
)
def test_records_where_an_earlier_release_wrote_them_are_not_pruned(
    api_server: Cluster, namespace: str, manifest: Manifest, model: type[ObservedStatus], in_place: Manifest
) -> None:
    path = f"{collection(manifest, namespace)}/{manifest['metadata']['name']}"
    api_server.api.create(collection(manifest, namespace), manifest)
    api_server.api.patch(f"{path}/status", {"status": in_place})
    stored = api_server.api.get(path)["status"]
    assert {key: stored[key] for key in in_place} == in_place
    moved = model.model_validate(stored).to_wire()
    api_server.api.patch(f"{path}/status", {"status": dict.fromkeys(in_place)})
    api_server.api.patch(f"{path}/status", {"status": moved})
    assert api_server.api.get(path)["status"] == moved


def test_one_word_lists_both_kinds_and_a_selector_picks_by_phase(api_server: Cluster, namespace: str) -> None:
    for manifest in (minimal_training(), minimal_serving()):
        api_server.api.create(collection(manifest, namespace), manifest)
    api_server.api.patch(f"{collection(minimal_training(), namespace)}/tune/status", {"status": {"phase": "Running"}})
    both = json.loads(_kubectl(api_server, namespace, "get", "deepseek", "-o", "json"))["items"]
    assert {item["kind"] for item in both} == {"DeepSeekTraining", "DeepSeekServing"}
    assert "tune" in _kubectl(api_server, namespace, "get", "dst", "--field-selector", "status.phase=Running")
    assert _kubectl(api_server, namespace, "get", "dst", "--field-selector", "status.phase=Failed") == ""


def test_explain_tells_unit_and_default(api_server: Cluster, namespace: str) -> None:
    told = _kubectl(api_server, namespace, "explain", "dst.spec.failurePolicy.stallTimeoutSeconds")
    assert "Seconds without a heartbeat" in " ".join(told.split())
    assert "Default 1800." in " ".join(told.split())


def test_two_appliers_of_environment_merge_by_name(api_server: Cluster, namespace: str) -> None:
    path = f"{collection(minimal_training(), namespace)}/tune"
    for owner, variable in (("one", "A"), ("two", "B")):
        part = changed(minimal_training(), {"spec.trainer.env": [{"name": variable, "value": owner}]})
        api_server.api.apply(path, part, fieldManager=owner)
    assert [env["name"] for env in api_server.api.get(path)["spec"]["trainer"]["env"]] == ["A", "B"]
