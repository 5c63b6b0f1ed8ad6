"""NVIDIA devices: data-centre cards, workstation cards and MIG slices.

Dense peaks and bandwidths are NVIDIA's data sheets (without sparsity); memory is what the driver reports, which is less
than the name says. H20 and H800 are the export forms: H20 has the memory of Hopper and a seventh of its arithmetic,
H800 less than half of its NVLink. FP8 starts with sm89, FP4 arithmetic with sm100; Hopper runs 4-bit weights by widening them.
Labels are those of NVIDIA's GPU feature discovery; images are the projects' own and have not been pulled.
"""

from collections.abc import Mapping

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles.profile import (
    Collective,
    DeviceMetrics,
    Profile,
    Toleration,
)

RESOURCE = "nvidia.com/gpu"
PRODUCT = "nvidia.com/gpu.product"

# torchtitan, Megatron-Bridge, ms-swift and DeepSpeed publish no image whose tag follows from their release:
# the user or the administrator names one.
IMAGES: Mapping[str, str] = {
    "builtin": "deepseek-operator.io/runtime:dev",
    "vllm": "vllm/vllm-openai:v{version}",
    "sglang": "lmsysorg/sglang:v{version}",
    "tensorrt-llm": "nvcr.io/nvidia/tensorrt-llm/release:{version}",
    "triton": "nvcr.io/nvidia/tritonserver:{version}-vllm-python-py3",
    "llama-factory": "hiyouga/llamafactory:{version}",
}
TORCHRUN = ("torchrun",)
LAUNCHERS: Mapping[str, tuple[str, ...]] = {
    "builtin": ("python3", "-m"),
    "vllm": ("vllm", "serve"),
    "sglang": ("python3", "-m", "sglang.launch_server"),
    "tensorrt-llm": ("trtllm-serve",),
    "triton": ("python3", "/opt/tritonserver/python/openai/openai_frontend/main.py"),
    "torchtitan": TORCHRUN,
    "megatron-bridge": TORCHRUN,
    "llama-factory": ("llamafactory-cli", "train"),
    "ms-swift": ("swift",),
    "ms-swift-megatron": ("megatron",),
    "deepspeed": TORCHRUN,
}
# Errors become exits (a hang would hold the gang), and sockets stay off the container's own loopback.
NCCL = Collective(
    library="nccl",
    env=(("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),),
    multi_node_env=(("NCCL_SOCKET_IFNAME", "eth0"), ("GLOO_SOCKET_IFNAME", "eth0")),
)
DCGM = DeviceMetrics(
    exporter="dcgm-exporter",
    utilization="DCGM_FI_DEV_GPU_UTIL",
    memory_used="DCGM_FI_DEV_FB_USED",
    memory_total_or_free="DCGM_FI_DEV_FB_FREE",
    temperature="DCGM_FI_DEV_GPU_TEMP",
    errors="DCGM_FI_DEV_XID_ERRORS",
)
# A slice has no GPU_UTIL; the engine's activity is the same question asked of the slice.
DCGM_OF_SLICES = DeviceMetrics(
    exporter="dcgm-exporter",
    utilization="DCGM_FI_PROF_GR_ENGINE_ACTIVE",
    memory_used="DCGM_FI_DEV_FB_USED",
    memory_total_or_free="DCGM_FI_DEV_FB_FREE",
    temperature=None,
    errors="DCGM_FI_DEV_XID_ERRORS",
    is_share=True,
)
TOLERATIONS = (Toleration(RESOURCE),)

AMPERE = frozenset({"fp32", "fp16", "bf16", "int8"})
ADA_AND_HOPPER = AMPERE | {"fp8"}
BLACKWELL = ADA_AND_HOPPER | {"fp4"}
WIDENED = frozenset({"int8", "awq", "gptq", "nf4"})
HOPPER_FORMATS = WIDENED | {"fp8", "w4a8", "mxfp4"}


def _card(
    name: str,
    generation: str,
    product: str,
    memory_gib: float,
    peaks: Mapping[str, float],
    bandwidth_tb_s: float,
    link: tuple[str, float],
    formats: tuple[frozenset[str], frozenset[str]],
    per_node: int = 8,
) -> Profile:
    """One whole card; ``link`` is the interconnect and its GB/s in one direction, ``formats`` dtypes and storages."""
    return Profile(
        accelerator=Accelerator(
            name=name,
            vendor="nvidia",
            resource=RESOURCE,
            memory_gib=memory_gib,
            peak_tflops=peaks,
            bandwidth_tb_s=bandwidth_tb_s,
            per_node=per_node,
            interconnect=link[0],
            interconnect_gb_s=link[1],
            dtypes=formats[0],
            quantizations=formats[1],
        ),
        generation=generation,
        images=IMAGES,
        launchers=LAUNCHERS,
        collective=NCCL,
        metrics=DCGM,
        node_selector={PRODUCT: product},
        tolerations=TOLERATIONS,
    )


def _slice(name: str, of: str, product: str, generation: str, memory_gib: float, share: float, count: int) -> Profile:
    """One MIG slice in the mixed strategy: ``share`` of the card's arithmetic, ``count`` such slices on eight cards."""
    bf16, bandwidth = {"a100": (312.0, 2.04), "h100": (989.0, 3.35), "h200": (989.0, 4.8)}[of]
    hopper = generation == "sm90"
    peaks = {"bf16": bf16 * share, "int8": 2 * bf16 * share, **({"fp8": 2 * bf16 * share} if hopper else {})}
    return Profile(
        accelerator=Accelerator(
            name=name,
            vendor="nvidia",
            resource=f"nvidia.com/{name.removeprefix(f'nvidia-{of}-')}",
            memory_gib=memory_gib,
            peak_tflops=peaks,
            bandwidth_tb_s=bandwidth * share,
            per_node=count,
            interconnect="none",
            interconnect_gb_s=0.0,
            dtypes=ADA_AND_HOPPER if hopper else AMPERE,
            quantizations=HOPPER_FORMATS if hopper else WIDENED,
        ),
        generation=generation,
        images=IMAGES,
        launchers=LAUNCHERS,
        collective=NCCL,
        metrics=DCGM_OF_SLICES,
        node_selector={PRODUCT: product},
        tolerations=TOLERATIONS,
        shared_memory_gib=4,
        peer_to_peer=False,
    )


_A100 = {"bf16": 312.0, "int8": 624.0}
_H100 = {"bf16": 989.0, "fp8": 1979.0, "int8": 1979.0}
_AMPERE = (AMPERE, WIDENED)
_ADA = (ADA_AND_HOPPER, WIDENED | {"fp8"})
_HOPPER = (ADA_AND_HOPPER, HOPPER_FORMATS)

PROFILES = (
    _card("nvidia-a100-40", "sm80", "NVIDIA-A100-SXM4-40GB", 39.5, _A100, 1.555, ("NVLink", 300.0), _AMPERE),
    _card("nvidia-a100-80", "sm80", "NVIDIA-A100-SXM4-80GB", 80.0, _A100, 2.04, ("NVLink", 300.0), _AMPERE),
    _card("nvidia-h100-80", "sm90", "NVIDIA-H100-80GB-HBM3", 79.65, _H100, 3.35, ("NVLink", 450.0), _HOPPER),
    _card("nvidia-h200-141", "sm90", "NVIDIA-H200", 140.4, _H100, 4.8, ("NVLink", 450.0), _HOPPER),
    _card(
        "nvidia-h20-96",
        "sm90",
        "NVIDIA-H20",
        95.58,
        {"bf16": 148.0, "fp8": 296.0, "int8": 296.0},
        4.0,
        ("NVLink", 450.0),
        _HOPPER,
    ),
    _card(
        "nvidia-h20-141",
        "sm90",
        "NVIDIA-H20-3e",
        139.72,
        {"bf16": 148.0, "fp8": 296.0, "int8": 296.0},
        4.8,
        ("NVLink", 450.0),
        _HOPPER,
    ),
    _card("nvidia-h800-80", "sm90", "NVIDIA-H800", 79.65, _H100, 3.35, ("NVLink", 200.0), _HOPPER),
    _card(
        "nvidia-b200-180",
        "sm100",
        "NVIDIA-B200",
        178.0,
        {"bf16": 2250.0, "fp8": 4500.0, "int8": 4500.0, "fp4": 9000.0},
        7.7,
        ("NVLink", 900.0),
        (BLACKWELL, HOPPER_FORMATS | {"nvfp4"}),
    ),
    _card(
        "nvidia-l40s-48",
        "sm89",
        "NVIDIA-L40S",
        44.99,
        {"bf16": 362.0, "fp8": 733.0, "int8": 733.0},
        0.864,
        ("PCIe", 32.0),
        _ADA,
    ),
    _card(
        "nvidia-rtx4090-24",
        "sm89",
        "NVIDIA-GeForce-RTX-4090",
        23.65,
        {"bf16": 165.0, "fp8": 330.0, "int8": 660.0},
        1.008,
        ("PCIe", 32.0),
        _ADA,
    ),
    _card(
        "nvidia-rtx3090-24",
        "sm86",
        "NVIDIA-GeForce-RTX-3090",
        23.58,
        {"bf16": 71.0, "int8": 284.0},
        0.936,
        ("PCIe", 32.0),
        _AMPERE,
    ),
    _card(
        "nvidia-a6000-48",
        "sm86",
        "NVIDIA-RTX-A6000",
        47.5,
        {"bf16": 155.0, "int8": 309.0},
        0.768,
        ("PCIe", 32.0),
        _AMPERE,
    ),
    _slice("nvidia-a100-mig-1g.10gb", "a100", "NVIDIA-A100-SXM4-80GB", "sm80", 9.5, 1 / 7, 56),
    _slice("nvidia-a100-mig-2g.20gb", "a100", "NVIDIA-A100-SXM4-80GB", "sm80", 19.5, 2 / 7, 24),
    _slice("nvidia-a100-mig-3g.40gb", "a100", "NVIDIA-A100-SXM4-80GB", "sm80", 39.25, 3 / 7, 16),
    _slice("nvidia-h100-mig-1g.10gb", "h100", "NVIDIA-H100-80GB-HBM3", "sm90", 9.5, 1 / 7, 56),
    _slice("nvidia-h100-mig-2g.20gb", "h100", "NVIDIA-H100-80GB-HBM3", "sm90", 19.5, 2 / 7, 24),
    _slice("nvidia-h100-mig-3g.40gb", "h100", "NVIDIA-H100-80GB-HBM3", "sm90", 39.25, 3 / 7, 16),
    _slice("nvidia-h200-mig-1g.18gb", "h200", "NVIDIA-H200", "sm90", 16.0, 1 / 7, 56),
    _slice("nvidia-h200-mig-3g.71gb", "h200", "NVIDIA-H200", "sm90", 69.0, 3 / 7, 16),
)
