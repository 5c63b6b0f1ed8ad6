"""Triton with its vLLM backend, on one node: a model repository behind OpenAI's protocol and KServe's over gRPC.

What starts is the frontend that its images bring (python/openai/openai_frontend/main.py): it runs the server in its own
process, answers OpenAI's protocol, metrics and health on one port, and KServe v2 over HTTP and gRPC on two others. Triton is
released as images only: flags, files and names are those of its manual and sources, and no test checks them.

Its TensorRT-LLM backend is not here: it takes engines that were built beforehand, which nothing builds.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.engines import instead, limits, options, vllm
from deepseek_operator.domain.programs.engines.entry import EngineEntry, Grpc
from deepseek_operator.domain.programs.engines.probes import startup_probe
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import FILES, PORT, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.values.command import Command, Metrics, Port, Probe, Probes, Refusal, Signal, literal
from deepseek_operator.domain.values.version import Version, parse

PROGRAM = "triton"
OLDEST = Version(25, 10)
"""The first whose vLLM backend is known to publish what is named below: it moved to vLLM's V1 engine before."""
REPOSITORY = f"{FILES}/models"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
GRPC_PORT, KSERVE_PORT = 8001, 8002
HEALTH = "/health/ready"
GRPC = Grpc(
    GRPC_PORT,
    "inference.GRPCInferenceService",
    (
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelInfer",
        "ModelStreamInfer",
    ),
)
"""The methods of KServe v2, and Triton's stream of them, by which alone its vLLM backend answers with more than one piece. Not
those that load models, share memory or set traces and logs."""

NAMES: Mapping[Signal, str] = {
    Signal.TIME_TO_FIRST_TOKEN: "vllm:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "vllm:time_per_output_token_seconds",
    Signal.END_TO_END_LATENCY: "vllm:e2e_request_latency_seconds",
    Signal.PROMPT_TOKENS: "vllm:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "vllm:generation_tokens_total",
    Signal.SUCCESSES: "nv_inference_request_success",
}
"""What the backend tells of single steps and of finished requests (vllm_backend, src/utils/metrics.py): of the scheduler
nothing, and Triton's own count of pending requests leaves out what its backend holds."""
FLAGS = Flags(
    owned=(
        Owned(
            ("host", "openai-port", "kserve-http-port", "kserve-grpc-port", "enable-kserve-frontends"), instead.ADDRESS
        ),
        Owned(
            ("openai-restricted-api",),
            "leave it out: probes, metrics and the gateway come without a key, which the gateway checks",
        ),
        Owned(("model-repository", "tokenizer", "backend", "model-control-mode", "load-model"), instead.MODEL),
        Owned(("lora-separator",), "leave it out: this engine is given no adapters"),
    ),
    variables=instead.DEVICE_VARIABLES,
)
OPTIONS: options.Options = {options.MAX_SEQUENCES: options.elsewhere}
MEMORY = replace(vllm.MEMORY, name=PROGRAM, keeps_slots=False)
"""vLLM's own, in which no adapter has a place."""


def build(asked: EngineRequest) -> Command | Refusal:
    """Return the command of one replica, or why there is none."""
    return _refusal(asked, parse(asked.version)) or _command(asked)


def _refusal(asked: EngineRequest, version: Version) -> Refusal | None:
    if version < OLDEST:
        return Refusal(
            f"Triton {asked.version} is older than what is known of its vLLM backend",
            "write engine.version 25.10 or newer",
        )
    if asked.nodes > 1:
        return Refusal("one Triton server does not span nodes", "write engine.type vllm or sglang, or nodes: 1")
    if asked.dialect in (Dialect.V32, Dialect.V4, Dialect.V41):
        return Refusal(f"no vLLM inside of Triton is known to run {asked.model}", "write engine.type vllm or sglang")
    if asked.layout.data > 1:
        return Refusal("Triton's vLLM backend runs one engine, without data-parallel ranks",
                       f"write data: 1 with tensor: {asked.layout.gpus}, or engine.type vllm")  # fmt: skip
    if asked.storage == "w4a8":
        return Refusal("vLLM reads no w4a8 (int4 weights, fp8 activations) DeepSeek checkpoints",
                       "write engine.type sglang, or quantization awq")  # fmt: skip
    return (
        _unanswered(asked)
        or limits.refusal(PROGRAM, asked, FLAGS)
        or limits.option_refusal("Triton", asked, FLAGS, OPTIONS)
    )


def _unanswered(asked: EngineRequest) -> Refusal | None:
    """Fields that this server has nothing for."""
    if asked.api_key_variable is not None:
        return Refusal(
            "Triton checks no API key", "leave engine.apiKey out and let the gateway check keys (gateway.auth)"
        )
    if not NAME.fullmatch(asked.served_name):
        return Refusal(f"Triton keeps a model in a folder of its name, which {asked.served_name!r} can't be",
                       "write a served name of letters, digits, dots, dashes and underscores")  # fmt: skip
    if asked.aliases:
        return Refusal("Triton keeps a model in one folder, whose name alone it answers to", "leave gateway.models out")
    if asked.adapters:
        return Refusal(
            "this builder gives Triton no adapters", "merge them into the weights, or write engine.type vllm"
        )
    if asked.queue_limit is not None:
        return Refusal("Triton's vLLM backend is decoupled and queues inside the engine, without a limit",
                       "leave queueLimit out, or write engine.type vllm")  # fmt: skip
    return None


def _command(asked: EngineRequest) -> Command:
    args = (
        *asked.profile.launchers[PROGRAM],
        *("--model-repository", REPOSITORY, "--tokenizer", literal(asked.path), "--backend", "vllm"),
        *("--host", "0.0.0.0", "--openai-port", str(PORT), "--enable-kserve-frontends"),
        *("--kserve-http-port", str(KSERVE_PORT), "--kserve-grpc-port", str(GRPC_PORT)),
        *asked.extra_args,
    )
    return replace(
        replica(asked, args, asked.profile.variables(PROGRAM, asked.nodes), Metrics("/metrics", PORT, NAMES)),
        files=_repository(asked),
        ports=(Port("http", PORT), Port("grpc", GRPC_PORT)),
        probes=Probes(
            startup=startup_probe(asked, HEALTH),
            liveness=Probe(HEALTH, PORT, 10, 6),
            readiness=Probe(HEALTH, PORT, 5, 2),
        ),
        warnings=(
            "Triton's frontend answers 16 tokens where a request names no max_tokens: write engine.args --default-max-tokens",
            "Triton's frontend has no drain option: requests that run at shutdown may be cut",
        ),
    )


def _repository(asked: EngineRequest) -> Mapping[str, str]:
    """The model's folder: what vLLM is told (its EngineArgs), and that its metrics are published."""
    engine: dict[str, object] = {
        "model": asked.path,
        "tensor_parallel_size": asked.layout.tensor,
        "pipeline_parallel_size": asked.layout.pipeline,
        "enable_expert_parallel": asked.layout.expert > 1,
        "trust_remote_code": asked.trust_remote_code,
        "disable_log_stats": False,  # without them the backend publishes no vllm: metrics
    }
    optional = {
        "max_model_len": asked.max_model_length,
        "max_num_seqs": asked.max_concurrency,
        "gpu_memory_utilization": asked.memory_fraction,
        "kv_cache_dtype": None if asked.kv_dtype == "auto" else vllm.KV_DTYPES[asked.kv_dtype],
        # bf16 weights, rounded while loading
        "quantization": "fp8" if asked.storage == "fp8" and asked.architecture.native_format == "bf16" else None,
    }
    engine.update({key: value for key, value in optional.items() if value is not None})
    config = 'backend: "vllm"\ninstance_group [{ count: 1 kind: KIND_MODEL }]\n' + _parameter(
        "REPORT_CUSTOM_METRICS", "true"
    )
    folder = f"{REPOSITORY}/{asked.served_name}"
    return {f"{folder}/1/model.json": json.dumps(engine, indent=2, sort_keys=True) + "\n",
            f"{folder}/config.pbtxt": config}  # fmt: skip


def _parameter(key: str, value: str) -> str:
    return f"parameters {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}\n"


ENTRY = EngineEntry(
    type=PROGRAM,
    title="Triton",
    version="25.10",
    oldest=OLDEST,
    start=Start.BUILT,
    memory=MEMORY,
    metrics=lambda version: NAMES,
    build=build,
    flags=FLAGS,
    options=OPTIONS,
    by_calendar=True,
    adapters=frozenset(),
    grpc=GRPC,
    is_offered=True,
)
