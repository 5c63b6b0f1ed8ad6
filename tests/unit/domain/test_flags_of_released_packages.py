"""Every option, key, variable and metric that a builder writes exists in the releases that were recorded.

``flag_inventory.json`` holds the names (``tests/support/flag_inventory.py`` regenerates it). TensorRT-LLM and Triton are
not in it, because their packages can't be had from the index: nothing here speaks for them.
"""

import ast
import fnmatch
import itertools
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.programs.engines.options import SWITCHES, Value, words
from deepseek_operator.domain.programs.engines.request import Adapter
from deepseek_operator.domain.programs.engines.table import ENGINES, build
from deepseek_operator.domain.programs.trainers import megatron_bridge, torchtitan
from deepseek_operator.domain.programs.trainers.request import (
    DataFormat,
    Dataset,
    Hyperparameters,
    LossOn,
    Objective,
    Schedule,
    Tuning,
)
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.domain.programs.trainers.table import build as build_trainer
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method, Offload
from deepseek_operator.domain.values.command import Command
from tests.support.requests import serving, training

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
EXTRAS: tuple[dict[str, Any], ...] = (
    {},
    {"tool_calls": True, "max_model_length": 8192, "max_concurrency": 64, "memory_fraction": 0.9, "kv_dtype": "fp8",
     "adapters": (Adapter("a", "/a"),), "trust_remote_code": True},
    {"api_key_variable": "KEY"},
    {"queue_limit": 10},
    {"storage": "int8"},
    {"storage": "bf16", "kv_dtype": "bf16"},
    {"storage": "w4a8"},
    {"storage": "fp8"},
)  # fmt: skip


@cache
def commands(engine: str, version: str) -> list[Command]:
    built = (
        build(engine, serving(model, device, layout, engine, version=version, nodes=nodes, **extra))
        for model in MODELS
        for layout, nodes in SHAPES
        for device in DEVICES
        for extra in EXTRAS
    )
    return [command for command in built if isinstance(command, Command)]


RECORDED_ENGINES = [(engine, version) for engine in ENGINES for version in RELEASES.get(engine, ())]


@pytest.mark.parametrize(("engine", "version"), RECORDED_ENGINES)
def test_no_engine_is_given_an_option_that_its_release_lacks(engine: str, version: str) -> None:
    known = options(engine, version)
    used = {flag for command in commands(engine, version) for flag, _ in written(command.worker_args or command.args)}
    assert len(used) > 10
    assert used - known == set()


@pytest.mark.parametrize(("engine", "version"), RECORDED_ENGINES)
def test_no_engine_is_given_a_value_that_its_release_lacks(engine: str, version: str) -> None:
    known = names(engine, version, "words") | {"ascend"}  # "ascend" is registered by the plugin of that name
    used = {pair for command in commands(engine, version) for pair in written(command.args) if pair[0] in VALUED}
    assert used
    assert {(flag, value) for flag, value in used if value not in known} == set()


@pytest.mark.parametrize(("engine", "version"), RECORDED_ENGINES)
def test_no_engine_is_set_a_variable_that_its_release_does_not_read(engine: str, version: str) -> None:
    known = names(engine, version, "environment")
    # Read by plugins and by images, not by the package that was recorded.
    elsewhere = {"VLLM_SKIP_WARMUP", "VLLM_NO_USAGE_STATS", "SGLANG_USE_AITER"}
    used = {name for command in commands(engine, version) for name, _ in command.env
            if re.match("VLLM_|SGLANG_|SGL_", name)}  # fmt: skip
    assert used - known - elsewhere == set()


@pytest.mark.parametrize(("engine", "version"), RECORDED_ENGINES)
def test_every_metric_that_is_read_is_published_by_the_release(engine: str, version: str) -> None:
    # vLLM's HTTP server counts by prometheus-fastapi-instrumentator, whose name this is.
    known = names(engine, version, "metrics") | {"http_requests_total"}
    command = commands(engine, version)[0]
    assert command.metrics is not None
    read = {name.partition("{")[0] for name in command.metrics.names.values()}
    assert {name for name in read if name not in known and name.removesuffix("_total") not in known} == set()


@pytest.mark.parametrize(("engine", "version"), RECORDED_ENGINES)
@pytest.mark.parametrize("is_on", [True, False])
def test_every_flag_of_an_option_is_in_the_release(engine: str, version: str, is_on: bool) -> None:
    """`--no-` stands before switches of vLLM, which are BooleanOptionalAction in its arg_utils.py."""
    mapped = ENGINES[engine].options
    values: dict[str, Value] = {name: is_on if name in SWITCHES else 1 for name in mapped}
    flags = {word for word in words(mapped, values) if word.startswith("--")}
    assert len(flags) > 6
    known = options(engine, version)
    assert {flag for flag in flags if "--" + flag.removeprefix("--").removeprefix("no-") not in known} == set()


def lines(command: Command, end: str) -> dict[str, Any]:
    return next(json.loads(text) for path, text in command.files.items() if path.endswith(end))


def imported(program: str, root: str) -> set[str]:
    """``module:name`` of what a program imports by name from one package; modules themselves are left out."""
    froms = (node for node in ast.parse(program).body if isinstance(node, ast.ImportFrom))
    pairs = {(str(node.module), alias.name) for node in froms for alias in node.names}
    return {f"{module}:{name}" for module, name in pairs if module.startswith(root) and name not in MODULES}


MODULES = {"text_datasets", "config_registry"}


CHATS = (Dataset("/a", DataFormat.MESSAGES), Dataset("/b", DataFormat.ALPACA, held_out=True))


@cache
def trainings(trainer: str) -> list[Command]:
    """Every command of a trainer over a grid of models, methods, layouts and objectives."""
    sets = (
        Dataset("/a", DataFormat.TEXT, 3.0),
        Dataset("/b", DataFormat.TEXT),
        Dataset("/c", DataFormat.TEXT, held_out=True),
    )
    layouts = (
        Layout(data=8, sharding=Sharding.ZERO3, shard=8), Layout(data=8, sharding=Sharding.ZERO2, shard=8),
        Layout(data=16, sharding=Sharding.HSDP, shard=8), Layout(data=16, expert=8), Layout(tensor=2, pipeline=2, data=4, expert=8),
    )  # fmt: skip
    steps = Hyperparameters(global_batch=64, max_steps=100, epochs=None, eval_every_steps=10, schedule=Schedule.LINEAR)
    grid = itertools.product(
        ("deepseek-v3", "deepseek-v2-lite", "deepseek-v4-flash", "deepseek-r1-distill-qwen-7b"), layouts, Objective,
        (Method.FULL, Method.LORA, Method.QLORA), (sets, sets[:2], sets[1:], CHATS),
        (steps, replace(steps, max_steps=None, epochs=2, eval_every_steps=None, schedule=Schedule.COSINE),
         replace(steps, schedule=Schedule.CONSTANT)),
    )  # fmt: skip
    recomputes = itertools.cycle(Recompute)
    losses = itertools.cycle(LossOn)
    offloads = itertools.cycle((Offload.NONE, Offload.ALL, Offload.OPTIMIZER, Offload.NONE, Offload.NONE))
    built = (
        build_trainer(trainer, training(model, "h100", layout, trainer, objective=objective, tuning=Tuning(method),
                                         datasets=datasets, hyper=hyper, script=("train.py",), recompute=next(recomputes), offload=next(offloads), loss_on=next(losses)))
        for model, layout, objective, method, datasets, hyper in grid
    )  # fmt: skip
    return [command for command in built if isinstance(command, Command)]


def test_torchrun_knows_the_options_that_start_workers() -> None:
    known = options("torch", "2.13.0")
    args = trainings("deepspeed")[0].args
    used = {flag for flag, _ in written(args[: args.index("train.py")])}
    assert len(used) == 5
    assert used - known == set()


def test_llama_factory_knows_every_key_of_its_file() -> None:
    fields = names("llamafactory", "0.9.5", "fields") | names("transformers", "5.23.0", "fields")
    used = {key for command in trainings("llama-factory") for key in lines(command, "llama-factory.yaml")}
    assert len(used) > 25
    assert used - fields == set()
    templates = {lines(command, "llama-factory.yaml")["template"] for command in trainings("llama-factory")}
    assert templates - names("llamafactory", "0.9.5", "words") == set()


def test_llama_factorys_launcher_reads_the_variables_that_it_is_given() -> None:
    given = {name for name, _ in trainings("llama-factory")[0].env} & {
        "FORCE_TORCHRUN",
        "NNODES",
        "NODE_RANK",
        "NPROC_PER_NODE",
    }
    assert len(given) == 4
    assert given - names("llamafactory", "0.9.5", "words") == set()


@pytest.mark.parametrize(
    ("trainer", "package", "version"), [("llama-factory", "llamafactory", "0.9.5"), ("ms-swift", "ms-swift", "4.6.0")]
)
def test_every_flag_that_a_trainer_may_not_be_given_is_one_of_its_release(
    trainer: str, package: str, version: str
) -> None:
    """What nobody knows guards nothing: a flag that was renamed would pass under its new name."""
    fields = {
        name.replace("_", "-") for name in names(package, version, "fields") | names("transformers", "5.23.0", "fields")
    }
    flags = TRAINERS[trainer].flags
    known = {name for owned in flags.owned for name in owned.names} | set(flags.yielding)
    assert {name for name in known if not fnmatch.filter(fields, name)} == set()


def test_ms_swift_knows_every_argument() -> None:
    fields = names("ms-swift", "4.6.0", "fields") | names("transformers", "5.23.0", "fields")
    used = {flag.removeprefix("--") for command in trainings("ms-swift") for flag, _ in written(command.args)}
    assert {"mcore_adapter", "deepspeed", "quant_bits", "expert_model_parallel_size"} <= used
    assert used - fields == set()
    scripted = {"resume_from_checkpoint", "finetune"}
    assert all(
        any(f"--{name} " in text for c in trainings("ms-swift") for text in c.files.values()) for name in scripted
    )
    assert scripted - fields == set()


def test_deepspeed_knows_every_key_of_its_file() -> None:
    release = names("deepspeed", "0.19.8", "fields") | names("deepspeed", "0.19.8", "words")
    sections = [lines(command, "deepspeed.json") for command in trainings("deepspeed")]
    top = {key for config in sections for key in config}
    zero = {key for config in sections for key in config["zero_optimization"]}
    assert "zero_hpz_partition_size" in zero
    assert (top | zero) - release == set()


def test_torchtitan_knows_every_attribute_that_is_assigned() -> None:
    release = names("torchtitan", "0.3.0", "fields") | names("torchtitan", "0.3.0", "attributes")
    given = [lines(command, "torchtitan.json") for command in trainings("torchtitan")]
    assert given
    assert {
        part for settings in given for dotted in settings["assign"] for part in dotted.split(".")
    } - release == set()
    functions = names("torchtitan", "0.3.0", "functions")
    recipes = {f"torchtitan.models.deepseek_v3.config_registry:{settings['recipe']}" for settings in given}
    assert recipes - functions == set()
    assert imported(torchtitan.PROGRAM_TEXT, "torchtitan.") - functions == set()
    for name in ("DATASETS", "HFDataSource", "InterleavedHuggingFaceTextDataLoader"):
        assert f"text_datasets.{name}" in torchtitan.PROGRAM_TEXT
        assert f"torchtitan.hf_datasets.text_datasets:{name}" in functions


def test_megatron_bridge_knows_every_attribute_that_is_assigned() -> None:
    release = (
        names("megatron-bridge", "0.6.2", "fields")
        | names("megatron-bridge", "0.6.2", "attributes")
        | names("megatron-core", "0.19.2", "fields")
    )
    given = [lines(command, "megatron-bridge.json") for command in trainings("megatron-bridge")]
    assert len({settings["recipe"] for settings in given}) == 3
    assert {
        part for settings in given for dotted in settings["assign"] for part in dotted.split(".")
    } - release == set()
    functions = names("megatron-bridge", "0.6.2", "functions")
    used = {f"{settings['module']}:{settings['recipe']}" for settings in given}
    used |= {settings["layout"] for settings in given if settings["layout"]}
    used |= {f"{settings['step']}:forward_step" for settings in given}
    assert used - functions == set()
    assert imported(megatron_bridge.PROGRAM_TEXT, "megatron.") - functions == set()


def test_what_could_not_be_recorded_is_said() -> None:
    assert set(RECORDED["unavailable"]) == {"tensorrt-llm", "tritonserver"}
    assert not set(RECORDED["unavailable"]) & set(RELEASES)
