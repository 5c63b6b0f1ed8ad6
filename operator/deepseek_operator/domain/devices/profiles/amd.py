"""AMD Instinct MI300X and MI325X (CDNA 3): eight per node over Infinity Fabric.

Dense peaks and bandwidths are AMD's data sheets. RCCL reads NCCL's variable names. CDNA 3's FP8 is the FNUZ form:
engines convert OCP FP8 checkpoints on load. V4's kernels do not exist for gfx942. Images have not been pulled.
"""

from collections.abc import Mapping

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles.profile import (
    Collective,
    DeviceMetrics,
    Profile,
    Toleration,
)

RESOURCE = "amd.com/gpu"
IMAGES: Mapping[str, str] = {
    "vllm": "vllm/vllm-openai-rocm:v{version}",
    "sglang": "lmsysorg/sglang:v{version}-rocm700-mi30x",
}
LAUNCHERS: Mapping[str, tuple[str, ...]] = {
    "vllm": ("vllm", "serve"),
    "sglang": ("python3", "-m", "sglang.launch_server"),
    "torchtitan": ("torchrun",),
    "ms-swift": ("swift",),
    "llama-factory": ("llamafactory-cli", "train"),
    "deepspeed": ("torchrun",),
}


def _card(
    name: str, product: str, memory_gib: float, bandwidth_tb_s: float, more_quantizations: frozenset[str] = frozenset()
) -> Profile:
    return Profile(
        accelerator=Accelerator(
            name=name,
            vendor="amd",
            resource=RESOURCE,
            memory_gib=memory_gib,
            peak_tflops={"bf16": 1307.0, "fp8": 2615.0, "int8": 2615.0},
            bandwidth_tb_s=bandwidth_tb_s,
            per_node=8,
            interconnect="XGMI",
            interconnect_gb_s=448.0,
            dtypes=frozenset({"fp32", "fp16", "bf16", "fp8", "int8"}),
            quantizations=frozenset({"fp8", "int8", "awq", "gptq"}) | more_quantizations,
        ),
        generation="gfx942",
        images=IMAGES,
        launchers=LAUNCHERS,
        collective=Collective(
            library="rccl",
            env=(("HSA_NO_SCRATCH_RECLAIM", "1"), ("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")),
            multi_node_env=(("NCCL_SOCKET_IFNAME", "eth0"), ("GLOO_SOCKET_IFNAME", "eth0")),
        ),
        metrics=DeviceMetrics(
            exporter="amd-device-metrics-exporter",
            utilization="gpu_gfx_activity",
            memory_used="gpu_used_vram",
            memory_total_or_free="gpu_free_vram",
            temperature="gpu_junction_temperature",
            errors="gpu_ecc_uncorrect_total",
        ),
        node_selector={"amd.com/gpu.product-name": product},
        tolerations=(Toleration(RESOURCE),),
        program_env={
            "vllm": (("VLLM_ROCM_USE_AITER", "1"), ("VLLM_ROCM_USE_AITER_MOE", "1"), ("SAFETENSORS_FAST_GPU", "1")),
            "sglang": (("SGLANG_USE_AITER", "1"), ("SAFETENSORS_FAST_GPU", "1")),
        },
        shared_memory_gib=32,
    )


PROFILES = (
    _card("amd-mi300x-192", "AMD_Instinct_MI300X_OAM", 192.0, 5.3),
    # vLLM's recipe for V4-Flash runs its FP4 experts on a single MI325X; MI300X is named as not able to.
    _card("amd-mi325x-256", "AMD_Instinct_MI325X_OAM", 256.0, 6.0, frozenset({"mxfp4"})),
)
