"""A user's own flags never overrule the operator in silence: refused with the field to write, or counted with."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given as some
from hypothesis import strategies as st

from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.models.catalogue import models
from deepseek_operator.domain.models.model import SHAPE_FIELDS, from_config_json
from deepseek_operator.domain.programs.arguments import Given, given
from deepseek_operator.domain.programs.engines.request import Adapter
from deepseek_operator.domain.programs.engines.table import ENGINES, build, offered
from deepseek_operator.domain.programs.handbook import flags as flags_table
from deepseek_operator.domain.values.command import Command, Refusal
from tests.support.requests import serving

RELEASES = json.loads((Path(__file__).parent / "flag_inventory.json").read_text())["releases"]
CHECKED = tuple(engine for engine in ENGINES if engine in RELEASES)
"""Engines whose names of flags are recorded; those of the others are of their manuals."""
FIELDS = {
    "vllm": {
        "--port": "8000", "--host": "8000", "--served-model-name": "model.name", "--max-model-len": "maxModelLength",
        "--tensor-parallel-size": "parallelism.tensor", "--pipeline-parallel-size": "parallelism.pipeline",
        "--data-parallel-size": "parallelism.data", "--data-parallel-size-local": "parallelism.data",
        "--kv-cache-dtype": "kvCacheDtype", "--quantization": "model.quantization", "--model": "model.source",
        "--hf-config-path": "model.source", "--disable-log-stats": "metrics", "--api-key": "Secret", "--config": "engine.args", "--shutdown-timeout": "GracePeriod",
        "-tp": "parallelism.tensor", "-q": "model.quantization", "-dpl": "parallelism.data",
    },
    "sglang": {
        "--port": "8000", "--model-path": "model.source", "--served-model-name": "model.name", "--tp-size": "parallelism.tensor",
        "--tensor-parallel-size": "parallelism.tensor", "--dp-size": "parallelism.data", "--context-length": "maxModelLength",
        "--kv-cache-dtype": "kvCacheDtype", "--quantization": "model.quantization", "--api-key": "Secret",
    },
    "tensorrt-llm": {
        "--port": "8000", "--tp_size": "parallelism.tensor", "--max_seq_len": "maxModelLength", "--config": "engine.args",
    },
    "triton": {"--openai-port": "8000", "--model-repository": "model.source", "--openai-restricted-api": "gateway"},
}  # fmt: skip
OWNED = [(engine, flag, field) for engine, flags in FIELDS.items() for flag, field in flags.items()]


def says(engine: str, *args: str, env: Mapping[str, str | None] | None = None) -> Given | Refusal:
    return given(ENGINES[engine].flags, args, env or {})


def options(engine: str, version: str) -> set[str]:
    names = RELEASES[engine][version]
    fields = {"--" + name.replace("_", "-") for name in names.get("fields", "").split() if name[0] != "_"}
    return set(names["options"].split()) | fields


def spellings(flag: str) -> Iterator[tuple[str, ...]]:
    yield flag, "9"
    yield (f"{flag}=9",)
    if not flag.startswith("--"):
        yield (f"{flag}9",)
        return
    yield flag.replace("-", "_").replace("__", "--", 1), "9"
    yield "--enforce-eager", flag, "9"
    yield (f"--no-{flag[2:]}",)
    yield (f"{flag}.key=9",)
    yield (f"$(FLAG){flag[6:]}", "9") if len(flag) > 8 else (flag,)


@pytest.mark.parametrize(("engine", "flag", "field"), OWNED)
def test_a_flag_of_the_operators_is_refused_in_every_spelling_with_the_field_to_write(
    engine: str, flag: str, field: str
) -> None:
    for spelt in spellings(flag):
        found = says(engine, *spelt, env={"FLAG": flag[:6]})
        assert isinstance(found, Refusal), spelt
        assert field in str(found), spelt
        assert " 9" not in str(found).replace("9 GiB", ""), "a value may be a secret"


@pytest.mark.parametrize("begun", ["--tensor-parallel", "--served-model", "--kv-cache-dt", "--max-model", "--por"])
def test_the_beginning_of_a_flag_is_the_flag_as_argparse_has_it(begun: str) -> None:
    assert isinstance(says("vllm", begun, "4"), Refusal)


@pytest.mark.parametrize("engine", CHECKED)
def test_no_released_flag_of_another_meaning_is_refused(engine: str) -> None:
    """Every option of every recorded release: refused only if the table names it, or it begins one that the table names."""
    flags = ENGINES[engine].flags
    named = [name for owned in flags.owned for name in owned.names]
    for version in RELEASES[engine]:
        for option in sorted(options(engine, version)):
            if not isinstance(says(engine, option, "1"), Refusal):
                continue
            word = option[2:]
            assert any(fnmatchcase(spelt, name) for name in named for spelt in (word, word.removeprefix("no-"))), option


@pytest.mark.parametrize("engine", CHECKED)
def test_every_name_in_the_table_is_of_a_release(engine: str) -> None:
    known = set().union(*(options(engine, version) for version in RELEASES[engine]))
    flags = ENGINES[engine].flags
    longs = [name for owned in flags.owned for name in owned.names if not name.startswith("-")]
    accepted_elsewhere = {"uds", "ssl-*", "enable-ssl-refresh", "grpc", "torchao-config", "base-gpu-id",
                          "gpu-id-step"}  # fmt: skip
    spelt = [name for name in (*flags.read, *flags.overrides, *flags.yielding) if not name.startswith("-")]
    for name in [*longs, *spelt]:
        assert name in accepted_elsewhere or any(fnmatchcase(option[2:], name) for option in known), name


@pytest.mark.parametrize("engine", CHECKED)
def test_every_flag_that_a_builder_writes_is_in_the_table(engine: str) -> None:
    flags = ENGINES[engine].flags
    known = {name for owned in flags.owned for name in owned.names} | {*flags.read, *flags.yielding, *flags.overrides}
    everything = {
        "tool_calls": True, "max_model_length": 8192, "max_concurrency": 64, "queue_limit": 9, "memory_fraction": 0.9,
        "kv_dtype": "fp8", "trust_remote_code": True, "adapters": (Adapter("a", "/a"),),
    }  # fmt: skip
    for model in (
        "deepseek-r1",
        "deepseek-v3.1",
        "deepseek-v4-flash",
        "deepseek-v4.1-flash",
        "deepseek-r1-distill-llama-70b",
    ):
        for layout, nodes in ((Layout(tensor=8), 1), (Layout(data=8, expert=8), 1), (Layout(tensor=8, pipeline=2), 2),
                              (Layout(data=16, expert=16), 2)):  # fmt: skip
            for device in ("h200", "b200", "ascend910b"):
                for extra in ({}, everything, {"storage": "int8"}):
                    asked = serving(model, device, layout, engine, nodes=nodes, **extra)
                    built = build(engine, asked)
                    if isinstance(built, Command):
                        written = {word[2:] for word in built.args if word.startswith("--")} - {""}
                        missing = {w for w in written if not any(fnmatchcase(w, name) for name in known)}
                        assert not missing, (model, layout)


def test_what_the_engine_decides_alone_is_let_through() -> None:
    args = (
        "--enforce-eager", "--max-num-seqs", "64", "--enable-prefix-caching", "--seed=7", "--chat-template", "/m/t.jinja",
        "--override-generation-config", '{"temperature": 0.6}', "--rope-theta", "-1", "-O3", "--dtype=bfloat16",
        "--compilation-config.level", "3", "--reasoning-parser", "deepseek_r1", "--api-key", "$(KEY)",
    )  # fmt: skip
    assert says("vllm", *args) == Given(running=64)
    assert says("sglang", "--disable-radix-cache", "--schedule-policy", "lpm") == Given()


@pytest.mark.parametrize(
    ("engine", "args", "found"),
    [
        ("vllm", ("--gpu-memory-utilization", "0.3"), Given(memory_fraction=0.3)),
        ("vllm", ("--gpu_memory_utilization=0.3",), Given(memory_fraction=0.3)),
        ("vllm", ("--gpu-memory-util", "0.3"), Given(memory_fraction=0.3)),
        ("vllm", ("--gpu-memory-utilization", "0.3", "--gpu-memory-utilization=0.5"), Given(memory_fraction=0.5)),
        ("vllm", ("--max-num-batched-tokens", "8k"), Given(step_tokens=8000)),
        ("vllm", ("--max-num-batched-tokens=2K",), Given(step_tokens=2048)),
        ("vllm", ("--speculative-config", '{"method":"mtp"}'), Given(speculation=True)),
        ("vllm", ("--speculative-config.method", "mtp"), Given(speculation=True)),
        ("vllm", ("-sc", '{"method":"mtp"}'), Given(speculation=True)),
        ("vllm", ("-sc.method", "mtp"), Given(speculation=True)),
        ("vllm", ('-sc={"method":"mtp"}',), Given(speculation=True)),
        ("sglang", ("--mem-fraction-static", "0.7", "--chunked-prefill-size", "-1"), Given(memory_fraction=0.7)),
        ("tensorrt-llm", ("--kv_cache_free_gpu_memory_fraction", "0.8"), Given(memory_fraction=0.8)),
    ],
)
def test_what_has_no_field_is_counted_with(engine: str, args: tuple[str, ...], found: Given) -> None:
    assert says(engine, *args) == found


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--gpu-memory-utilization", "92"), "above 0 and up to 1"),
        (("--gpu-memory-utilization",), "above 0 and up to 1"),
        (("--max-num-batched-tokens", "many"), "whole number"),
        (("--dtype", "float32"), "model.quantization"),
        (("--port 9000",), "8000"),
        (("--seed 7",), "two items"),
        (("other/model",), "begin with a flag"),
        (("--seed", "1", "$(EXTRA)"), "begin with a flag"),
        (("$(KNOWN)",), "8000"),
        (("--hf-overrides", '{"num_hidden_layers": 2}'), "num_hidden_layers"),
        (("--hf-overrides", '{"text_config": {"max_position_embeddings": 9}}'), "max_position_embeddings"),
        (("--hf-overrides.max_position_embeddings", "9"), "max_position_embeddings"),
    ],
)
def test_what_can_not_be_counted_says_what_to_write(args: tuple[str, ...], told: str) -> None:
    found = says("vllm", *args, env={"KNOWN": "--port=9000", "EXTRA": None})
    assert isinstance(found, Refusal)
    assert told in str(found)


def test_an_override_that_no_size_depends_on_is_let_through() -> None:
    assert says("vllm", "--hf-overrides", '{"rope_scaling": {"rope_type": "yarn", "factor": 4}}') == Given()


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("vllm", "VLLM_HOST_IP"), ("vllm", "VLLM_PORT"), ("vllm", "VLLM_API_KEY"), ("vllm", "VLLM_DP_SIZE"),
        ("vllm", "CUDA_VISIBLE_DEVICES"), ("vllm", "HOST_IP"), ("sglang", "HIP_VISIBLE_DEVICES"), ("sglang", "SGLANG_PORT"),
        ("tensorrt-llm", "WORLD_SIZE"), ("triton", "CUDA_VISIBLE_DEVICES"),
    ],
)  # fmt: skip
def test_a_variable_that_decides_the_same_is_refused(engine: str, name: str) -> None:
    found = says(engine, env={name: "s3cret"})
    assert isinstance(found, Refusal)
    assert name in str(found)
    assert "s3cret" not in str(found)


def test_variables_that_decide_nothing_of_ours_and_keys_from_a_secret_are_let_through() -> None:
    harmless = {"HOME": "/cache", "VLLM_NO_USAGE_STATS": "0", "VLLM_ENGINE_READY_TIMEOUT_S": "7200", "NCCL_DEBUG": "INFO",
                "VLLM_API_KEY": None, "VLLM_LOGGING_LEVEL": "DEBUG"}  # fmt: skip
    assert says("vllm", env=harmless) == Given()


def test_all_that_is_refused_is_told_at_once() -> None:
    found = says("vllm", "--port", "9000", "-tp", "4", env={"VLLM_PORT": "1"})
    for name in ("--port", "-tp", "VLLM_PORT"):
        assert name in str(found)


@pytest.mark.parametrize("engine", sorted(FIELDS))
def test_every_engine_that_takes_arguments_refuses_them_in_its_builder(engine: str) -> None:
    model = "deepseek-r1-distill-llama-70b"
    flag, field = next(iter(FIELDS[engine].items()))
    refused = build(engine, serving(model, engine=engine, extra_args=(flag, "9000")))
    assert isinstance(refused, Refusal)
    assert field in str(refused)
    assert isinstance(build(engine, serving(model, engine=engine)), Command)


@some(st.lists(st.text(max_size=12), max_size=6), st.sampled_from(sorted(ENGINES)))
def test_no_argument_whatever_is_worse_than_refused(args: list[str], engine: str) -> None:
    assert isinstance(says(engine, *args), Given | Refusal)


def test_the_table_of_the_documentation_has_every_name() -> None:
    told = flags_table()
    for entry in offered():
        for owned in (*entry.flags.owned, *entry.flags.variables):
            assert all(name in told for name in owned.names)
            assert owned.instead in told


def test_fields_that_sizing_reads_are_the_ones_that_no_flag_may_override() -> None:
    class Recorder(dict[str, object]):
        read: set[str] = set()

        def get(self, name: str, default: object = None) -> object:
            Recorder.read.add(name)
            return super().get(name, default)

    llama = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 9,
             "max_position_embeddings": 64}  # fmt: skip
    latent = {"kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "index_topk": 2,
              "index_n_heads": 2, "index_head_dim": 8, "n_routed_experts": 8, "num_experts_per_tok": 2,
              "moe_intermediate_size": 8, "model_type": "deepseek_v3"}  # fmt: skip
    low = {**latent, "compress_ratios": [4, 4], "head_dim": 8, "q_lora_rank": 8, "o_lora_rank": 8, "o_groups": 2,
           "sliding_window": 8}  # fmt: skip
    for config in (llama, llama | latent, llama | low, llama | low | {"kv_source_layer_ids": [0]}):
        from_config_json(Recorder(config))
    assert Recorder.read - {"text_config", "language_config"} <= SHAPE_FIELDS
    assert models()
