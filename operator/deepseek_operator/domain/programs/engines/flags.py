"""The flags and variables by which an engine would overrule the operator, and what to write instead: one table per engine.

Validation, sizing and the README's table come from here. vLLM's and SGLang's names are checked against the recorded
releases; those of TensorRT-LLM and Triton are of their manuals.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from deepseek_operator.domain.programs.engines.arguments import Flags, Owned
from deepseek_operator.domain.programs.engines.request import PORT

_ADDRESS = f"leave it out: probes, metrics and the Service use port {PORT} of the pod"
_PLAIN = "leave it out: probes and metrics speak plain HTTP to the pod; TLS belongs to the gateway in front"
_KEY = (
    "leave the key out, since whoever may read the resource could read it: give a variable from a Secret, or let the "
    "gateway in front check keys"
)
_NAME = "write model.name"
_MODEL = "write model.source or model.fromTraining, which lie at /model with their tokenizer"
_LENGTH = "write engine.maxModelLength"
_CACHE = "write engine.kvCacheDtype"
_FORMAT = "write model.quantization, by which the weights are counted"
_TYPE = "write model.quantization: bf16 or fp16 (32-bit weights are not what was counted)"
_TENSOR = "write parallelism.tensor"
_PIPELINE = "write parallelism.pipeline"
_DATA = "write parallelism.data"
_EXPERT = "leave it out: how experts lie on the devices follows from parallelism.tensor and parallelism.data"
_NODES = "leave it out: one replica is one pod"
_DRAIN = "write pod.terminationGracePeriodSeconds"
_METRICS = "leave it out: scaling and dashboards read the engine's metrics, which are always on"
_FILE = "write its lines as engine.args: flags in a file can't be checked"
_SLOTS = "leave it out: the cache gets what the weights leave"
_DEVICES = "write accelerator.perNode: the pod sees the devices that it was given"

_DEVICE_VARIABLES = (
    Owned(
        (
            "CUDA_VISIBLE_DEVICES",
            "NVIDIA_VISIBLE_DEVICES",
            "HIP_VISIBLE_DEVICES",
            "ROCR_VISIBLE_DEVICES",
            "ASCEND_RT_VISIBLE_DEVICES",
            "HABANA_VISIBLE_DEVICES",
            "HABANA_VISIBLE_MODULES",
            "ZE_AFFINITY_MASK",
        ),
        _DEVICES,
    ),
    Owned(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "write parallelism: ranks follow from the layout"),
)

VLLM = Flags(
    owned=(
        Owned(("host", "port", "uds"), _ADDRESS),
        Owned(("ssl-*", "enable-ssl-refresh"), _PLAIN),
        Owned(("grpc", "headless", "api-server-count", "-asc"), "leave it out: every replica answers OpenAI's protocol"),
        Owned(("api-key",), _KEY, by_reference=True),
        Owned(("hf-token",), _KEY, by_reference=True),
        Owned(("served-model-name",), _NAME),
        Owned(("model", "model-tag", "tokenizer", "revision", "code-revision", "tokenizer-revision"), _MODEL),
        Owned(("max-model-len",), _LENGTH),
        Owned(("kv-cache-dtype",), _CACHE),
        Owned(("kv-cache-memory-bytes", "num-gpu-blocks-override"), f"{_SLOTS}; --gpu-memory-utilization is counted"),
        Owned(("quantization", "-q", "quantization-config"), _FORMAT),
        Owned(("dtype",), _TYPE, harmless=("auto", "bfloat16", "float16", "half")),
        Owned(("tensor-parallel-size", "-tp"), _TENSOR),
        Owned(("pipeline-parallel-size", "-pp"), _PIPELINE),
        Owned(("data-parallel-*", "-dp", "-dpn", "-dpr", "-dpl", "-dpa", "-dpp", "-dpb", "-dph", "-dpe", "-dpm"), _DATA),
        Owned(("enable-expert-parallel", "-ep"), _EXPERT),
        Owned(("prefill-context-parallel-size", "-pcp"), "leave it out: it takes more devices than the layout has"),
        Owned(("nnodes", "-n", "node-rank", "-r", "master-addr", "master-port"), _NODES),
        Owned(("device-ids",), _DEVICES),
        Owned(("shutdown-timeout",), _DRAIN),
        Owned(("disable-log-stats",), _METRICS),
        Owned(("engram-config",), "leave it out: where the n-gram tables lie is counted"),
        Owned(("config",), _FILE),
    ),
    read=MappingProxyType(
        {
            "gpu-memory-utilization": "memory_fraction",
            "device-memory-utilization": "memory_fraction",
            "max-num-batched-tokens": "step_tokens",
            "max-num-seqs": "running",
            "max-num-queued-reqs": "waiting",
            "speculative-config": "speculation",
            "spec-method": "speculation",
            "spec-model": "speculation",
            "spec-tokens": "speculation",
        }
    ),
    overrides=("hf-overrides",),
    yielding=(
        "reasoning-parser",
        "tool-call-parser",
        "enable-auto-tool-choice",
        "chat-template",
        "tokenizer-mode",
        "block-size",
        "moe-backend",
        "trust-remote-code",
        "distributed-executor-backend",
        "enable-lora",
        "max-lora-rank",
        "max-loras",
        "lora-modules",
    ),
    variables=(
        Owned(("VLLM_HOST_IP", "HOST_IP", "VLLM_PORT", "VLLM_RPC_PORT"), "leave it out: a replica's inner addresses are its own"),
        Owned(("VLLM_API_KEY",), _KEY, by_reference=True),
        Owned(("VLLM_DP_*",), _DATA),
        Owned(("VLLM_PP_LAYER_PARTITION",), "leave it out: which layers a stage holds is counted"),
        *_DEVICE_VARIABLES,
    ),
)  # fmt: skip

SGLANG = Flags(
    owned=(
        Owned(("host", "port"), _ADDRESS),
        Owned(("ssl-*", "enable-ssl-refresh"), _PLAIN),
        Owned(("grpc-mode", "smg-grpc-mode", "encoder-only"), "leave it out: every replica answers OpenAI's protocol"),
        Owned(("api-key", "admin-api-key"), _KEY, by_reference=True),
        Owned(("served-model-name",), _NAME),
        Owned(("model-path", "model", "tokenizer-path", "revision"), _MODEL),
        Owned(("context-length",), _LENGTH),
        Owned(("kv-cache-dtype",), _CACHE),
        Owned(("max-total-tokens",), f"{_SLOTS}; --mem-fraction-static is counted"),
        Owned(("quantization", "quantization-param-path", "modelopt-quant", "torchao-config"), _FORMAT),
        Owned(("dtype",), _TYPE, harmless=("auto", "bfloat16", "float16", "half")),
        Owned(("tp-size", "tensor-parallel-size"), _TENSOR),
        Owned(("pp-size", "pipeline-parallel-size"), _PIPELINE),
        Owned(
            ("dp-size", "data-parallel-size", "attn-dp-size", "attention-data-parallel-size", "enable-dp-attention"), _DATA
        ),
        Owned(("ep-size", "expert-parallel-size", "ep", "moe-dp-size", "moe-data-parallel-size"), _EXPERT),
        Owned(("attn-cp-size", "attention-context-parallel-size"), "leave it out: it cuts the tensor ranks anew"),
        Owned(("nnodes", "node-rank", "dist-init-addr", "nccl-init-addr"), _NODES),
        Owned(("base-gpu-id", "gpu-id-step"), _DEVICES),
        Owned(("enable-metrics",), _METRICS),
        Owned(("config",), _FILE),
    ),
    read=MappingProxyType(
        {
            "mem-fraction-static": "memory_fraction",
            "chunked-prefill-size": "step_tokens",
            "max-running-requests": "running",
            "max-queued-requests": "waiting",
            "speculative-algorithm": "speculation",
        }
    ),
    overrides=("json-model-override-args",),
    yielding=(
        "reasoning-parser", "tool-call-parser", "trust-remote-code", "device", "attention-backend", "enable-lora",
        "lora-paths", "chat-template", "tokenizer-mode", "tokenizer-worker-num", "tokenizer-backend",
    ),
    variables=(
        Owned(("SGLANG_HOST_IP", "HOST_IP", "SGLANG_PORT", "SGLANG_GRPC_PORT"), "leave it out: a replica's inner addresses are its own"),
        Owned(("SGLANG_API_KEY",), _KEY, by_reference=True),
        Owned(("SGLANG_HEALTH_CHECK_TIMEOUT", "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"), "leave it out: probes are timed by it"),
        *_DEVICE_VARIABLES,
    ),
)  # fmt: skip

TENSORRT_LLM = Flags(
    owned=(
        Owned(("host", "port", "metadata-server-config-file"), _ADDRESS),
        Owned(("served-model-name",), _NAME),
        Owned(("model", "tokenizer", "revision", "hf-revision"), _MODEL),
        Owned(("max-seq-len",), _LENGTH),
        Owned(("kv-cache-dtype",), _CACHE),
        Owned(("tp-size",), _TENSOR),
        Owned(("pp-size",), _PIPELINE),
        Owned(("ep-size", "moe-cluster-parallel-size", "cluster-size"), _EXPERT),
        Owned(("cp-size",), "leave it out: it takes more devices than the layout has"),
        Owned(("gpus-per-node",), _DEVICES),
        Owned(("backend",), "leave it out: the PyTorch backend is the one that needs no built engine"),
        Owned(("extra-llm-api-options", "config"), _FILE),
        Owned(("extra-encoders-config", "server-role"), "leave it out: every replica answers OpenAI's protocol"),
    ),
    read=MappingProxyType(
        {
            "kv-cache-free-gpu-memory-fraction": "memory_fraction",
            "free-gpu-memory-fraction": "memory_fraction",
            "max-num-tokens": "step_tokens",
            "max-batch-size": "running",
        }
    ),
    yielding=("trust-remote-code", "reasoning-parser", "tool-parser"),
    variables=_DEVICE_VARIABLES,
)

TRITON = Flags(
    owned=(
        Owned(("http-port", "http-address", "grpc-port", "grpc-address", "metrics-port", "metrics-address"), _ADDRESS),
        Owned(("allow-http", "allow-metrics"), _METRICS),
        Owned(("model-repository", "model-store", "model-control-mode", "load-model"), _MODEL),
        Owned(("exit-timeout-secs",), _DRAIN),
    ),
    variables=_DEVICE_VARIABLES,
)

FLAGS: Mapping[str, Flags] = MappingProxyType(
    {
        "vllm": VLLM,
        "sglang": SGLANG,
        "tensorrt-llm": TENSORRT_LLM,
        "triton-vllm": TRITON,
        "triton-tensorrtllm": TRITON,
    }
)
"""Every engine that takes arguments of the user's own, by name."""


def table(*programs: str) -> str:
    """Markdown: what each engine's flags and variables decide, and what to write instead."""
    lines = ["| engine | in `engine.args` or `engine.env` | instead |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for program in programs for row in _rows(program))]) + "\n"


def _rows(program: str) -> Iterator[tuple[str, str, str]]:
    flags = FLAGS[program]
    for owned in flags.owned:
        yield program, _code(name if name.startswith("-") else f"--{name}" for name in owned.names), owned.instead
    for owned in flags.variables:
        yield program, _code(owned.names), owned.instead
    yield program, _code(f"--{name}" for name in flags.overrides), "fields that sizing reads are refused, others pass"
    yield program, _code(f"--{name}" for name in flags.read), "taken: sizing and scaling count with it"


def _code(names: "Iterator[str] | tuple[str, ...]") -> str:
    return ", ".join(f"`{name}`" for name in names)
