"""Every option, key, variable and metric that a builder writes exists in the releases that were recorded.

``flag_inventory.json`` holds the names (``tests/support/flag_inventory.py`` regenerates it). TensorRT-LLM and Triton are
not in it, because their packages can't be had from the index: nothing here speaks for them.
"""

import json
import re
from pathlib import Path

import pytest
from deepseek_operator.domain.command import Command
from deepseek_operator.domain.engines import Adapter, build
from deepseek_operator.domain.layout import Layout

from tests.support.requests import serving

RECORDED = json.loads((Path(__file__).parent / "flag_inventory.json").read_text())
RELEASES = RECORDED["releases"]
# Options whose value must be one of the words of the release, not only the option itself.
VALUED = {"--tokenizer-mode", "--tool-call-parser", "--reasoning-parser", "--kv-cache-dtype", "--moe-backend",
          "--quantization", "--attention-backend"}  # fmt: skip


def names(package: str, version: str, kind: str) -> set[str]:
    return set(RELEASES[package][version].get(kind, "").split())


def options(package: str, version: str) -> set[str]:
    """Spelled options, and those that follow from a configuration class's fields."""
    fields = {"--" + name.replace("_", "-") for name in names(package, version, "fields")}
    return names(package, version, "options") | fields


def written(args: tuple[str, ...]) -> list[tuple[str, str]]:
    """``(option, next word)`` of an argument vector."""
    return [(word, following) for word, following in zip(args, (*args[1:], ""), strict=True) if word.startswith("--")]


MODELS = ("deepseek-llm-7b", "deepseek-r1", "deepseek-v3", "deepseek-v3.1", "deepseek-v3.2", "deepseek-v4-flash",
          "deepseek-v4.1-flash", "deepseek-r1-distill-llama-70b")  # fmt: skip
SHAPES = (
    (Layout(tensor=8), 1), (Layout(data=8, expert=8), 1), (Layout(tensor=8, pipeline=2), 2),
    (Layout(data=16, expert=16), 2), (Layout(tensor=8, expert=8), 1), (Layout(), 1),
)  # fmt: skip
DEVICES = ("h200", "h20", "b200", "mi300x", "gaudi3", "ascend910b")
EXTRAS = (
    {},
    {"tool_calls": True, "max_model_length": 8192, "max_concurrency": 64, "memory_fraction": 0.9, "kv_dtype": "fp8",
     "api_key_variable": "KEY", "adapters": (Adapter("a", "/a"),), "trust_remote_code": True},
    {"queue_limit": 10},
    {"storage": "int8"},
    {"storage": "bf16", "kv_dtype": "bf16"},
    {"storage": "w4a8"},
    {"storage": "fp8"},
)  # fmt: skip


def commands(engine: str, version: str) -> list[Command]:
    built = (
        build(engine, serving(model, device, layout, engine, version=version, nodes=nodes, **extra))
        for model in MODELS
        for layout, nodes in SHAPES
        for device in DEVICES
        for extra in EXTRAS
    )
    return [command for command in built if isinstance(command, Command)]


ENGINES = [(engine, version) for engine in ("vllm", "sglang") for version in RELEASES[engine]]


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_no_engine_is_given_an_option_that_its_release_lacks(engine, version):
    known = options(engine, version)
    used = {flag for command in commands(engine, version) for flag, _ in written(command.worker_args or command.args)}
    assert len(used) > 10
    assert used - known == set()


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_no_engine_is_given_a_value_that_its_release_lacks(engine, version):
    known = names(engine, version, "words") | {"ascend"}  # "ascend" is registered by the plugin of that name
    used = {pair for command in commands(engine, version) for pair in written(command.args) if pair[0] in VALUED}
    assert used
    assert {(flag, value) for flag, value in used if value not in known} == set()


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_no_engine_is_set_a_variable_that_its_release_does_not_read(engine, version):
    known = names(engine, version, "environment")
    # Read by plugins and by images, not by the package that was recorded.
    elsewhere = {"VLLM_SKIP_WARMUP", "VLLM_NO_USAGE_STATS", "SGLANG_USE_AITER"}
    used = {name for command in commands(engine, version) for name, _ in command.env
            if re.match("VLLM_|SGLANG_|SGL_", name)}  # fmt: skip
    assert used - known - elsewhere == set()


@pytest.mark.parametrize(("engine", "version"), ENGINES)
def test_every_metric_that_is_read_is_published_by_the_release(engine, version):
    known = names(engine, version, "metrics")
    command = commands(engine, version)[0]
    assert command.metrics is not None
    missing = {
        name
        for name in command.metrics.names.values()
        if name not in known and name.removesuffix("_total") not in known
    }
    assert missing == set()


def test_what_could_not_be_recorded_is_said():
    assert set(RECORDED["unavailable"]) == {"tensorrt-llm", "tritonserver"}
    assert not set(RECORDED["unavailable"]) & set(RELEASES)
