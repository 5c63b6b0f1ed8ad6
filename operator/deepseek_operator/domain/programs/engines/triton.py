"""Triton: a model repository and the server's options, with the vLLM or the TensorRT-LLM backend, on one node.

The protocol is KServe v2, not OpenAI's. Triton is released as images only: its names are those of its manual, and no
test checks them. The TensorRT-LLM backend takes engines that were built beforehand and knows no MLA.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.engines import instead, limits, tensorrt_llm, vllm
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.probes import startup_probe
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import PORT, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.values.command import Command, Metrics, Port, Probe, Probes, Refusal, Signal

VLLM = "triton-vllm"
TENSORRT_LLM = "triton-tensorrtllm"
REPOSITORY = "/etc/triton/models"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
GRPC_PORT = 8001
METRICS_PORT = 8002


# Through Triton requests are counted by the server, the engine's inner state by its backend.
TENSORRT_LLM_NAMES: Mapping[Signal, str] = {
    Signal.RUNNING: 'nv_trt_llm_request_metrics{request_type="scheduled"}',
    Signal.WAITING: 'nv_trt_llm_request_metrics{request_type="waiting"}',
    Signal.KV_USAGE: 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}',
    Signal.SUCCESSES: "nv_inference_request_success",
}
# Its vLLM backend publishes what single steps and finished requests tell, and nothing of the scheduler.
VLLM_NAMES: Mapping[Signal, str] = {
    Signal.TIME_TO_FIRST_TOKEN: "vllm:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "vllm:time_per_output_token_seconds",
    Signal.END_TO_END_LATENCY: "vllm:e2e_request_latency_seconds",
    Signal.PROMPT_TOKENS: "vllm:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "vllm:generation_tokens_total",
    Signal.SUCCESSES: "nv_inference_request_success",
}
FLAGS = Flags(
    owned=(
        Owned(
            ("http-port", "http-address", "grpc-port", "grpc-address", "metrics-port", "metrics-address"),
            instead.ADDRESS,
        ),
        Owned(("allow-http", "allow-metrics"), instead.METRICS),
        Owned(("model-repository", "model-store", "model-control-mode", "load-model"), instead.MODEL),
        Owned(("exit-timeout-secs",), instead.DRAIN),
    ),
    variables=instead.DEVICE_VARIABLES,
)


def build_vllm(asked: EngineRequest) -> Command | Refusal:
    """Return Triton with its vLLM backend, or why there is none."""
    refused = _refusal(VLLM, asked)
    if refused is not None:
        return refused
    if asked.dialect in (Dialect.V32, Dialect.V4, Dialect.V41):
        return Refusal(f"no vLLM inside of Triton is known to run {asked.model}", "write engine.type vllm or sglang")
    if asked.layout.data > 1:
        return Refusal("Triton's vLLM backend runs one engine, without data-parallel ranks",
                       f"write data: 1 with tensor: {asked.layout.gpus}, or engine.type vllm")  # fmt: skip
    return _command(VLLM, asked, _vllm_repository(asked), VLLM_NAMES)


def build_tensorrt_llm(asked: EngineRequest) -> Command | Refusal:
    """Return Triton with its TensorRT-LLM backend, or why there is none."""
    refused = _refusal(TENSORRT_LLM, asked)
    if refused is not None:
        return refused
    if asked.architecture.replicates_kv:
        return Refusal(f"the tensorrtllm backend takes built engines, which {asked.model}'s attention has not",
                       "write engine.type tensorrt-llm, whose PyTorch backend runs it")  # fmt: skip
    if asked.layout.data > 1 or asked.layout.expert > 1:
        return Refusal("a built engine has tensor and pipeline ranks only", "write data: 1 and expert: 1")
    return _command(TENSORRT_LLM, asked, _engine_repository(asked), TENSORRT_LLM_NAMES)


def _refusal(program: str, asked: EngineRequest) -> Refusal | None:
    if asked.nodes > 1:
        return Refusal("one Triton server does not span nodes", "write engine.type vllm or sglang, or nodes: 1")
    if asked.api_key_variable is not None:
        return Refusal("Triton checks no API key", "leave the key out and let a gateway check it")
    if not NAME.fullmatch(asked.served_name):
        return Refusal(f"Triton keeps a model in a folder of its name, which {asked.served_name!r} can't be",
                       "write a served name of letters, digits, dots, dashes and underscores")  # fmt: skip
    if asked.aliases:
        return Refusal("Triton keeps a model in one folder, whose name alone it answers to", "leave gateway.models out")
    if asked.adapters:
        return Refusal(
            "this builder gives Triton no adapters", "merge them into the weights, or write engine.type vllm"
        )
    if asked.queue_limit is not None and program == VLLM:
        return Refusal("Triton's vLLM backend is decoupled and queues inside the engine, without a limit",
                       "leave queueLimit out, or write engine.type vllm")  # fmt: skip
    return limits.refusal(program, asked, FLAGS)


def _command(program: str, asked: EngineRequest, repository: Mapping[str, str], names: Mapping[Signal, str]) -> Command:
    options = (f"--model-repository={REPOSITORY}", f"--http-port={PORT}", f"--grpc-port={GRPC_PORT}",
               f"--metrics-port={METRICS_PORT}", f"--exit-timeout-secs={asked.drain_seconds}")  # fmt: skip
    server = (*asked.profile.launchers[program], *options, *asked.extra_args)
    # A built engine has one process per rank; only the first answers requests.
    world = asked.layout.gpus if program == TENSORRT_LLM else 1
    args = server if world == 1 else ("mpirun", "--allow-run-as-root", "-n", str(world), *server)
    published = Metrics("/metrics", METRICS_PORT, names)
    return replace(
        replica(asked, args, asked.profile.variables(program, asked.nodes), published),
        files=repository,
        ports=(Port("http", PORT), Port("grpc", GRPC_PORT), Port("metrics", METRICS_PORT)),
        probes=Probes(
            startup=startup_probe(asked, "/v2/health/ready"),
            liveness=Probe("/v2/health/live", PORT, 10, 6),
            readiness=Probe("/v2/health/ready", PORT, 5, 2),
        ),
        warnings=("Triton answers KServe v2 requests, not OpenAI's",),
    )


def _vllm_repository(asked: EngineRequest) -> Mapping[str, str]:
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
    }
    engine.update({key: value for key, value in optional.items() if value is not None})
    folder = f"{REPOSITORY}/{asked.served_name}"
    config = 'backend: "vllm"\ninstance_group [{ count: 1 kind: KIND_MODEL }]\n' + _parameter(
        "REPORT_CUSTOM_METRICS", "true"
    )
    return {f"{folder}/1/model.json": json.dumps(engine, indent=2, sort_keys=True) + "\n",
            f"{folder}/config.pbtxt": config}  # fmt: skip


def _engine_repository(asked: EngineRequest) -> Mapping[str, str]:
    folder = f"{REPOSITORY}/{asked.served_name}"
    queue = f"  default_queue_policy {{ max_queue_size: {asked.queue_limit} }}\n" if asked.queue_limit else ""
    inputs = (("input_ids", "TYPE_INT32", -1), ("input_lengths", "TYPE_INT32", 1), ("request_output_len", "TYPE_INT32", 1),
              ("end_id", "TYPE_INT32", 1), ("pad_id", "TYPE_INT32", 1), ("streaming", "TYPE_BOOL", 1))  # fmt: skip
    optional = {"end_id", "pad_id", "streaming"}
    lines = [
        'backend: "tensorrtllm"',
        f"max_batch_size: {asked.max_concurrency or 64}",
        "model_transaction_policy { decoupled: true }",
        f"dynamic_batching {{\n{queue}}}" if queue else "dynamic_batching {}",
        *(f'input [{{ name: "{name}" data_type: {kind} dims: [ {size} ]{" optional: true" if name in optional else ""} }}]'
          for name, kind, size in inputs),
        'output [{ name: "output_ids" data_type: TYPE_INT32 dims: [ -1, -1 ] }]',
        'output [{ name: "sequence_length" data_type: TYPE_INT32 dims: [ -1 ] }]',
        "instance_group [{ count: 1 kind: KIND_CPU }]",
    ]  # fmt: skip
    parameters = {
        "gpt_model_type": "inflight_fused_batching",
        "gpt_model_path": asked.path,
        "batch_scheduler_policy": "guaranteed_no_evict",
        "kv_cache_free_gpu_mem_fraction": f"{0.9 if asked.memory_fraction is None else asked.memory_fraction:g}",
        "executor_worker_path": "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker",
    }
    text = "\n".join(lines) + "\n" + "".join(_parameter(key, value) for key, value in parameters.items())
    return {f"{folder}/config.pbtxt": text, f"{folder}/1/.keep": ""}


def _parameter(key: str, value: str) -> str:
    return f"parameters {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}\n"


OF_VLLM = EngineEntry(
    type=VLLM,
    title="Triton with vLLM",
    version="25.10",
    start=Start.BUILT,
    memory=vllm.MEMORY,
    metrics=lambda version: VLLM_NAMES,
    build=build_vllm,
    flags=FLAGS,
    by_calendar=True,
)
OF_TENSORRT_LLM = EngineEntry(
    type=TENSORRT_LLM,
    title="Triton with TensorRT-LLM",
    version="25.10",
    start=Start.BUILT,
    memory=tensorrt_llm.MEMORY,
    metrics=lambda version: TENSORRT_LLM_NAMES,
    build=build_tensorrt_llm,
    flags=FLAGS,
    by_calendar=True,
)
