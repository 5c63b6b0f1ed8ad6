"""Intel Gaudi 2 and 3: eight per node, over Ethernet ports of the devices themselves.

Peaks are Intel's white papers; memory is what the driver leaves free of the module's 96 and 128 GB. Each pod needs huge
pages beside its devices, else the collective library can't register its buffers. Images have not been pulled.
"""

from collections.abc import Mapping

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles.profile import (
    Collective,
    Companion,
    DeviceMetrics,
    PodPatch,
    Profile,
    Toleration,
)

RESOURCE = "habana.ai/gaudi"
IMAGES: Mapping[str, str] = {
    "vllm": "vault.habana.ai/gaudi-docker/1.24.1/ubuntu24.04/habanalabs/vllm-{version}-ptupstream-2.11.0:latest",
}
LAUNCHERS: Mapping[str, tuple[str, ...]] = {"vllm": ("vllm", "serve"), "deepspeed": ("torchrun",)}
HUGE_PAGES_MIB_PER_DEVICE = 12_000
"""Intel's device-plugin examples ask 95,000 Mi for eight devices; rounded up per device to whole 2 MiB pages."""


def _module(
    name: str, label: str, memory_gib: float, peaks: Mapping[str, float], bandwidth_tb_s: float, link_gb_s: float
) -> Profile:
    return Profile(
        accelerator=Accelerator(
            name=name,
            vendor="intel",
            resource=RESOURCE,
            memory_gib=memory_gib,
            peak_tflops=peaks,
            bandwidth_tb_s=bandwidth_tb_s,
            per_node=8,
            interconnect="RoCE",
            interconnect_gb_s=link_gb_s,
            dtypes=frozenset({"fp32", "bf16", "fp8"}),
            quantizations=frozenset({"fp8", "awq", "gptq"}),
        ),
        generation=label,
        images=IMAGES,
        launchers=LAUNCHERS,
        collective=Collective(
            library="hccl",
            env=(("PT_HPU_ENABLE_LAZY_COLLECTIVES", "true"),),
            multi_node_env=(("HCCL_SOCKET_IFNAME", "eth0"), ("GLOO_SOCKET_IFNAME", "eth0")),
        ),
        metrics=DeviceMetrics(
            exporter="habanalabs-exporter",
            utilization="habanalabs_utilization",
            memory_used="habanalabs_memory_used_bytes",
            memory_total_or_free="habanalabs_memory_total_bytes",
            temperature="habanalabs_temperature_onchip",
            errors=None,
            pod_label="pod_name",
            namespace_label="pod_namespace",
        ),
        node_selector={"habana.ai/device": label},
        tolerations=(Toleration(RESOURCE),),
        companions=(Companion("hugepages-2Mi", HUGE_PAGES_MIB_PER_DEVICE, "Mi", per_device=True),),
        program_env={"vllm": (("PT_HPU_LAZY_MODE", "1"), ("VLLM_SKIP_WARMUP", "false"))},
        shared_memory_gib=32,
        pod_patch=PodPatch(capabilities=("SYS_NICE",)),
    )


PROFILES = (
    _module("intel-gaudi2-96", "gaudi2", 94.6, {"bf16": 432.0, "fp8": 865.0}, 2.45, 262.5),
    _module("intel-gaudi3-128", "gaudi3", 126.5, {"bf16": 1678.0, "fp8": 1678.0}, 3.7, 525.0),
)
