"""Accelerator profiles: names, data, what pods ask for, and an administrator's configuration."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.cli.size import Question, answer
from deepseek_operator.domain.devices.profiles import (
    ALIASES,
    BUILT_IN,
    Companion,
    HostMount,
    InvalidProfile,
    PodPatch,
    Profile,
    Toleration,
    UnknownProfile,
    custom_resource,
    pod_needs,
    profiles_from_config,
    resolve,
)

EVERY = [BUILT_IN.resolve(name) for name in BUILT_IN.names()]
ids = [profile.name for profile in EVERY]


def test_every_promised_device_has_a_profile() -> None:
    resources = {(p.vendor, p.accelerator.resource.partition("-")[0]) for p in EVERY}
    assert resources == {
        ("nvidia", "nvidia.com/gpu"), ("nvidia", "nvidia.com/mig"), ("amd", "amd.com/gpu"),
        ("intel", "habana.ai/gaudi"), ("huawei", "huawei.com/Ascend910"), ("cpu", "cpu"),
    }  # fmt: skip
    for short in ("a100-40", "a100-80", "h100", "h200", "h20", "h800", "l40s", "b200", "rtx4090", "rtx3090", "a6000",
                  "mi300x", "mi325x", "gaudi2", "gaudi3", "ascend910b", "ascend910c", "cpu"):  # fmt: skip
        assert resolve(short).memory_known


@pytest.mark.parametrize("profile", EVERY, ids=ids)
def test_a_device_claims_no_format_that_its_arithmetic_can_not_be_planned_with(profile: Profile) -> None:
    accelerator = profile.accelerator
    assert accelerator.memory_gib > 0
    assert accelerator.bandwidth_tb_s > 0
    assert set(accelerator.peak_tflops) <= set(accelerator.dtypes)
    assert "bf16" in accelerator.peak_tflops
    assert ("fp8" in accelerator.dtypes) == ("fp8" in accelerator.quantizations)
    assert "nvfp4" not in accelerator.quantizations or "fp4" in accelerator.dtypes


@pytest.mark.parametrize("profile", EVERY, ids=ids)
def test_every_image_belongs_to_a_program_that_can_be_started(profile: Profile) -> None:
    assert set(profile.images) <= set(profile.launchers)
    assert set(profile.program_env) <= set(profile.launchers)


@pytest.mark.parametrize("name", ["nvidia-a100-80", "nvidia-a100-40", "nvidia-rtx3090-24", "nvidia-a100-mig-3g.40gb"])
def test_ampere_has_no_fp8(name: str) -> None:
    assert "fp8" not in resolve(name).accelerator.quantizations


@given(st.text(max_size=40))
def test_no_unknown_name_ever_means_cpu(name: str) -> None:
    wanted = name.strip().casefold()
    if wanted in {*BUILT_IN.names(), *ALIASES}:
        assert (resolve(name).vendor == "cpu") == (wanted == "cpu")
    else:
        with pytest.raises(UnknownProfile):
            resolve(name)


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("nvidia-h2000", "nvidia-h200"),
        ("h-200", "h200"),
        ("A100", "a100-80"),
        ("mi300", "mi300x"),
        ("gaudi", "gaudi2"),
        ("cpus", "cpu"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(typed: str, near: str) -> None:
    with pytest.raises(UnknownProfile, match=re.escape(near)):
        resolve(typed)


def test_a_custom_resource_says_that_its_memory_is_unknown() -> None:
    profile = custom_resource("example.com/npu", per_node=4)
    assert (profile.memory_known, profile.accelerator.memory_gib) == (False, 0.0)
    assert pod_needs(profile, 2).resources == {"example.com/npu": "2"}
    assert pod_needs(profile, 2).tolerations == (Toleration("example.com/npu"),)


@pytest.mark.parametrize("resource", ["gpu", "/gpu", "example.com/", "a/b/c", ""])
def test_a_custom_resource_without_its_domain_is_refused(resource: str) -> None:
    with pytest.raises(ValueError, match="domain/name"):
        custom_resource(resource, per_node=1)


def test_gaudi_pods_ask_for_huge_pages_by_the_device() -> None:
    needs = pod_needs(resolve("gaudi3"), 4)
    assert needs.resources == {"habana.ai/gaudi": "4", "hugepages-2Mi": "48000Mi"}
    assert 12_000 % 2 == 0


def test_rdma_is_asked_for_only_by_its_own_profile_and_only_between_nodes() -> None:
    assert pod_needs(resolve("h200"), 8, nodes=2).resources == {"nvidia.com/gpu": "8"}
    rdma = resolve("nvidia-h200-141-rdma")
    assert pod_needs(rdma, 8).resources == {"nvidia.com/gpu": "8"}
    assert pod_needs(rdma, 8, nodes=2).resources == {"nvidia.com/gpu": "8", "rdma/hca": "8"}
    assert pod_needs(rdma, 8).patch.capabilities == ("IPC_LOCK",)


def test_a_cpu_pod_asks_for_no_extended_resource() -> None:
    assert pod_needs(resolve("cpu"), 1).resources == {}


def test_a_pod_never_asks_for_more_devices_than_a_node_has() -> None:
    with pytest.raises(ValueError, match="8 devices per node, 9"):
        pod_needs(resolve("h200"), 9)


def test_mig_slices_name_their_own_resource_and_metric() -> None:
    profile = resolve("nvidia-h200-mig-1g.18gb")
    assert profile.accelerator.resource == "nvidia.com/mig-1g.18gb"
    assert profile.metrics is not None
    assert profile.metrics.utilization == "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
    assert not profile.peer_to_peer


OVERRIDE = {
    "nvidia-h200-141": {
        "nodeSelector": {"pool": "deepseek"},
        "companions": [{"resource": "rdma/hca_shared_devices_a", "perDevice": True, "multiNodeOnly": True}],
        "pod": {"hostNetwork": True, "capabilities": ["IPC_LOCK"],
                "annotations": {"k8s.v1.cni.cncf.io/networks": "rdma-0,rdma-1"},
                "hostMounts": [{"name": "driver", "hostPath": "/opt/driver", "mountPath": "/opt/driver"}]},
    },
    "dgx-h200": {"base": "h200", "multiNodeEnv": {"NCCL_IB_HCA": "mlx5"}, "images": {"vllm": "mirror/vllm:{version}"}},
    "tpu-like": {"resource": "example.com/tpu", "vendor": "custom", "memoryGiB": 32, "perNode": 4,
                 "dtypes": ["bf16"], "launchers": {"vllm": ["vllm", "serve"]}},
}  # fmt: skip


def test_an_administrator_overrides_and_adds_profiles() -> None:
    profiles = profiles_from_config(OVERRIDE)
    h200 = profiles.resolve("h200")
    assert dict(h200.node_selector) == {"pool": "deepseek"}
    assert h200.accelerator == resolve("h200").accelerator
    assert h200.companions == (Companion("rdma/hca_shared_devices_a", 1, per_device=True, multi_node_only=True),)
    assert h200.pod_patch == PodPatch(
        host_network=True,
        capabilities=("IPC_LOCK",),
        host_mounts=(HostMount("driver", "/opt/driver", "/opt/driver"),),
        annotations=(("k8s.v1.cni.cncf.io/networks", "rdma-0,rdma-1"),),
    )
    dgx = profiles.resolve("dgx-h200")
    assert dgx.image("vllm", "0.33.0") == "mirror/vllm:0.33.0"
    assert dgx.image("sglang", "0.5.23") == h200.image("sglang", "0.5.23")
    assert dgx.collective.multi_node_env == (("NCCL_IB_HCA", "mlx5"),)
    assert dict(dgx.node_selector) == {"pool": "deepseek"}, "a base is the profile as configured so far"
    assert profiles.resolve("tpu-like").accelerator.memory_gib == 32
    assert resolve("h200").pod_patch.host_network is False, "the built-in profiles stay as they are"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"x": {"base": "h20O"}}, "nearest: .*h20"),
        ({"x": {"memoryGiB": 80}}, "write resource, vendor, perNode, or base"),
        ({"h200x": {"base": "h200", "memoryGib": 80}}, "did you mean memoryGiB"),
        ({"h200x": {"base": "h200", "memoryGiB": "80"}}, "must be a number of at least 0.5, not str '80'"),
        ({"h200x": {"base": "h200", "memoryGiB": float("nan")}}, "must be a number"),
        ({"h200x": {"base": "h200", "perNode": True}}, "must be an integer"),
        ({"h200x": {"base": "h200", "dtypes": ["bf17"]}}, "'bf17'; known are bf16"),
        ({"h200x": {"base": "h200", "nodeSelector": {"a": 1}}}, "nodeSelector.a must be a string, not int 1"),
        ({"h200x": {"base": "h200", "tolerations": [{"effect": "NoSchedule"}]}}, r"tolerations\[0\].key must be"),
        ({"h200x": {"base": "h200", "tolerations": [{"key": "a", "effect": "never"}]}}, "write one of NoExecute"),
        ({"h200x": {"base": "h200", "pod": {"hostNetwork": "yes"}}}, "pod.hostNetwork must be true or false"),
        ({"h200x": {"base": "h200", "pod": {"hostMounts": [{"name": "d", "hostPath": "opt", "mountPath": "/opt"}]}}},
         "absolute path"),
        ({"h200x": {"base": "h200", "pod": ["hostNetwork"]}}, "pod must be a mapping"),
        ({"Not A Name": {"base": "h200"}}, "lower-case"),
        ({"x": {"resource": "gpu", "vendor": "custom", "memoryGiB": 1, "perNode": 1}}, "domain/name"),
        ({"x": None}, "must be a mapping"),
    ],
)  # fmt: skip
def test_a_configuration_that_can_not_be_read_says_what_to_write(config: Any, said: str) -> None:
    with pytest.raises(InvalidProfile, match=said):
        profiles_from_config(config)


def test_v4_flash_fits_on_one_mi325x_as_its_published_recipe_says_and_on_no_mi300x() -> None:
    def sized(device: str) -> object:
        return answer(Question(model="deepseek-v4-flash", accelerator=device, gpus=1), BUILT_IN).fits

    assert sized("mi325x") is True
    assert sized("mi300x") is False
