"""The files of an engine's command in its pod, and where what scrapes it looks."""

import json
from typing import Any

import pytest

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


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_an_engine_without_files_whose_metrics_are_where_they_usually_are_has_neither(engine: str) -> None:
    pod = template(engine={"type": engine})
    assert "annotations" not in pod["metadata"]
    assert not any(volume["name"] == "engine-files" for volume in pod["spec"]["volumes"])
