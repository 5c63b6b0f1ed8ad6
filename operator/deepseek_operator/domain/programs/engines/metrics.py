"""Metric names of the engines by release: signals keep their meaning while names change."""

from collections.abc import Mapping

from deepseek_operator.domain.values.command import Signal
from deepseek_operator.domain.values.version import Version

_VLLM: Mapping[Signal, str] = {
    Signal.RUNNING: "vllm:num_requests_running",
    Signal.WAITING: "vllm:num_requests_waiting",
    Signal.KV_USAGE: "vllm:kv_cache_usage_perc",
    Signal.TIME_TO_FIRST_TOKEN: "vllm:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "vllm:inter_token_latency_seconds",
    Signal.END_TO_END_LATENCY: "vllm:e2e_request_latency_seconds",
    Signal.QUEUE_TIME: "vllm:request_queue_time_seconds",
    Signal.PROMPT_TOKENS: "vllm:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "vllm:generation_tokens_total",
    Signal.SUCCESSES: "vllm:request_success_total",
}
# Before the V1 engine's names: renamed, then removed.
_VLLM_OLD: Mapping[Signal, str] = {
    **_VLLM,
    Signal.KV_USAGE: "vllm:gpu_cache_usage_perc",
    Signal.INTER_TOKEN_LATENCY: "vllm:time_per_output_token_seconds",
}
VLLM_RENAMED = Version(0, 11)

_SGLANG: Mapping[Signal, str] = {
    Signal.RUNNING: "sglang:num_running_reqs",
    Signal.WAITING: "sglang:num_queue_reqs",
    Signal.KV_USAGE: "sglang:token_usage",
    Signal.TIME_TO_FIRST_TOKEN: "sglang:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "sglang:inter_token_latency_seconds",
    Signal.END_TO_END_LATENCY: "sglang:e2e_request_latency_seconds",
    Signal.QUEUE_TIME: "sglang:queue_time_seconds",
    Signal.PROMPT_TOKENS: "sglang:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "sglang:generation_tokens_total",
    Signal.SUCCESSES: "sglang:num_requests_total",
}

TENSORRT_LLM: Mapping[Signal, str] = {
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
# Through Triton requests are counted by the server, the engine's inner state by its backend.
TRITON_TENSORRT_LLM: Mapping[Signal, str] = {
    Signal.RUNNING: 'nv_trt_llm_request_metrics{request_type="scheduled"}',
    Signal.WAITING: 'nv_trt_llm_request_metrics{request_type="waiting"}',
    Signal.KV_USAGE: 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}',
    Signal.SUCCESSES: "nv_inference_request_success",
}
# Its vLLM backend publishes what single steps and finished requests tell, and nothing of the scheduler.
TRITON_VLLM: Mapping[Signal, str] = {
    Signal.TIME_TO_FIRST_TOKEN: "vllm:time_to_first_token_seconds",
    Signal.INTER_TOKEN_LATENCY: "vllm:time_per_output_token_seconds",
    Signal.END_TO_END_LATENCY: "vllm:e2e_request_latency_seconds",
    Signal.PROMPT_TOKENS: "vllm:prompt_tokens_total",
    Signal.GENERATION_TOKENS: "vllm:generation_tokens_total",
    Signal.SUCCESSES: "nv_inference_request_success",
}
BUILT_IN = _VLLM
"""The built-in engine publishes vLLM's names, so that dashboards and autoscaling see no difference."""


def vllm(version: Version) -> Mapping[Signal, str]:
    """Return vLLM's names at a release."""
    return _VLLM if version >= VLLM_RENAMED else _VLLM_OLD


def sglang(version: Version) -> Mapping[Signal, str]:
    """Return SGLang's names; unchanged over all releases that are supported."""
    del version
    return _SGLANG
