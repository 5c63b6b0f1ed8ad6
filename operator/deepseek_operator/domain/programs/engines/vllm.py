"""vLLM: one OpenAI server per replica, its flags by release.

Flags, parsers, tokenizer modes and metric names of 0.18, 0.20, 0.25 and 0.33 are recorded from the released packages
and checked by a test. GPUs of a replica are tensor × pipeline × data; expert parallelism always spans tensor × data.
Several nodes need no Ray: all pods run the same command with their rank, all but the first without a server.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.engines import connections, instead, limits, options
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.group import worker_probes
from deepseek_operator.domain.programs.engines.probes import startup_probe, startup_seconds
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import LEADER, PORT, RANK, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import EngineMemory, Scope
from deepseek_operator.domain.values.command import Command, Metrics, Refusal, Signal, Variables, literal
from deepseek_operator.domain.values.version import Version, parse

PROGRAM = "vllm"
OLDEST = Version(0, 18)
"""The first release with a bounded drain (--shutdown-timeout) and the first whose names are recorded."""
NEEDED = {Dialect.V4: Version(0, 20), Dialect.V41: Version(0, 32)}
V4_SUMMER_RELEASES = ("0731", "0813", "dspark")
V4_SUMMER_NEEDED = Version(0, 25)
QUEUE_LIMIT_FROM = Version(0, 32)
FLASHINFER_VARIABLES_UNTIL = Version(0, 25)
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank may be."""
MASTER_PORT = "29501"
RPC_PORT = "13345"
KEY_VARIABLE = "VLLM_API_KEY"
"""In place of --api-key, which whoever lists the node's processes could read. /health and /metrics stay open without a key."""
TEMPLATES = "/vllm-workspace/examples"
"""Where the project's own image keeps its example chat templates."""

TOOL_PARSERS = {
    Dialect.R1: "deepseek_v3",
    Dialect.V3: "deepseek_v3",
    Dialect.V31: "deepseek_v31",
    Dialect.V32: "deepseek_v32",
    Dialect.V4: "deepseek_v4",
    Dialect.V41: "deepseek_v41",
}
REASONING_PARSERS = {
    Dialect.R1_DISTILL: "deepseek_r1",
    Dialect.R1: "deepseek_r1",
    Dialect.V31: "deepseek_v3",
    Dialect.V32: "deepseek_v3",
    Dialect.V4: "deepseek_v4",
    Dialect.V41: "deepseek_v41",
}
# V4.1's tokenizer is found from its checkpoint: no release has a mode of that name.
TOKENIZER_MODES = {Dialect.V32: "deepseek_v32", Dialect.V4: "deepseek_v4"}
KV_DTYPES = {"auto": "auto", "fp8": "fp8", "bf16": "bfloat16"}
TEMPLATED = {Dialect.R1: "r1", Dialect.V3: "v3", Dialect.V31: "v31"}


NAMES: Mapping[Signal, str] = {
    Signal.RUNNING: "vllm:num_requests_running",
    Signal.WAITING: "vllm:num_requests_waiting",
    Signal.KV_USAGE: "vllm:kv_cache_usage_perc",
    Signal.TIME_TO_FIRST_TOKEN: "vllm:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "vllm:inter_token_latency_seconds",
    Signal.END_TO_END_LATENCY: "vllm:e2e_request_latency_seconds",
    Signal.QUEUE_TIME: "vllm:request_queue_time_seconds",
    Signal.PROMPT_TOKENS: "vllm:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "vllm:generation_tokens_total",
    Signal.STEP_TOKENS: "vllm:generation_tokens_total",
    Signal.SUCCESSES: "vllm:request_success_total",
    # Of its HTTP server (prometheus-fastapi-instrumentator), without probes, which are GET.
    Signal.ANSWERS: 'http_requests_total{method="POST"}',
    Signal.ERRORS: 'http_requests_total{method="POST",status="5xx"}',
}
# Before the V1 engine's names: renamed, then removed.
_OLD_NAMES: Mapping[Signal, str] = {
    **NAMES,
    Signal.KV_USAGE: "vllm:gpu_cache_usage_perc",
    Signal.INTER_TOKEN_LATENCY: "vllm:time_per_output_token_seconds",
}
RENAMED = Version(0, 11)
FLAGS = Flags(
    owned=(
        Owned(("host", "port", "uds"), instead.ADDRESS),
        Owned(("ssl-*", "enable-ssl-refresh"), instead.PLAIN),
        Owned(("grpc", "headless", "api-server-count", "-asc"), "leave it out: every replica answers OpenAI's protocol"),
        Owned(("api-key",), instead.API_KEY, by_reference=True),
        Owned(("hf-token",), instead.KEY, by_reference=True),
        Owned(("served-model-name",), instead.NAME),
        Owned(("model", "hf-config-path", "tokenizer", "revision", "code-revision", "tokenizer-revision"), instead.MODEL),
        Owned(("max-model-len",), instead.LENGTH),
        Owned(("kv-cache-dtype",), instead.CACHE),
        Owned(("kv-cache-memory-bytes", "num-gpu-blocks-override"), f"{instead.SLOTS}; --gpu-memory-utilization is counted"),
        Owned(("quantization", "-q", "quantization-config"), instead.FORMAT),
        Owned(("dtype",), instead.TYPE, harmless=("auto", "bfloat16", "float16", "half")),
        Owned(("tensor-parallel-size", "-tp"), instead.TENSOR),
        Owned(("pipeline-parallel-size", "-pp"), instead.PIPELINE),
        Owned(("data-parallel-*", "-dp", "-dpn", "-dpr", "-dpl", "-dpa", "-dpp", "-dpb", "-dph", "-dpe", "-dpm"), instead.DATA),
        Owned(("enable-expert-parallel", "-ep"), instead.EXPERT),
        Owned(("prefill-context-parallel-size", "-pcp"), "leave it out: it takes more devices than the layout has"),
        Owned(("nnodes", "-n", "node-rank", "-r", "master-addr", "master-port"), instead.NODES),
        Owned(("device-ids",), instead.DEVICES),
        Owned(("lora-modules",), instead.ADAPTERS),
        Owned(("shutdown-timeout",), instead.DRAIN),
        Owned(("disable-log-stats",), instead.METRICS),
        Owned(("engram-config",), "leave it out: where the n-gram tables lie is counted"),
        Owned(("config",), instead.FILE),
    ),
    read=MappingProxyType(
        {
            "gpu-memory-utilization": "memory_fraction",
            "device-memory-utilization": "memory_fraction",
            "max-num-batched-tokens": "step_tokens",
            "max-loras": "adapter_slots",
            "max-lora-rank": "adapter_rank",
            "max-num-seqs": "running",
            "max-num-queued-reqs": "waiting",
            "speculative-config": "speculation",
            "-sc": "speculation",
            "spec-method": "speculation",
            "spec-model": "speculation",
            "spec-tokens": "speculation",
            "cpu-offload-gb": "offload_gib",
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
        "middleware",
    ),
    variables=(
        Owned(("VLLM_HOST_IP", "HOST_IP", "VLLM_PORT", "VLLM_RPC_PORT"), "leave it out: a replica's inner addresses are its own"),
        Owned((KEY_VARIABLE,), instead.API_KEY, by_reference=True),
        Owned(("VLLM_DP_*",), instead.DATA),
        Owned(("VLLM_PP_LAYER_PARTITION",), "leave it out: which layers a stage holds is counted"),
        *instead.DEVICE_VARIABLES,
    ),
)  # fmt: skip
OPTIONS: options.Options = {
    options.MAX_SEQUENCES: options.elsewhere,
    options.MAX_BATCHED_TOKENS: options.taking("--max-num-batched-tokens"),
    options.PREFIX_CACHING: options.switching(("--enable-prefix-caching",), ("--no-enable-prefix-caching",)),
    options.CHUNKED_PREFILL: options.switching(("--enable-chunked-prefill",), ("--no-enable-chunked-prefill",)),
    options.SPECULATIVE_TOKENS: lambda tokens: (
        "--speculative-config",
        json.dumps({"method": "mtp", "num_speculative_tokens": tokens}),
    ),
    options.TOOL_PARSER: lambda name: ("--enable-auto-tool-choice", "--tool-call-parser", literal(str(name))),
    options.REASONING_PARSER: options.taking("--reasoning-parser"),
    options.CPU_OFFLOAD: options.taking("--cpu-offload-gb"),
    options.MEMORY_SHARE: options.taking("--gpu-memory-utilization"),
}
MEMORY = EngineMemory("vllm", 0.92, Scope.DEVICE, 8192, 1.02, pages_compressed=True, keeps_slots=True)
"""gpu_memory_utilization is 0.92 since 0.22, 0.9 before; weights took 1.010 and 1.014 times the disk, measured."""


def names(version: Version) -> Mapping[Signal, str]:
    """Return its metrics' names at a release."""
    return NAMES if version >= RENAMED else _OLD_NAMES


def build(asked: EngineRequest) -> Command | Refusal:
    """Return the command of one replica, or why there is none."""
    version = parse(asked.version)
    return _refusal(asked, version) or _command(asked, version)


def _command(asked: EngineRequest, version: Version) -> Command:
    base = (
        *asked.profile.launchers[PROGRAM],
        literal(asked.path),
        *_serving(asked, version),
        *_model(asked),
        *_degrees(asked),
        *options.words(OPTIONS, asked.options),
        *asked.extra_args,
    )
    args, worker_args = _across_nodes(asked, connections.finding(base))
    built = replica(asked, args, _env(asked, version), Metrics("/metrics", PORT, names(version)))
    # Headless, a worker has no server.
    workers = worker_probes(asked, startup_probe(asked, "/health")) if asked.nodes > 1 else None
    return replace(
        built,
        worker_args=worker_args,
        worker_probes=workers,
        files={connections.MODULE: connections.TEXT},
        warnings=tuple(_warnings(asked)),
    )


def _refusal(asked: EngineRequest, version: Version) -> Refusal | None:
    return (
        _too_old(asked, version)
        or limits.no_compressed_attention("vLLM", asked)
        or _unsupported(asked)
        or limits.prompt_adapter_refusal("vLLM", asked)
        or limits.expert_adapter_refusal("vLLM", asked)
        or limits.latent_adapter_refusal("vLLM", asked)
        or limits.too_wide("vLLM", asked, LORA_RANKS[-1])
        or limits.refusal(PROGRAM, asked, FLAGS)
        or limits.option_refusal("vLLM", asked, FLAGS, OPTIONS)
        or _key(asked)
        or _layout(asked)
        or _queue(asked, version)
    )


def _too_old(asked: EngineRequest, version: Version) -> Refusal | None:
    needed = max(OLDEST, NEEDED.get(asked.dialect, OLDEST))
    if asked.dialect is Dialect.V4 and any(word in asked.path.casefold() for word in V4_SUMMER_RELEASES):
        needed = max(needed, V4_SUMMER_NEEDED)
    return limits.too_old("vLLM", asked, version, needed)


def _unsupported(asked: EngineRequest) -> Refusal | None:
    vendor, speaks = asked.profile.vendor, asked.dialect
    if speaks in (Dialect.V32, Dialect.V4, Dialect.V41) and vendor in ("intel", "cpu"):
        return Refusal(f"vLLM has no sparse attention for {asked.profile.name}, which {asked.model} needs",
                       "write model deepseek-v3.1, or an NVIDIA accelerator")  # fmt: skip
    if asked.kv_dtype == "bf16" and speaks in (Dialect.V4, Dialect.V41):
        return Refusal(f"vLLM keeps the compressed KV cache of {asked.model} in FP8",
                       "write kvCacheDtype auto, or engine.type sglang")  # fmt: skip
    if asked.storage == "w4a8":
        return Refusal("vLLM reads no w4a8 (int4 weights, fp8 activations) DeepSeek checkpoints",
                       "write engine.type sglang, or quantization awq")  # fmt: skip
    return None


def _key(asked: EngineRequest) -> Refusal | None:
    """Refuse a key by hand beside the field's: one of both would be taken, and nobody but vLLM knows which."""
    flags = (word.partition("=")[0].replace("_", "-") for word in asked.extra_args if word.startswith("--"))
    by_hand = [flag for flag in flags if len(flag) > len("--api-") and "--api-key".startswith(flag)]
    by_hand += [name for name, _ in asked.extra_env if name == KEY_VARIABLE]
    if asked.api_key_variable is None or not by_hand:
        return None
    return Refusal(
        f"engine.args or engine.env say a key by {by_hand[0]}, which engine.apiKey says", "write engine.apiKey alone"
    )


def _layout(asked: EngineRequest) -> Refusal | None:
    layout = asked.layout
    spans = layout.tensor * layout.data
    if layout.expert not in (1, spans):
        return Refusal(f"vLLM spreads experts over tensor × data = {spans} ranks, not {layout.expert}",
                       f"write expert: {spans} or 1")  # fmt: skip
    inside = layout.tensor * layout.pipeline
    if layout.data > 1 and asked.nodes > 1 and (inside > asked.devices_per_node or layout.data % asked.nodes):
        return Refusal(
            f"a data-parallel rank of tensor {layout.tensor} × pipeline {layout.pipeline} does not fit whole into "
            f"the {asked.devices_per_node} devices of one of {asked.nodes} nodes",
            f"write tensor × pipeline that divides {asked.devices_per_node}, or data: 1",
        )
    return None


def _queue(asked: EngineRequest, version: Version) -> Refusal | None:
    if asked.queue_limit is not None and version < QUEUE_LIMIT_FROM:
        return Refusal(f"vLLM {version} can't bound its queue to {asked.queue_limit}",
                       f"write engine.version {QUEUE_LIMIT_FROM} or newer, or leave queueLimit out")  # fmt: skip
    return None


def _serving(asked: EngineRequest, version: Version) -> tuple[str, ...]:
    args = ["--host", "0.0.0.0", "--port", str(PORT), "--served-model-name"]
    args += [literal(name) for name in (asked.served_name, *asked.aliases)]
    args += ["--shutdown-timeout", str(asked.drain_seconds), "--middleware", connections.MIDDLEWARE]
    if asked.max_model_length is not None:
        args += ["--max-model-len", str(asked.max_model_length)]
    if asked.max_concurrency is not None:
        args += ["--max-num-seqs", str(-(-asked.max_concurrency // asked.layout.data))]
    if asked.queue_limit is not None and version >= QUEUE_LIMIT_FROM:
        args += ["--max-num-queued-reqs", str(asked.queue_limit)]
    if asked.memory_fraction is not None:
        args += ["--gpu-memory-utilization", f"{asked.memory_fraction:g}"]
    if asked.adapters:
        args += ["--enable-lora", "--max-lora-rank", str(_lora_rank(asked)), "--max-loras", str(len(asked.adapters))]
        args += ["--lora-modules", *(literal(f"{adapter.name}={adapter.path}") for adapter in asked.adapters)]
    return tuple(args)


def _lora_rank(asked: EngineRequest) -> int:
    return next(rank for rank in LORA_RANKS if rank >= max(adapter.rank for adapter in asked.adapters))


def _model(asked: EngineRequest) -> tuple[str, ...]:
    speaks = asked.dialect
    args: list[str] = ["--trust-remote-code"] if asked.trust_remote_code else []
    if asked.storage == "fp8" and asked.architecture.native_format == "bf16":
        args += ["--quantization", "fp8"]  # bf16 weights, rounded while loading
    if asked.storage == "int8" and asked.profile.vendor == "huawei":
        args += ["--quantization", "ascend"]
    if speaks in TOKENIZER_MODES:
        args += ["--tokenizer-mode", TOKENIZER_MODES[speaks]]
    if speaks is Dialect.V4:
        args += ["--kv-cache-dtype", "fp8", "--block-size", "256"]
    elif asked.kv_dtype != "auto":
        args += ["--kv-cache-dtype", KV_DTYPES[asked.kv_dtype]]
    if speaks is Dialect.V4 and asked.profile.generation == "sm100":
        args += ["--moe-backend", "deep_gemm_mega_moe"]
    if speaks is Dialect.V41:
        args += ["--engram-config", '{"cpu_offload": true}']
    return (*args, *_parsers(asked))


def _parsers(asked: EngineRequest) -> tuple[str, ...]:
    speaks = asked.dialect
    is_known = speaks in REASONING_PARSERS and options.REASONING_PARSER not in asked.options
    args = ["--reasoning-parser", REASONING_PARSERS[speaks]] if is_known else []
    if asked.tool_calls and speaks in TOOL_PARSERS:
        args += ["--enable-auto-tool-choice", "--tool-call-parser", TOOL_PARSERS[speaks]]
        if speaks in TEMPLATED:
            args += ["--chat-template", f"{TEMPLATES}/tool_chat_template_deepseek{TEMPLATED[speaks]}.jinja"]
    return tuple(args)


def _degrees(asked: EngineRequest) -> tuple[str, ...]:
    layout = asked.layout
    degrees = (
        ("--tensor-parallel-size", layout.tensor),
        ("--pipeline-parallel-size", layout.pipeline),
        ("--data-parallel-size", layout.data),
    )
    args = tuple(word for flag, degree in degrees if degree > 1 for word in (flag, str(degree)))
    return (*args, "--enable-expert-parallel") if layout.expert > 1 else args


def _across_nodes(asked: EngineRequest, base: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    if asked.nodes == 1:
        return base, None
    if asked.layout.data == 1:
        args = (*base, "--nnodes", str(asked.nodes), "--node-rank", RANK)
        args = (*args, "--master-addr", LEADER, "--master-port", MASTER_PORT)
        # Said aloud: elsewhere than on CUDA, releases may pick Ray by themselves where it is installed.
        args = (*args, "--distributed-executor-backend", "mp")
        return args, (*args, "--headless")
    local = asked.layout.data // asked.nodes
    args = (*base, "--data-parallel-size-local", str(local), "--data-parallel-address", LEADER)
    args = (*args, "--data-parallel-rpc-port", RPC_PORT)
    # A node's first rank is its index times the ranks per node. Kubernetes substitutes but does not multiply, so a
    # shell does; the command itself reaches it as arguments, never as script text.
    script = f'exec "$@" --headless --data-parallel-start-rank "$((LWS_WORKER_INDEX * {local}))"'
    return args, ("sh", "-c", script, "sh", *args)


def _env(asked: EngineRequest, version: Version) -> Variables:
    budget = startup_seconds(asked.weights_bytes, asked.load_bytes_per_second)
    own: list[tuple[str, str]] = [("VLLM_ENGINE_READY_TIMEOUT_S", str(budget)), ("VLLM_NO_USAGE_STATS", "1")]
    if asked.api_key_variable is not None:
        own.append((KEY_VARIABLE, f"$({asked.api_key_variable})"))
    if asked.nodes > 1:
        own.append(("VLLM_HOST_IP", "$(POD_IP)"))
    if asked.is_moe and version < FLASHINFER_VARIABLES_UNTIL:
        if asked.storage == "fp8" and asked.profile.generation == "sm90":
            own.append(("VLLM_USE_FLASHINFER_MOE_FP8", "1"))
        if asked.storage == "nvfp4":
            own.append(("VLLM_USE_FLASHINFER_MOE_FP4", "1"))
    if asked.dialect is Dialect.V32 and asked.profile.name.startswith("nvidia-h20-"):
        own.append(("VLLM_USE_DEEP_GEMM", "0"))
    return (*asked.profile.variables(PROGRAM, asked.nodes), *own)


def _warnings(asked: EngineRequest) -> list[str]:
    warnings = []
    if asked.architecture.replicates_kv and asked.layout.tensor > 1 and asked.layout.data == 1:
        warnings.append(
            f"every one of the {asked.layout.tensor} tensor ranks holds the whole KV cache; "
            f"data: {asked.layout.tensor} with expert: {asked.layout.tensor} holds that many times more tokens"
        )
    if asked.tool_calls and asked.dialect not in TOOL_PARSERS:
        warnings.append(f"vLLM has no tool-call parser for {asked.model}: tool calls come back as text")
    if asked.dialect is Dialect.V41:
        warnings.append("the n-gram tables lie in host memory: ask for 189 GiB of it beside the devices")
    return warnings


ENTRY = EngineEntry(
    type=PROGRAM,
    title="vLLM",
    version="0.33.0",
    oldest=OLDEST,
    start=Start.BUILT,
    memory=MEMORY,
    metrics=names,
    build=build,
    flags=FLAGS,
    options=OPTIONS,
    tool_parsers=TOOL_PARSERS,
    takes_key=True,
    is_offered=True,
)
