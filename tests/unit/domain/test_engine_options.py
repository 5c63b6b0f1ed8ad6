"""What people set of an engine as fields: by which words each engine takes it, and what is refused."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.options import EngineOptions
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.programs.engines.options import Value, lacking, repeated
from deepseek_operator.domain.programs.engines.table import ENGINES, build, offered
from deepseek_operator.domain.sizing import size_serving
from deepseek_operator.domain.sizing.fit import Sized
from deepseek_operator.domain.sizing.request import ServingRequest
from deepseek_operator.domain.values.command import Command, Refusal
from tests.support.requests import GIB, serving

EVERY: dict[str, Value] = {
    "maxSequences": 64, "maxBatchedTokens": 4096, "chunkedPrefill": False, "prefixCaching": False, "speculativeTokens": 2,
    "toolParser": "p", "reasoningParser": "p", "cpuOffloadGiB": 8, "memoryShare": "0.8",
}  # fmt: skip
BUILT = [entry.type for entry in offered() if entry.is_built]
FEWER: dict[str, set[str]] = {
    "tensorrt-llm": {"maxSequences", "maxBatchedTokens", "reasoningParser", "memoryShare"},
    "triton": {"maxSequences"},
}  # fmt: skip
"""What those take that do not take every option; the rest is refused with who does."""
WHOLE = [engine for engine in BUILT if engine not in FEWER]


def test_these_are_all_fields() -> None:
    assert set(EVERY) == {field.alias or name for name, field in EngineOptions.model_fields.items()}


@pytest.mark.parametrize("engine", BUILT)
def test_every_option_has_its_words_in_every_engine_whose_command_is_made_but_for_those_that_are_named(
    engine: str,
) -> None:
    assert ENGINES[engine].options.keys() == FEWER.get(engine, EVERY.keys())


def built(engine: str, model: str = "deepseek-r1", **values: Any) -> Command | Refusal:
    return build(engine, serving(model, "h200", Layout(tensor=8), engine, **values))


@pytest.mark.parametrize("engine", WHOLE)
def test_options_stand_before_the_users_own_flags_and_leave_the_rest_as_it_is(engine: str) -> None:
    plain, told = built(engine), built(engine, options={"cpuOffloadGiB": 8}, extra_args=("--seed", "1"))
    assert isinstance(plain, Command)
    assert isinstance(told, Command)
    assert told.args == (*plain.args, "--cpu-offload-gb", "8", "--seed", "1")


@pytest.mark.parametrize("engine", [engine for engine in BUILT if "reasoningParser" in ENGINES[engine].options])
def test_a_parser_that_is_named_takes_the_place_of_the_models_own(engine: str) -> None:
    told = built(engine, options={"reasoningParser": "mine"})
    assert isinstance(told, Command)
    words = [word.replace("_", "-") for word in told.args]
    assert words.count("--reasoning-parser") == 1
    assert words[words.index("--reasoning-parser") + 1] == "mine"


def test_tensorrt_llm_takes_its_options_in_its_own_spelling_each_once() -> None:
    options = {"maxBatchedTokens": 4096, "memoryShare": "0.8"}
    told = built("tensorrt-llm", options=options, max_concurrency=64, extra_args=("--seed", "1"))
    assert isinstance(told, Command)
    assert told.args[-6:] == ("--max_num_tokens", "4096", "--kv_cache_free_gpu_memory_fraction", "0.8", "--seed", "1")
    again = built("tensorrt-llm", options=options, extra_args=("--max-num-tokens", "9"))
    assert "options.maxBatchedTokens" in str(again)
    twice = built("tensorrt-llm", max_concurrency=64, extra_args=("--max_batch_size", "9"))
    assert "options.maxSequences" in str(twice)


@pytest.mark.parametrize("engine", WHOLE)
@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        ("deepseek-v4-flash", {"options": {"speculativeTokens": 1}}, "depends on its release"),
        ("deepseek-r1-distill-llama-70b", {"options": {"speculativeTokens": 1}}, "no layers that predict"),
        ("deepseek-r1", {"options": {"maxBatchedTokens": 4096, "chunkedPrefill": False}}, "without chunks"),
        ("deepseek-r1", {"options": {"cpuOffloadGiB": 8}, "extra_args": ("--cpu-offload-gb=9",)}, "write one of both"),
        (
            "deepseek-r1",
            {"options": {"cpuOffloadGiB": 8}, "extra_args": ("--cpu_offload_gb", "9")},
            "write one of both",
        ),
    ],
)
def test_an_option_that_can_do_nothing_is_refused(engine: str, model: str, values: Any, words: str) -> None:
    refused = built(engine, model, **values)
    assert isinstance(refused, Refusal)
    assert words in str(refused)


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--max-num-seqs"), ("sglang", "--max-running-requests")])
def test_how_many_are_computed_at_once_is_said_once(engine: str, flag: str) -> None:
    refused = built(engine, max_concurrency=8, extra_args=(flag, "9"))
    assert isinstance(refused, Refusal)
    assert "options.maxSequences" in str(refused)


def test_a_switch_by_hand_is_the_same_flag_on_and_off() -> None:
    assert repeated(ENGINES["vllm"].options, {"prefixCaching": True}, ["--no-enable-prefix-caching"]) is not None
    assert repeated(ENGINES["vllm"].options, {"prefixCaching": True}, ["--enable-prefix-caching-not"]) is None


def test_an_engine_without_an_option_says_which_have_it() -> None:
    known = {entry.type: entry.options for entry in offered()}
    refused = lacking(ENGINES["tensorrt-llm"].options, {"cpuOffloadGiB": 8}, known, "TensorRT-LLM")
    assert refused is not None
    assert (
        str(refused) == "TensorRT-LLM has no options.cpuOffloadGiB; write engine.type vllm or sglang, or leave it out"
    )


def test_sizing_counts_weights_in_host_memory_as_not_on_the_device() -> None:
    def size(offload_gib: int) -> Sized | object:
        asked = serving("deepseek-r1-distill-llama-70b", "h200", engine="vllm")
        device, memory = asked.profile.accelerator, ENGINES["vllm"].memory
        return size_serving(
            ServingRequest(
                asked.architecture, device, memory, context=8192, per_node=1, nodes=1, offload_bytes=offload_gib * GIB
            )
        )

    assert not isinstance(size(0), Sized)
    assert isinstance(size(64), Sized)
