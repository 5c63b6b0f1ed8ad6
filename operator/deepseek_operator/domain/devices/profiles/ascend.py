"""Huawei Ascend 910B (one die per device) and 910C (two dies, counted as two devices), 64 GB per die.

No FP8: DeepSeek runs there from W8A8 or bf16 weights. The device plugin injects the device files; driver and tools of
the node are mounted by the administrator's patch. Peaks are of the 910B3 and of one 910C die; memory is what torch-npu
reports as total. Images have not been pulled.
"""

from collections.abc import Mapping

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles.profile import (
    Collective,
    DeviceMetrics,
    HostMount,
    PodPatch,
    Profile,
    Toleration,
)

RESOURCE = "huawei.com/Ascend910"
LAUNCHERS: Mapping[str, tuple[str, ...]] = {
    "vllm": ("vllm", "serve"),
    "sglang": ("python3", "-m", "sglang.launch_server"),
    "ms-swift": ("swift",),
    "llama-factory": ("llamafactory-cli", "train"),
}
DRIVER = PodPatch(
    host_mounts=(
        HostMount("ascend-driver", "/usr/local/Ascend/driver", "/usr/local/Ascend/driver"),
        HostMount("ascend-dcmi", "/usr/local/dcmi", "/usr/local/dcmi"),
        HostMount("ascend-npu-smi", "/usr/local/bin/npu-smi", "/usr/local/bin/npu-smi"),
        HostMount("ascend-install-info", "/etc/ascend_install.info", "/etc/ascend_install.info"),
    ),
)


def _die(name: str, suffix: str, label: str, per_node: int, bf16: float, bandwidth_tb_s: float) -> Profile:
    return Profile(
        accelerator=Accelerator(
            name=name,
            vendor="huawei",
            resource=RESOURCE,
            memory_gib=60.97,
            peak_tflops={"bf16": bf16, "int8": 2 * bf16},
            bandwidth_tb_s=bandwidth_tb_s,
            per_node=per_node,
            interconnect="HCCS",
            interconnect_gb_s=196.0,
            dtypes=frozenset({"fp32", "fp16", "bf16", "int8"}),
            quantizations=frozenset({"int8"}),
        ),
        generation=label,
        images={
            "vllm": f"quay.io/ascend/vllm-ascend:v{{version}}{suffix}",
            "sglang": f"lmsysorg/sglang:v{{version}}-cann8.3.rc1-{label}",
        },
        launchers=LAUNCHERS,
        collective=Collective(
            library="hccl",
            env=(("HCCL_BUFFSIZE", "1024"), ("PYTORCH_NPU_ALLOC_CONF", "expandable_segments:True")),
            multi_node_env=(
                ("HCCL_SOCKET_IFNAME", "eth0"),
                ("GLOO_SOCKET_IFNAME", "eth0"),
                ("TP_SOCKET_IFNAME", "eth0"),
                ("HCCL_IF_IP", "$(POD_IP)"),
                ("HCCL_CONNECT_TIMEOUT", "1200"),
            ),
        ),
        metrics=DeviceMetrics(
            exporter="npu-exporter",
            utilization="npu_chip_info_utilization",
            memory_used="npu_chip_info_hbm_used_memory",
            memory_total_or_free="npu_chip_info_hbm_total_memory",
            temperature="npu_chip_info_temperature",
            errors="npu_chip_info_error_code",
            pod_label="pod_name",
        ),
        node_selector={"accelerator": "huawei-Ascend910"},
        tolerations=(Toleration(RESOURCE),),
        shared_memory_gib=32,
        pod_patch=DRIVER,
    )


PROFILES = (
    _die("huawei-ascend910b-64", "", "910b", 8, 313.0, 1.6),
    _die("huawei-ascend910c-64", "-a3", "a3", 16, 376.0, 1.6),
)
