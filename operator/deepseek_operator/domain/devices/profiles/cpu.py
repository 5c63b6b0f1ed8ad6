"""No accelerator at all: small models, tests and demonstrations, asked for by its own name and never a fallback.

Its memory is that of the pod, so 32 GiB is only what planning assumes; administrators override it. Peak and bandwidth
are those of one recent two-socket server, good to an order of magnitude.
"""

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles.profile import Collective, Profile

PROFILES = (
    Profile(
        accelerator=Accelerator(
            name="cpu",
            vendor="cpu",
            resource="cpu",
            memory_gib=32.0,
            peak_tflops={"fp32": 1.0, "bf16": 2.0},
            bandwidth_tb_s=0.2,
            per_node=1,
            interconnect="none",
            interconnect_gb_s=0.0,
            dtypes=frozenset({"fp32", "bf16"}),
            quantizations=frozenset({"int8"}),
        ),
        generation="x86-64",
        images={
            "builtin": "deepseek-operator.io/runtime:dev",
            "vllm": "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v{version}",
        },
        launchers={
            "builtin": ("python3", "-m"),
            "vllm": ("vllm", "serve"),
            "llama-factory": ("llamafactory-cli", "train"),
            "ms-swift": ("swift",),
            "deepspeed": ("torchrun",),
        },
        collective=Collective(library="gloo"),
        metrics=None,
        program_env={"vllm": (("VLLM_CPU_KVCACHE_SPACE", "4"),)},
        shared_memory_gib=1,
    ),
)
