"""Our own small controllers and the choices around them: volumes, targets, fake nodes, layers, back-ends."""

from pathlib import Path

import pytest

from examples.local_cluster import backend, discovery, fake_nodes, layers, provisioner
from examples.local_cluster.__main__ import main
from examples.local_cluster.api import Manifest
from examples.local_cluster.backend import Builtin, Existing, Wanted
from examples.local_cluster.home import Home


def claim(**changes: object) -> Manifest:
    metadata = {
        "name": "data",
        "namespace": "team",
        "uid": "u-1",
        "resourceVersion": "7",
        "annotations": {"volume.kubernetes.io/storage-provisioner": provisioner.NAME},
    }
    size = {"requests": {"storage": "2Gi"}}
    spec = {"storageClassName": "local", "accessModes": ["ReadWriteMany"], "resources": size}
    return {"metadata": {**metadata, **changes}, "spec": spec}


def pod(labels: dict[str, str], ports: list[Manifest], phase: str = "Running") -> Manifest:
    return {
        "metadata": {"namespace": "team", "name": "pod", "labels": labels},
        "spec": {"containers": [{"name": "sidecar"}, {"name": "main", "ports": ports}]},
        "status": {"phase": phase, "podIP": "10.244.0.9"},
    }


def test_a_claim_gets_a_volume_of_its_size_and_modes_bound_to_it() -> None:
    volume = provisioner.volume_for(claim(), Path("/volumes/u-1"))
    assert volume["spec"]["capacity"] == {"storage": "2Gi"}
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert volume["spec"]["claimRef"]["uid"] == "u-1"
    assert volume["spec"]["hostPath"]["path"] == "/volumes/u-1"


def test_a_claim_of_another_class_or_on_its_way_out_gets_no_volume() -> None:
    assert provisioner.is_ours(claim())
    assert not provisioner.is_ours(claim(annotations={"volume.kubernetes.io/storage-provisioner": "other"}))
    assert not provisioner.is_ours(claim(annotations={}))
    assert not provisioner.is_ours(claim(deletionTimestamp="2026-01-01T00:00:00Z"))


def test_a_bound_claim_is_not_provisioned_again() -> None:
    bound = claim()
    bound["spec"]["volumeName"] = "pvc-u-1"
    assert not provisioner.is_ours(bound)


def test_a_volume_grows_when_its_claim_asks_for_more() -> None:
    volume = provisioner.volume_for(claim(), Path("/volumes/u-1"))
    assert not provisioner.asks_for_more(claim(), volume)
    volume["spec"]["capacity"]["storage"] = "1Gi"
    assert provisioner.asks_for_more(claim(), volume)


def test_an_inference_pod_is_scraped_on_its_http_port() -> None:
    found = discovery.targets(
        [pod({discovery.SERVING: "chat", discovery.REVISION: "0123456789"}, [{"name": "http", "containerPort": 8000}])]
    )
    labels = {"job": "deepseek-serving", "namespace": "team", "pod": "pod", "deepseek_serving": "chat"}
    labels["deepseek_revision"] = "0123456789"
    assert found == [{"targets": ["10.244.0.9:8000"], "labels": labels}]


def test_a_training_pod_is_scraped_where_it_tells_its_progress() -> None:
    found = discovery.targets([pod({discovery.TRAINING: "sft"}, [])])
    assert found[0]["targets"] == ["10.244.0.9:8090"]
    assert found[0]["labels"]["deepseek_training"] == "sft"


def test_the_operator_is_scraped_on_its_metrics_port() -> None:
    found = discovery.targets(
        [pod({discovery.NAME: "deepseek-operator"}, [{"name": "metrics", "containerPort": 9000}])]
    )
    assert found[0]["targets"] == ["10.244.0.9:9000"]


@pytest.mark.parametrize(
    "other",
    [
        pod({}, [{"name": "http", "containerPort": 8000}]),
        pod({discovery.SERVING: "chat"}, [{"name": "admin", "containerPort": 8000}]),
        pod({discovery.SERVING: "chat"}, [{"name": "http", "containerPort": 8000}], phase="Pending"),
    ],
)
def test_other_pods_portless_pods_and_pods_that_do_not_run_are_not_scraped(other: Manifest) -> None:
    assert discovery.targets([other]) == []


def test_a_fake_node_has_eight_accelerators_behind_a_taint() -> None:
    made = fake_nodes.node(5)
    assert made["metadata"]["labels"]["type"] == "kwok"
    assert made["metadata"]["labels"]["topology.deepseek-operator.io/rack"] == "rack-1"
    assert made["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert made["spec"]["taints"] == [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]


def test_a_deleted_fake_pod_ends_before_it_goes() -> None:
    by_name = {stage["metadata"]["name"]: stage["spec"] for stage in fake_nodes.stages()}
    assert '$code := "143"' in by_name["pod-terminated"]["next"]["statusTemplate"]
    assert "sigterm-exit-code" in by_name["pod-terminated"]["next"]["statusTemplate"]
    phases = [entry for entry in by_name["pod-gone"]["selector"]["matchExpressions"] if entry["key"] == ".status.phase"]
    assert phases == [{"key": ".status.phase", "operator": "In", "values": ["Succeeded", "Failed"]}]


def test_no_stage_template_is_left_with_a_placeholder() -> None:
    templates = [stage["spec"]["next"].get("statusTemplate", "") for stage in fake_nodes.stages()]
    assert [template for template in templates if "PREFIX" in template or "DEFAULT" in template] == []


def test_two_lists_that_join_to_the_same_text_are_two_layers() -> None:
    assert layers.key("deps", ["a", "b"]) != layers.key("deps", ["ab"])
    assert layers.key("deps", ["a", "b"]) == layers.key("deps", ["a", "b"])


def test_the_images_install_what_pyproject_lists() -> None:
    assert any(entry.startswith("kopf==") for entry in layers.requirements("operator"))
    assert any(entry.startswith("torch==") for entry in layers.requirements("runtime"))


def test_a_given_kubeconfig_is_used_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somewhere/config")
    assert backend.choose(Home(tmp_path)) == Existing(Path("/somewhere/config"))


def test_the_kubeconfig_of_this_home_means_this_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = Home(tmp_path.resolve())
    monkeypatch.setenv("KUBECONFIG", str(home.kubeconfig))
    assert backend.choose(home) == Builtin(home)


def test_a_cluster_of_somebody_else_is_not_given_fake_nodes() -> None:
    with pytest.raises(RuntimeError, match="unset KUBECONFIG"):
        Existing(Path("/somewhere/config")).up(Wanted(False, 8, {}))


def test_an_argument_that_is_no_pair_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "up", "--advertise", "nvidia.com/gpu"]) == 1
    assert "nvidia.com/gpu: expected NAME=VALUE" in capsys.readouterr().err
