"""SGLang: its server listens on loopback without metrics unless told otherwise, and counts attention data ranks inside TP.

Flags and names of 0.5.13 and 0.5.23 are recorded from the released packages and checked by a test. For models whose KV
cache can't be split (MLA and later), ``data`` ranks become attention data parallelism: --tp-size is then tensor × data.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.engines import instead, limits, options
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.probes import startup_probe
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import LEADER, PORT, RANK, AdapterKind, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import EngineMemory, Scope
from deepseek_operator.domain.values.command import Command, Metrics, Probe, Probes, Refusal, Signal, literal
from deepseek_operator.domain.values.version import Version, parse

PROGRAM = "sglang"
OLDEST = Version(0, 5, 13)
NEEDED = {Dialect.V41: Version(0, 5, 23)}
ATTENTION_DATA_FLAG_FROM = Version(0, 5, 23)
READY_PATH_FROM = Version(0, 5, 23)
INIT_PORT = 20000
HEALTH_TIMEOUT_SECONDS = 25
"""Idle, /health generates a token and may take SGLANG_HEALTH_CHECK_TIMEOUT (20 s) to give up: that finds a hang."""

TOOL_PARSERS = {
    Dialect.R1: "deepseekv3",
    Dialect.V3: "deepseekv3",
    Dialect.V31: "deepseekv31",
    Dialect.V32: "deepseekv32",
    Dialect.V4: "deepseekv4",
    Dialect.V41: "deepseekv41",
}
REASONING_PARSERS = {
    Dialect.R1_DISTILL: "deepseek-r1",
    Dialect.R1: "deepseek-r1",
    Dialect.V31: "deepseek-v3",
    Dialect.V32: "deepseek-v3",
    Dialect.V4: "deepseek-v4",
    Dialect.V41: "deepseek-v41",
}
# Checkpoints whose own config does not name their format.
QUANTIZATIONS = {"int8": "w8a8_int8", "w4a8": "w4afp8"}
KV_DTYPES = {"auto": "auto", "fp8": "fp8_e4m3", "bf16": "bfloat16"}


NAMES: Mapping[Signal, str] = {
    Signal.RUNNING: "sglang:num_running_reqs",
    Signal.WAITING: "sglang:num_queue_reqs",
    Signal.KV_USAGE: "sglang:token_usage",
    Signal.TIME_TO_FIRST_TOKEN: "sglang:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "sglang:inter_token_latency_seconds",
    Signal.END_TO_END_LATENCY: "sglang:e2e_request_latency_seconds",
    Signal.QUEUE_TIME: "sglang:queue_time_seconds",
    Signal.PROMPT_TOKENS: "sglang:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "sglang:generation_tokens_total",
    # The count above moves when an answer is over (observe_one_finished_request); this one with every step, prompts too.
    Signal.STEP_TOKENS: "sglang:realtime_tokens_total",
    Signal.SUCCESSES: "sglang:num_requests_total",
    Signal.ANSWERS: 'sglang:http_responses_total{method="POST"}',
    Signal.ERRORS: 'sglang:http_responses_total{method="POST",status_code=~"5.."}',
}
"""Unchanged over all releases that are supported."""
FLAGS = Flags(
    owned=(
        Owned(("host", "port"), instead.ADDRESS),
        Owned(("ssl-*", "enable-ssl-refresh"), instead.PLAIN),
        Owned(("grpc-mode", "smg-grpc-mode", "encoder-only"), "leave it out: every replica answers OpenAI's protocol"),
        Owned(("api-key", "admin-api-key"), instead.KEY, by_reference=True),
        Owned(("served-model-name",), instead.NAME),
        Owned(("model-path", "model", "tokenizer-path", "revision"), instead.MODEL),
        Owned(("context-length",), instead.LENGTH),
        Owned(("kv-cache-dtype",), instead.CACHE),
        Owned(("max-total-tokens",), f"{instead.SLOTS}; --mem-fraction-static is counted"),
        Owned(("quantization", "quantization-param-path", "modelopt-quant", "torchao-config"), instead.FORMAT),
        Owned(("dtype",), instead.TYPE, harmless=("auto", "bfloat16", "float16", "half")),
        Owned(("tp-size", "tensor-parallel-size"), instead.TENSOR),
        Owned(("pp-size", "pipeline-parallel-size"), instead.PIPELINE),
        Owned(
            ("dp-size", "data-parallel-size", "attn-dp-size", "attention-data-parallel-size", "enable-dp-attention"), instead.DATA
        ),
        Owned(("ep-size", "expert-parallel-size", "ep", "moe-dp-size", "moe-data-parallel-size"), instead.EXPERT),
        Owned(("attn-cp-size", "attention-context-parallel-size"), "leave it out: it cuts the tensor ranks anew"),
        Owned(("nnodes", "node-rank", "dist-init-addr", "nccl-init-addr"), instead.NODES),
        Owned(("base-gpu-id", "gpu-id-step"), instead.DEVICES),
        Owned(("lora-paths",), instead.ADAPTERS),
        Owned(("enable-metrics",), instead.METRICS),
        Owned(("config",), instead.FILE),
    ),
    read=MappingProxyType(
        {
            "mem-fraction-static": "memory_fraction",
            "chunked-prefill-size": "step_tokens",
            "max-running-requests": "running",
            "max-queued-requests": "waiting",
            "speculative-algorithm": "speculation",
            "cpu-offload-gb": "offload_gib",
        }
    ),
    overrides=("json-model-override-args",),
    yielding=(
        "reasoning-parser", "tool-call-parser", "trust-remote-code", "device", "attention-backend", "enable-lora",
        "chat-template", "tokenizer-mode", "tokenizer-worker-num", "tokenizer-backend",
    ),
    variables=(
        Owned(("SGLANG_HOST_IP", "HOST_IP", "SGLANG_PORT", "SGLANG_GRPC_PORT"), "leave it out: a replica's inner addresses are its own"),
        Owned(("SGLANG_API_KEY",), instead.KEY, by_reference=True),
        Owned(("SGLANG_HEALTH_CHECK_TIMEOUT", "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"), "leave it out: probes are timed by it"),
        *instead.DEVICE_VARIABLES,
    ),
)  # fmt: skip
OPTIONS: options.Options = {
    options.MAX_SEQUENCES: options.elsewhere,
    options.MAX_BATCHED_TOKENS: options.taking("--chunked-prefill-size"),
    options.PREFIX_CACHING: options.switching((), ("--disable-radix-cache",)),
    options.CHUNKED_PREFILL: options.switching((), ("--chunked-prefill-size", "-1")),
    # One draft after the other, as many as tokens are guessed, and the token that is certain.
    options.SPECULATIVE_TOKENS: lambda tokens: (
        *("--speculative-algorithm", "NEXTN", "--speculative-num-steps", str(tokens), "--speculative-eagle-topk", "1"),
        *("--speculative-num-draft-tokens", str(int(tokens) + 1)),
    ),
    options.TOOL_PARSER: options.taking("--tool-call-parser"),
    options.REASONING_PARSER: options.taking("--reasoning-parser"),
    options.CPU_OFFLOAD: options.taking("--cpu-offload-gb"),
    options.MEMORY_SHARE: options.taking("--mem-fraction-static"),
}
MEMORY = EngineMemory("sglang", 0.88, Scope.STATIC, 8192, 1.02)
"""mem_fraction_static; the rest must hold graphs and the step's working set."""


def build(asked: EngineRequest) -> Command | Refusal:
    """Return the command of one replica, or why there is none."""
    version = parse(asked.version)
    return _refusal(asked, version) or _command(asked, version)


def _command(asked: EngineRequest, version: Version) -> Command:
    args = (
        *asked.profile.launchers[PROGRAM],
        *_serving(asked),
        *_model(asked),
        *_degrees(asked, version),
        *_nodes(asked),
        *options.words(OPTIONS, asked.options),
        *asked.extra_args,
    )
    published = Metrics("/metrics", PORT, NAMES)
    startup = startup_probe(asked, "/health")
    liveness = Probe("/health", PORT, 30, 3, HEALTH_TIMEOUT_SECONDS)
    # Pods other than the first answer /health alone, without a model behind it.
    workers = Probes(startup, liveness, None) if asked.nodes > 1 else None
    # It drains until the last request is done, however long that takes: the grace period is the bound.
    return replace(
        replica(asked, args, asked.profile.variables(PROGRAM, asked.nodes), published),
        probes=Probes(startup, liveness, _readiness(version)),
        worker_probes=workers,
    )


def _readiness(version: Version) -> Probe:
    if version >= READY_PATH_FROM:
        return Probe("/ready", PORT, 5, 2)
    return Probe("/health", PORT, 5, 2, HEALTH_TIMEOUT_SECONDS)


def _refusal(asked: EngineRequest, version: Version) -> Refusal | None:
    needed = max(OLDEST, NEEDED.get(asked.dialect, OLDEST))
    return (
        limits.too_old("SGLang", asked, version, needed)
        or limits.no_compressed_attention("SGLang", asked)
        or limits.prompt_adapter_refusal("SGLang", asked)
        or limits.expert_adapter_refusal("SGLang", asked)
        or limits.refusal(PROGRAM, asked, FLAGS)
        or limits.option_refusal("SGLang", asked, FLAGS, OPTIONS)
        or _key(asked)
        or _layout(asked)
    )


def _key(asked: EngineRequest) -> Refusal | None:
    """It reads a key from its arguments alone, and begins its log with all of them (`ServerArgs.__repr__`, 0.5.13 and 0.5.23)."""
    if asked.api_key_variable is None:
        return None
    return Refusal("SGLang takes its key as an argument, and writes it into its log",
                   "leave engine.apiKey out and let the gateway check keys (gateway.auth), or write engine.type vllm")  # fmt: skip


def _layout(asked: EngineRequest) -> Refusal | None:
    layout = asked.layout
    ranks = _tensor_ranks(asked)
    if layout.expert > 1 and ranks % layout.expert:
        return Refusal(f"SGLang spreads experts over a divisor of its {ranks} tensor ranks, not {layout.expert}",
                       f"write expert: {ranks}")  # fmt: skip
    if layout.data > 1 and layout.pipeline > 1 and asked.architecture.replicates_kv:
        return Refusal("SGLang runs attention data parallelism inside one pipeline stage only",
                       "write pipeline: 1 and more tensor or data ranks")  # fmt: skip
    return None


def _tensor_ranks(asked: EngineRequest) -> int:
    """What SGLang calls tp: attention data ranks are counted inside it, independent replicas are not."""
    return asked.layout.tensor * (asked.layout.data if asked.architecture.replicates_kv else 1)


def _serving(asked: EngineRequest) -> tuple[str, ...]:
    """It takes one name and is told no alias: completions, chat and embeddings answer whatever name is asked for, and
    repeat it (0.5.23); /v1/responses alone knows no other."""
    args = ["--model-path", literal(asked.path), "--served-model-name", literal(asked.served_name)]
    args += ["--host", "0.0.0.0", "--port", str(PORT), "--enable-metrics"]
    if asked.max_model_length is not None:
        args += ["--context-length", str(asked.max_model_length)]
    if asked.max_concurrency is not None:
        args += ["--max-running-requests", str(asked.max_concurrency)]
    if asked.queue_limit is not None:
        args += ["--max-queued-requests", str(asked.queue_limit)]
    if asked.memory_fraction is not None:
        args += ["--mem-fraction-static", f"{asked.memory_fraction:g}"]
    if asked.adapters:
        args += [
            "--enable-lora",
            "--lora-paths",
            *(literal(f"{adapter.name}={adapter.path}") for adapter in asked.adapters),
        ]
    return tuple(args)


def _model(asked: EngineRequest) -> tuple[str, ...]:
    args: list[str] = ["--trust-remote-code"] if asked.trust_remote_code else []
    if asked.profile.vendor == "huawei":
        args += ["--device", "npu", "--attention-backend", "ascend"]
    if asked.storage in QUANTIZATIONS:
        args += ["--quantization", QUANTIZATIONS[asked.storage]]
    elif asked.storage == "fp8" and asked.architecture.native_format == "bf16":
        args += ["--quantization", "fp8"]
    if asked.kv_dtype != "auto":
        args += ["--kv-cache-dtype", KV_DTYPES[asked.kv_dtype]]
    if asked.dialect in REASONING_PARSERS and options.REASONING_PARSER not in asked.options:
        args += ["--reasoning-parser", REASONING_PARSERS[asked.dialect]]
    if asked.tool_calls and asked.dialect in TOOL_PARSERS:
        args += ["--tool-call-parser", TOOL_PARSERS[asked.dialect]]
    return tuple(args)


def _degrees(asked: EngineRequest, version: Version) -> tuple[str, ...]:
    layout = asked.layout
    args = ["--tp-size", str(_tensor_ranks(asked))]
    if layout.pipeline > 1:
        args += ["--pp-size", str(layout.pipeline)]
    if layout.data > 1 and not asked.architecture.replicates_kv:
        args += ["--dp-size", str(layout.data)]
    elif layout.data > 1 and version >= ATTENTION_DATA_FLAG_FROM:
        args += ["--attn-dp-size", str(layout.data)]
    elif layout.data > 1:
        args += ["--dp-size", str(layout.data), "--enable-dp-attention"]
    if layout.expert > 1:
        args += ["--ep-size", str(layout.expert)]
    return tuple(args)


def _nodes(asked: EngineRequest) -> tuple[str, ...]:
    if asked.nodes == 1:
        return ()
    return ("--nnodes", str(asked.nodes), "--node-rank", RANK, "--dist-init-addr", f"{LEADER}:{INIT_PORT}")


ENTRY = EngineEntry(
    type=PROGRAM,
    title="SGLang",
    version="0.5.23",
    oldest=OLDEST,
    start=Start.BUILT,
    memory=MEMORY,
    metrics=lambda version: NAMES,
    build=build,
    flags=FLAGS,
    options=OPTIONS,
    tool_parsers=TOOL_PARSERS,
    # It adds what stands beside kv_b_proj to the matrices that this is folded into (sgl-project/sglang#25001).
    adapters=frozenset({AdapterKind.LORA, AdapterKind.LATENT}),
    # `model: legal` is answered by the model itself without a word (0.5.23, serving_base.py: _parse_model_parameter).
    asks_beside=":",
    is_offered=True,
)
