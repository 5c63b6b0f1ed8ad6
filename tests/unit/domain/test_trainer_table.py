"""The table of trainers: what an entry says that it can do is what its commands can be built for, and nothing else."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.adapters.admission import Admitted, admit
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.programs.handbook import trainers
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.entry import Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.request import OUTPUT, Hyperparameters, Objective, Tuning
from deepseek_operator.domain.programs.trainers.table import TRAINERS, USUAL, build, offered
from deepseek_operator.domain.sizing.request import ALL_AXES
from deepseek_operator.domain.sizing.training_state import Method, Optimizer
from deepseek_operator.domain.values.command import Command, Refusal
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import minimal_training
from tests.support.requests import NEEDED, training

MODELS = ("deepseek-r1-distill-qwen-7b", "deepseek-v2-lite", "deepseek-v3")
SCRIPT = ("/app/train.py",)
DATA = Layout(data=8, sharding=Sharding.ZERO2, shard=8)
"""Eight data ranks; ZeRO-2, because ZeRO-3 can't shard a base of four bits."""


def separated(axis: str, degree: int) -> Layout:
    more: dict[str, Any] = {axis: degree}
    return Layout(data=8, **more)


SEPARATED = {axis: tuple(separated(axis, degree) for degree in (2, 4, 8)) for axis in ALL_AXES - {"data"}}
"""Layouts in which an axis is used beside data ranks, by the axis."""


def name_of(entry: TrainerEntry) -> str:
    return entry.type


BUILDABLE = [entry for entry in TRAINERS.values() if entry.build is not None]
each = pytest.mark.parametrize("entry", BUILDABLE, ids=name_of)


def hyper(precision: str = "bf16") -> Hyperparameters:
    return Hyperparameters(global_batch=64, max_steps=1000, epochs=None, precision=precision)


def answers(entry: TrainerEntry, layouts: tuple[Layout, ...] = (DATA,), **values: Any) -> Iterator[Command | Refusal]:
    for model in MODELS:
        for layout in layouts:
            for objective in (values["objective"],) if "objective" in values else Objective:
                asked = {"script": SCRIPT, "hyper": hyper(), **values, "objective": objective}
                yield build(entry.type, training(model, "h200", layout, entry.type, **asked))


def can(entry: TrainerEntry, **values: Any) -> bool:
    """Whether it takes this for some model and objective."""
    return any(isinstance(answer, Command) for answer in answers(entry, **values))


@each
def test_an_entry_is_found_by_its_type(entry: TrainerEntry) -> None:
    assert TRAINERS[entry.type] is entry
    assert entry.title
    assert entry.checkpoints


@each
@pytest.mark.parametrize("method", Method)
def test_a_method_is_taken_exactly_where_the_entry_has_it(entry: TrainerEntry, method: Method) -> None:
    assert can(entry, tuning=Tuning(method)) == (method in entry.methods)


@each
@pytest.mark.parametrize("objective", Objective)
def test_an_objective_is_taken_exactly_where_the_entry_has_it(entry: TrainerEntry, objective: Objective) -> None:
    assert can(entry, objective=objective) == (objective in entry.objectives)


@each
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8"])
def test_a_precision_is_taken_exactly_where_the_entry_has_it(entry: TrainerEntry, precision: str) -> None:
    assert can(entry, hyper=hyper(precision)) == (precision in entry.precisions)


@each
@pytest.mark.parametrize("optimizer", Optimizer)
def test_an_optimizer_is_taken_exactly_where_the_entry_has_it(entry: TrainerEntry, optimizer: Optimizer) -> None:
    assert can(entry, optimizer=optimizer) == (optimizer in entry.optimizers)


@pytest.mark.parametrize("optimizer", [one for one in Optimizer if one is not Optimizer.ADAMW])
def test_who_has_not_an_optimizer_names_all_who_have(optimizer: Optimizer) -> None:
    having = [entry.type for entry in BUILDABLE if optimizer in entry.optimizers]
    refused = [next(answers(entry, optimizer=optimizer)) for entry in BUILDABLE if entry.type not in having]
    told = {answer.instead for answer in refused if isinstance(answer, Refusal) and optimizer.value in answer.reason}
    named = {re.sub(r".*, or trainer ", "", text).replace(" or ", ", ") for text in told}
    assert [sorted(text.split(", ")) for text in named] == [sorted(having)]


@each
@pytest.mark.parametrize("axis", sorted(SEPARATED))
def test_ranks_are_laid_out_along_exactly_the_axes_of_the_entry(entry: TrainerEntry, axis: str) -> None:
    assert can(entry, layouts=SEPARATED[axis]) == (axis in entry.axes)


@each
def test_every_trainer_writes_where_the_launcher_keeps_what_it_saves(entry: TrainerEntry) -> None:
    """Ours is told by variables, and a program on DeepSpeed's library by its own author."""
    built = next(answer for answer in answers(entry) if isinstance(answer, Command))
    says = any(OUTPUT in text for text in (*built.args, *built.files.values()))
    assert says == (entry.start is Start.BUILT and not entry.runs_a_program)


@each
def test_what_a_trainer_refuses_comes_with_what_to_write(entry: TrainerEntry) -> None:
    refused = [
        answer for method in Method for answer in answers(entry, tuning=Tuning(method)) if isinstance(answer, Refusal)
    ]
    assert all(answer.reason and answer.instead for answer in refused)


def written(command: Command) -> set[str]:
    """Flags and keys of a configuration file by which the operator decides, in the command or in its files."""
    own = command.args[command.args.index(*SCRIPT) + 1 :] if set(SCRIPT) <= set(command.args) else command.args
    flags = {word.lstrip("-").partition("=")[0] for word in own if word.startswith("--") or "=" in word}
    files = (json.loads(text) for path, text in command.files.items() if path.endswith(".yaml"))
    return flags | {key for config in files for key in config}


@each
def test_what_the_operator_decides_can_not_be_decided_by_an_argument(entry: TrainerEntry) -> None:
    """Every flag that any of its commands has is refused from a user, or yields to them; both spelled in either way."""
    asked = [
        training(model, "h200", layout, entry.type, objective=objective, tuning=tuning, script=SCRIPT, hyper=hyper())
        for objective in Objective
        if objective in entry.objectives
        for model in MODELS
        for layout in (DATA, *SEPARATED["tensor"], *SEPARATED["expert"])
        for tuning in (Tuning(Method.FULL), Tuning(Method.LORA), Tuning(Method.QLORA))
    ]
    taken = [(one, built) for one in asked if isinstance(built := build(entry.type, one), Command)]
    given = {word.removeprefix("--") for words in NEEDED.values() for word in words}
    for name in {name for _, built in taken for name in written(built)} - given:
        if name.replace("_", "-") in entry.flags.yielding:
            continue
        for words in ((f"--{name}", "9"), (f"--{name}=9",), (f"--{name.replace('_', '-')}=9",), (f"{name}=9",)):
            found = build(entry.type, replace(taken[0][0], extra_args=words))
            assert isinstance(found, Refusal), words
            assert "trainer.args" in found.reason
    one = replace(taken[0][0], extra_args=("--of-their-own", "1"))
    assert isinstance(build(entry.type, one), Command) == ("args" in entry.honours)


@pytest.mark.parametrize("entry", offered(), ids=name_of)
@pytest.mark.parametrize(("field", "value"), [("command", ["train"]), ("args", ["--quiet"])])
def test_the_schema_takes_a_field_exactly_where_the_trainer_honours_it(
    entry: TrainerEntry, field: str, value: list[str]
) -> None:
    needed = {"command": ["train"]} if "command" in entry.honours else {}
    spec = minimal_training()["spec"]
    if Objective.SFT not in entry.objectives:
        spec = {**spec, "objective": "Pretrain", "datasets": [{**spec["datasets"][0], "format": "Text"}]}
    manifest = {**minimal_training(), "spec": {**spec, "trainer": {"type": entry.type, **needed}}}
    assert isinstance(admit(manifest, KINDS.definitions), Admitted)
    manifest["spec"]["trainer"][field] = value
    assert isinstance(admit(manifest, KINDS.definitions), Admitted) == (field in entry.honours)


def test_the_table_of_the_documentation_has_every_trainer() -> None:
    rows = trainers().splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == [
        entry.title for entry in (*offered(), *(one for one in TRAINERS.values() if not one.is_offered))
    ]


def test_a_resource_without_a_program_of_its_own_resumes_verified() -> None:
    assert USUAL.resume is Resume.VERIFIED


def test_a_trainer_that_nobody_knows_is_refused_with_those_that_are() -> None:
    found = build("axolotl", training())
    assert isinstance(found, Refusal)
    assert all(entry.type in found.instead for entry in BUILDABLE)
