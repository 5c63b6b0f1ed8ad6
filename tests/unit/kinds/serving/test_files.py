"""The files of an engine's command in its pod, and where what scrapes it looks."""

import json
from typing import Any

from deepseek_operator.core.resources import SERVICE
from deepseek_operator.domain.programs.engines.connections import MIDDLEWARE, MODULE, TEXT
from tests.support.serving_life import ServingLife
from tests.support.servings import R1

CONFIG = "/etc/engine/trtllm.yaml"
KEY = "deepseek-operator.io/file-0"
TRT = {"model": R1, "engine": {"type": "tensorrt-llm"}, "accelerator": {"profile": "nvidia-h200-141"}}


def template(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = ServingLife(**{**TRT, **spec}).template()
    return found


def as_the_kubelet_writes(pod: dict[str, Any]) -> dict[str, str]:
    """The files that the engine's container sees, by their paths."""
    annotations = pod["metadata"]["annotations"]
    (mount,) = (one for one in pod["spec"]["containers"][0]["volumeMounts"] if one["name"] == "engine-files")
    (volume,) = (one for one in pod["spec"]["volumes"] if one["name"] == "engine-files")
    return {
        f"{mount['mountPath']}/{item['path']}": annotations[item["fieldRef"]["fieldPath"].split("'")[1]]
        for item in volume["downwardAPI"]["items"]
    }


def test_a_file_of_the_command_is_written_where_the_command_reads_it() -> None:
    pod = template(engine={"type": "tensorrt-llm", "kvCacheDtype": "fp8", "options": {"memoryShare": "0.8"}})
    files = as_the_kubelet_writes(pod)
    command = pod["spec"]["containers"][0]["command"]
    assert command[command.index("--extra_llm_api_options") + 1] in files
    assert json.loads(files[CONFIG])["kv_cache_config"] == {"dtype": "fp8", "free_gpu_memory_fraction": 0.8}


def test_files_are_read_only_and_bring_no_further_container() -> None:
    spec = template()["spec"]
    assert "initContainers" not in spec
    (mount,) = (one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "engine-files")
    assert mount == {"name": "engine-files", "mountPath": "/etc/engine", "readOnly": True}


def test_the_users_annotations_stand_beside_and_never_in_place_of_a_file() -> None:
    theirs = {KEY: "{}", "prometheus.io/path": "/x", "team": "a"}
    annotations = template(pod={"annotations": theirs})["metadata"]["annotations"]
    assert annotations["team"] == "a"
    assert "return_perf_metrics" in annotations[KEY]
    assert annotations["prometheus.io/path"] == "/prometheus/metrics"


def test_vllm_finds_the_module_that_closes_connections_where_the_kubelet_writes_it() -> None:
    pod = template(engine={"type": "vllm"})
    command = pod["spec"]["containers"][0]["command"]
    assert as_the_kubelet_writes(pod) == {MODULE: TEXT}
    assert command[command.index("--middleware") + 1] == MIDDLEWARE


def test_an_engine_without_files_whose_metrics_are_where_they_usually_are_has_neither() -> None:
    pod = template(engine={"type": "sglang"})
    assert "annotations" not in pod["metadata"]
    assert not any(volume["name"] == "engine-files" for volume in pod["spec"]["volumes"])


def test_a_repository_of_several_files_lies_below_one_folder() -> None:
    pod = template(
        model={"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/m"}}, engine={"type": "triton"}
    )
    files, command = as_the_kubelet_writes(pod), pod["spec"]["containers"][0]["command"]
    folder = f"{command[command.index('--model-repository') + 1]}/deepseek-r1-distill-qwen-7b"
    assert files.keys() == {f"{folder}/1/model.json", f"{folder}/config.pbtxt"}
    assert json.loads(files[f"{folder}/1/model.json"])["model"] == "/model"
    assert "prometheus.io/path" not in pod["metadata"]["annotations"]


def test_services_have_grpc_where_the_engine_answers_it_and_find_it_by_the_ports_name() -> None:
    def ports(engine: str) -> list[list[dict[str, Any]]]:
        spec: dict[str, Any] = {**TRT, "engine": {"type": engine}}
        life = ServingLife(**spec)
        services = life.cluster.all(SERVICE)
        return [service["spec"]["ports"] for service in services]

    assert all([port["name"] for port in found] == ["http"] for found in ports("tensorrt-llm"))
    assert ports("triton")
    for found in ports("triton"):
        http, grpc = found
        assert (http["port"], grpc["port"], grpc["targetPort"], grpc["appProtocol"]) == (
            8000,
            8001,
            "grpc",
            "kubernetes.io/h2c",
        )
    container = template(engine={"type": "triton"})["spec"]["containers"][0]
    assert {"name": "grpc", "containerPort": 8001, "protocol": "TCP"} in container["ports"]
