"""TensorRT-LLM's own server (trtllm-serve) with its PyTorch backend, on one node.

Its wheel can't be had from the Python index, so options are those of its manual for 1.x, of published recipes and of its
sources (tensorrt_llm/commands/serve.py, serve/openai_server.py, metrics/collector.py); no test checks them against the
package. Attention data parallelism is all or nothing: every rank of --tp_size becomes a data rank.

What runs and waits is told by no release: up to 1.2 there are no such gauges, and those of 1.3 (NVIDIA/TensorRT-LLM#12545)
are written when requests end, so that they stand still while long answers are made and keep their last value at rest.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from deepseek_operator.domain.programs.arguments import Flags, Given, Owned, given
from deepseek_operator.domain.programs.engines import instead, limits, options
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import FILES, PORT, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import EngineMemory, Scope
from deepseek_operator.domain.values.command import Command, Metrics, Refusal, Signal, literal
from deepseek_operator.domain.values.version import Version, parse

PROGRAM = "tensorrt-llm"
OLDEST = Version(1, 1)
"""The first whose server answers Prometheus (NVIDIA/TensorRT-LLM#5785)."""
NEEDED = {Dialect.V32: Version(1, 2)}
NAMED_FROM = Version(1, 3)
"""Takes a name to be served by (NVIDIA/TensorRT-LLM#11711), and begins the names of its metrics with its own; before, it
shows the folder's, and answers whatever name is asked for."""
CONFIG = f"{FILES}/trtllm.yaml"
REASONING_PARSERS = {Dialect.R1: "deepseek-r1", Dialect.R1_DISTILL: "deepseek-r1"}
READABLE = frozenset({"bf16", "fp16", "fp8", "nvfp4"})
"""What its PyTorch backend loads of DeepSeek's: the published weights, and those of NVIDIA's ModelOpt."""
TOKENIZERS = {Dialect.V32: "deepseek_v32"}
"""V3.2 comes without a template of chats."""

_BARE: Mapping[Signal, str] = {
    Signal.TIME_TO_FIRST_TOKEN: "time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "time_per_output_token_seconds",
    Signal.END_TO_END_LATENCY: "e2e_request_latency_seconds",
    Signal.QUEUE_TIME: "request_queue_time_seconds",
    Signal.SUCCESSES: "request_success_total",
}
_NAMED: Mapping[Signal, str] = {
    **{signal: f"trtllm_{name}" for signal, name in _BARE.items()},
    Signal.PROMPT_TOKENS: "trtllm_prompt_tokens_total",
    Signal.GENERATION_TOKENS: "trtllm_generation_tokens_total",
}


def names(version: Version) -> Mapping[Signal, str]:
    """What a release tells at /prometheus/metrics."""
    return _NAMED if version >= NAMED_FROM else _BARE


FLAGS = Flags(
    owned=(
        Owned(("host", "port", "metadata-server-config-file"), instead.ADDRESS),
        Owned(("served-model-name",), instead.NAME),
        Owned(("model", "tokenizer", "revision", "hf-revision"), instead.MODEL),
        Owned(("max-seq-len",), instead.LENGTH),
        Owned(("kv-cache-dtype",), instead.CACHE),
        Owned(("tp-size", "tensor-parallel-size"), instead.TENSOR),
        Owned(("pp-size", "pipeline-parallel-size"), instead.PIPELINE),
        Owned(("ep-size", "moe-expert-parallel-size", "moe-cluster-parallel-size", "cluster-size"), instead.EXPERT),
        Owned(("cp-size", "context-parallel-size"), "leave it out: it takes more devices than the layout has"),
        Owned(("gpus-per-node",), instead.DEVICES),
        Owned(("backend",), "leave it out: the PyTorch backend is the one that needs no built engine"),
        Owned(("extra-llm-api-options", "config"), instead.FILE),
        Owned(
            ("grpc", "extra-encoders-config", "server-role"), "leave it out: every replica answers OpenAI's protocol"
        ),
        Owned(("disagg-cluster-uri",), "leave it out: every replica computes prompts and answers"),
    ),
    read=MappingProxyType(
        {
            "kv-cache-free-gpu-memory-fraction": "memory_fraction",
            "free-gpu-memory-fraction": "memory_fraction",
            "max-num-tokens": "step_tokens",
            "max-batch-size": "running",
        }
    ),
    yielding=("trust-remote-code", "reasoning-parser", "tool-parser", "custom-tokenizer"),
    variables=instead.DEVICE_VARIABLES,
)
OPTIONS: options.Options = {
    # Builders are asked by `max_concurrency` for it, and divide it over data ranks.
    options.MAX_SEQUENCES: options.taking("--max_batch_size"),
    options.MAX_BATCHED_TOKENS: options.taking("--max_num_tokens"),
    options.REASONING_PARSER: options.taking("--reasoning_parser"),
    options.MEMORY_SHARE: options.taking("--kv_cache_free_gpu_memory_fraction"),
}
MEMORY = EngineMemory(PROGRAM, 0.9, Scope.FREE, 8192, 1.02)
"""kv_cache_free_gpu_memory_fraction."""


def build(asked: EngineRequest) -> Command | Refusal:
    """Return the command of one replica, or why there is none."""
    version = parse(asked.version)
    return _refusal(asked, version) or _command(asked, version)


def _command(asked: EngineRequest, version: Version) -> Command:
    own = (*_options(asked, version), *options.words(OPTIONS, asked.options))
    args = (*asked.profile.launchers[PROGRAM], literal(asked.path), *own, *asked.extra_args)
    published = Metrics("/prometheus/metrics", PORT, names(version))
    return replace(
        replica(asked, args, asked.profile.variables(PROGRAM, asked.nodes), published),
        files={CONFIG: _config(asked)},
        warnings=_warnings(asked, version),
    )


def _warnings(asked: EngineRequest, version: Version) -> tuple[str, ...]:
    drain = "trtllm-serve has no drain option: requests that run at shutdown may be cut"
    if version >= NAMED_FROM:
        return (drain,)
    return (drain, f"trtllm-serve {version} can't be told a name: answers call the model by its folder's, "
                   f"{asked.path.rpartition('/')[2]}")  # fmt: skip


def _refusal(asked: EngineRequest, version: Version) -> Refusal | None:
    if version < OLDEST:
        return Refusal(f"TensorRT-LLM {version} tells Prometheus nothing", f"write engine.version {OLDEST} or newer")
    if asked.dialect in (Dialect.V4, Dialect.V41):
        return Refusal(f"TensorRT-LLM {version} is not known to run {asked.model}", "write engine.type vllm or sglang")
    if asked.nodes > 1:
        return Refusal("trtllm-serve spans nodes only through MPI, which needs a shell into every pod",
                       "write engine.type vllm or sglang, which span nodes by themselves")  # fmt: skip
    return (
        limits.too_old("TensorRT-LLM", asked, version, NEEDED.get(asked.dialect, OLDEST))
        or _unreadable(asked)
        or _unanswered(asked)
        or limits.prompt_adapter_refusal("TensorRT-LLM", asked)
        or limits.refusal(PROGRAM, asked, FLAGS)
        or limits.option_refusal("TensorRT-LLM", asked, FLAGS, OPTIONS)
        or _layout(asked)
    )


def _unreadable(asked: EngineRequest) -> Refusal | None:
    native = asked.architecture.native_format
    if asked.storage not in READABLE:
        return Refusal(f"TensorRT-LLM's PyTorch backend is not known to load {asked.storage} weights of DeepSeek",
                       "write weights and model.quantization bf16, fp8 or nvfp4, or engine.type vllm or sglang")  # fmt: skip
    if asked.storage == "fp8" and native != "fp8":
        return Refusal(f"TensorRT-LLM does not round {native} weights to FP8 while it loads them",
                       "leave model.quantization out, or write engine.type vllm or sglang")  # fmt: skip
    return None


def _unanswered(asked: EngineRequest) -> Refusal | None:
    """Fields that this server has no option for."""
    if asked.kv_dtype == "bf16":
        return Refusal(
            "TensorRT-LLM keeps the cache as the checkpoint says, or in FP8", "write kvCacheDtype auto or fp8"
        )
    if asked.api_key_variable is not None:
        return Refusal(
            "trtllm-serve checks no API key", "leave engine.apiKey out and let the gateway check keys (gateway.auth)"
        )
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


def _options(asked: EngineRequest, version: Version) -> tuple[str, ...]:
    layout = asked.layout
    args = ["--host", "0.0.0.0", "--port", str(PORT), "--backend", "pytorch"]
    if version >= NAMED_FROM:
        args += ["--served_model_name", literal(asked.served_name)]
    args += ["--tp_size", str(layout.tensor * layout.data), "--pp_size", str(layout.pipeline)]
    if layout.expert > 1:
        args += ["--ep_size", str(layout.expert)]
    if asked.max_concurrency is not None:  # of each attention data rank
        args += ["--max_batch_size", str(-(-asked.max_concurrency // layout.data))]
    if asked.max_model_length is not None:
        args += ["--max_seq_len", str(asked.max_model_length)]
    if asked.memory_fraction is not None:
        args += ["--kv_cache_free_gpu_memory_fraction", f"{asked.memory_fraction:g}"]
    if asked.trust_remote_code:
        args += ["--trust_remote_code"]
    if asked.dialect in TOKENIZERS:
        args += ["--custom_tokenizer", TOKENIZERS[asked.dialect]]
    if asked.dialect in REASONING_PARSERS and options.REASONING_PARSER not in asked.options:
        args += ["--reasoning_parser", REASONING_PARSERS[asked.dialect]]
    return (*args, "--extra_llm_api_options", CONFIG)


def _config(asked: EngineRequest) -> str:
    """The options that have no flag, as JSON, which every YAML reader takes."""
    said: dict[str, object] = {"return_perf_metrics": True, "enable_attention_dp": asked.layout.data > 1}
    if asked.kv_dtype != "auto":
        # Before 1.2 this section takes the place of what the flags say, so it repeats the fraction.
        share = _fraction(asked)
        fraction = {} if share is None else {"free_gpu_memory_fraction": share}
        said["kv_cache_config"] = {"dtype": asked.kv_dtype, **fraction}
    return json.dumps(said, indent=2, sort_keys=True) + "\n"


def _fraction(asked: EngineRequest) -> float | None:
    """The share of the free memory, whoever wrote it: a flag by hand, the option, or the request."""
    told = given(FLAGS, (*options.words(OPTIONS, asked.options), *asked.extra_args), {})
    by_words = told.memory_fraction if isinstance(told, Given) else None
    return by_words if by_words is not None else asked.memory_fraction


ENTRY = EngineEntry(
    type=PROGRAM,
    title="TensorRT-LLM",
    version="1.2.1",
    oldest=OLDEST,
    start=Start.BUILT,
    memory=MEMORY,
    metrics=names,
    build=build,
    flags=FLAGS,
    options=OPTIONS,
    adapters=frozenset(),
    is_offered=True,
)
