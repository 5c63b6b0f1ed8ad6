"""TensorRT-LLM's own server (trtllm-serve) with its PyTorch backend, on one node.

Its wheel can't be had from the Python index, so options are those of its manual for 1.x and of published recipes; no
test checks them against the package. Attention data parallelism is all or nothing: every rank of --tp_size becomes
a data rank.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.engines import instead, limits
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import PORT, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import EngineMemory, Scope
from deepseek_operator.domain.values.command import Command, Metrics, Refusal, Signal, literal
from deepseek_operator.domain.values.version import Version, parse

PROGRAM = "tensorrt-llm"
OLDEST = Version(1, 0)
CONFIG = "/etc/deepseek/trtllm.yaml"
REASONING_PARSERS = {Dialect.R1: "deepseek-r1", Dialect.R1_DISTILL: "deepseek-r1"}


NAMES: Mapping[Signal, str] = {
    Signal.RUNNING: "trtllm_num_requests_running",
    Signal.WAITING: "trtllm_num_requests_waiting",
    Signal.KV_USAGE: "trtllm_kv_cache_utilization",
    Signal.TIME_TO_FIRST_TOKEN: "trtllm_time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "trtllm_time_per_output_token_seconds",
    Signal.END_TO_END_LATENCY: "trtllm_e2e_request_latency_seconds",
    Signal.QUEUE_TIME: "trtllm_request_queue_time_seconds",
    Signal.PROMPT_TOKENS: "trtllm_prompt_tokens_total",
    Signal.GENERATION_TOKENS: "trtllm_generation_tokens_total",
    Signal.SUCCESSES: "trtllm_request_success_total",
}
FLAGS = Flags(
    owned=(
        Owned(("host", "port", "metadata-server-config-file"), instead.ADDRESS),
        Owned(("served-model-name",), instead.NAME),
        Owned(("model", "tokenizer", "revision", "hf-revision"), instead.MODEL),
        Owned(("max-seq-len",), instead.LENGTH),
        Owned(("kv-cache-dtype",), instead.CACHE),
        Owned(("tp-size",), instead.TENSOR),
        Owned(("pp-size",), instead.PIPELINE),
        Owned(("ep-size", "moe-cluster-parallel-size", "cluster-size"), instead.EXPERT),
        Owned(("cp-size",), "leave it out: it takes more devices than the layout has"),
        Owned(("gpus-per-node",), instead.DEVICES),
        Owned(("backend",), "leave it out: the PyTorch backend is the one that needs no built engine"),
        Owned(("extra-llm-api-options", "config"), instead.FILE),
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
    variables=instead.DEVICE_VARIABLES,
)
MEMORY = EngineMemory("triton", 0.9, Scope.FREE, 8192, 1.02)
"""kv_cache_free_gpu_memory_fraction, behind its own server and behind Triton."""


def build(asked: EngineRequest) -> Command | Refusal:
    """Return the command of one replica, or why there is none."""
    return _refusal(asked, parse(asked.version)) or _command(asked)


def _command(asked: EngineRequest) -> Command:
    args = (*asked.profile.launchers[PROGRAM], literal(asked.path), *_options(asked), *asked.extra_args)
    published = Metrics("/prometheus/metrics", PORT, NAMES)
    return replace(
        replica(asked, args, asked.profile.variables(PROGRAM, asked.nodes), published),
        files={CONFIG: _config(asked)},
        warnings=("trtllm-serve has no drain option: requests that run at shutdown may be cut",),
    )


def _refusal(asked: EngineRequest, version: Version) -> Refusal | None:
    if version < OLDEST:
        return Refusal(f"TensorRT-LLM {version} serves DeepSeek through engines built beforehand",
                       f"write engine.version {OLDEST} or newer")  # fmt: skip
    if asked.dialect in (Dialect.V4, Dialect.V41):
        return Refusal(f"TensorRT-LLM {version} is not known to run {asked.model}", "write engine.type vllm or sglang")
    if asked.nodes > 1:
        return Refusal("trtllm-serve spans nodes only through MPI, which needs a shell into every pod",
                       "write engine.type vllm or sglang, which span nodes by themselves")  # fmt: skip
    return (
        _unanswered(asked)
        or limits.prompt_adapter_refusal("TensorRT-LLM", asked)
        or limits.refusal(PROGRAM, asked, FLAGS)
        or _layout(asked)
    )


def _unanswered(asked: EngineRequest) -> Refusal | None:
    """Fields that this server has no option for."""
    if asked.kv_dtype == "bf16":
        return Refusal(
            "TensorRT-LLM keeps the cache as the checkpoint says, or in FP8", "write kvCacheDtype auto or fp8"
        )
    if asked.api_key_variable is not None:
        return Refusal("trtllm-serve checks no API key", "leave the key out and let a gateway check it")
    if asked.queue_limit is not None:
        return Refusal("trtllm-serve can't bound its queue", "leave queueLimit out, or write engine.type vllm")
    if asked.aliases:
        return Refusal("trtllm-serve is not known to answer to several names", "leave gateway.models out")
    if asked.adapters:
        return Refusal("adapters of trtllm-serve are named in every request, not at its start",
                       "merge them into the weights, or write engine.type vllm")  # fmt: skip
    return None


def _layout(asked: EngineRequest) -> Refusal | None:
    layout = asked.layout
    if layout.data > 1 and layout.tensor > 1:
        return Refusal("TensorRT-LLM's attention is either tensor- or data-parallel, not both",
                       f"write tensor: 1 with data: {layout.tensor * layout.data}, or data: 1")  # fmt: skip
    ranks = layout.tensor * layout.data
    if layout.expert > 1 and ranks % layout.expert:
        return Refusal(f"{ranks} ranks do not divide by {layout.expert} expert ranks", f"write expert: {ranks}")
    return None


def _options(asked: EngineRequest) -> tuple[str, ...]:
    layout = asked.layout
    args = ["--host", "0.0.0.0", "--port", str(PORT), "--backend", "pytorch"]
    args += ["--tp_size", str(layout.tensor * layout.data), "--pp_size", str(layout.pipeline)]
    if layout.expert > 1:
        args += ["--ep_size", str(layout.expert)]
    if asked.max_concurrency is not None:
        args += ["--max_batch_size", str(asked.max_concurrency)]
    if asked.max_model_length is not None:
        args += ["--max_seq_len", str(asked.max_model_length)]
    if asked.memory_fraction is not None:
        args += ["--kv_cache_free_gpu_memory_fraction", f"{asked.memory_fraction:g}"]
    if asked.trust_remote_code:
        args += ["--trust_remote_code"]
    if asked.dialect in REASONING_PARSERS:
        args += ["--reasoning_parser", REASONING_PARSERS[asked.dialect]]
    return (*args, "--extra_llm_api_options", CONFIG)


def _config(asked: EngineRequest) -> str:
    """The options that have no flag, as JSON, which every YAML reader takes."""
    options: dict[str, object] = {"return_perf_metrics": True, "enable_attention_dp": asked.layout.data > 1}
    if asked.kv_dtype != "auto":
        # Before 1.2 this section takes the place of what the flag says, so it repeats the fraction.
        fraction = {} if asked.memory_fraction is None else {"free_gpu_memory_fraction": asked.memory_fraction}
        options["kv_cache_config"] = {"dtype": asked.kv_dtype, **fraction}
    return json.dumps(options, indent=2, sort_keys=True) + "\n"


ENTRY = EngineEntry(
    type=PROGRAM,
    title="TensorRT-LLM",
    version="1.2.1",
    oldest=OLDEST,
    start=Start.BUILT,
    memory=MEMORY,
    metrics=lambda version: NAMES,
    build=build,
    flags=FLAGS,
)
