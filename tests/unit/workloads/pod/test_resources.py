"""What a container computes with, in the form in which the API server stores it."""

import pytest

from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources
from deepseek_operator.workloads.pod.resources import resources, shared_memory, whole_cores


@pytest.mark.parametrize(
    ("written", "requests", "limits"),
    [
        ({}, None, None),
        ({"cpu": "0.5"}, {"cpu": "500m"}, None),
        ({"cpu": "1", "cpuLimit": "1500m"}, {"cpu": "1"}, {"cpu": "1500m"}),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}, {"memory": "1Gi"}),
        ({"cpuLimit": "2.0"}, None, {"cpu": "2"}),
        ({"sharedMemory": "2Gi"}, None, None),
    ],
)
def test_only_what_is_written_is_asked_for(
    written: dict[str, str], requests: dict[str, str] | None, limits: dict[str, str] | None
) -> None:
    found = resources(ComputeResources.model_validate(written))
    assert (found.get("requests"), found.get("limits")) == (requests, limits)


@pytest.mark.parametrize(
    ("accelerator", "devices"),
    [
        ({"resource": "nvidia.com/gpu", "perNode": 4}, {"nvidia.com/gpu": "4"}),
        ({"resource": "amd.com/gpu"}, {"amd.com/gpu": "1"}),
        ({"profile": "nvidia-h100-80", "perNode": 8}, {}),
    ],
)
def test_devices_of_a_plugin_are_requested_and_limited_alike(
    accelerator: dict[str, object], devices: dict[str, str]
) -> None:
    found = resources(ComputeResources(memory="1Gi"), Accelerator.model_validate(accelerator))
    assert found == {"requests": {"memory": "1Gi", **devices}, "limits": {"memory": "1Gi", **devices}}


@pytest.mark.parametrize(("written", "size"), [(None, "1Gi"), ("2048Mi", "2Gi"), ("1.5Gi", "1536Mi")])
def test_shared_memory_is_as_written_or_a_gibibyte(written: str | None, size: str) -> None:
    volume = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    assert shared_memory(ComputeResources(shared_memory=written)) == volume


@pytest.mark.parametrize(("cpu", "threads"), [(None, None), ("250m", 1), ("1.9", 1), ("8", 8), ("12500m", 12)])
def test_threads_are_the_whole_cores_that_were_asked_for(cpu: str | None, threads: int | None) -> None:
    assert whole_cores(cpu) == threads
