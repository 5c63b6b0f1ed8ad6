"""What is learnt, beside answers and texts: who can, from which data, with what a user must say of it."""

from typing import Any

import pytest

from deepseek_operator.domain.devices.profiles import resolve
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.models.catalogue import find
from deepseek_operator.domain.programs.trainers import limits
from deepseek_operator.domain.programs.trainers.request import DataFormat, Dataset, Objective
from deepseek_operator.domain.programs.trainers.table import TRAINERS, build
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Shape
from deepseek_operator.domain.sizing.request import TrainingRequest
from deepseek_operator.domain.sizing.training_memory import state_bytes, training_memory
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.domain.values.command import Command, Refusal
from tests.support.requests import training

RLHF: dict[str, Any] = {"model": "deepseek-r1-distill-qwen-7b", "layout": Layout()}


def refusal(trainer: str, objective: Objective) -> Refusal:
    built = build(trainer, training(trainer=trainer, objective=objective, **RLHF))
    assert isinstance(built, Refusal)
    return built


@pytest.mark.parametrize("objective", [Objective.DPO, Objective.GRPO, Objective.DISTILL])
@pytest.mark.parametrize("trainer", ["builtin", "torchtitan", "megatron-bridge", "llama-factory"])
def test_who_has_no_objective_names_one_that_has_it(trainer: str, objective: Objective) -> None:
    if trainer == "llama-factory" and objective is Objective.DPO:
        return
    assert "ms-swift" in refusal(trainer, objective).instead


@pytest.mark.parametrize("trainer", ["llama-factory", "ms-swift"])
@pytest.mark.parametrize("objective", Objective)
def test_an_objective_learns_from_its_formats_alone(trainer: str, objective: Objective) -> None:
    if objective not in TRAINERS[trainer].objectives:
        return
    taken = set()
    for form in DataFormat:
        built = build(trainer, training(trainer=trainer, objective=objective, **RLHF, datasets=(Dataset("/a", form),)))
        taken |= {form} if isinstance(built, Command) else set()
        assert isinstance(built, Command) or "write format:" in built.instead
    assert taken == limits.FORMATS.get(objective, set(DataFormat) - {DataFormat.PREFERENCE})


def swift(objective: Objective, *args: str, **values: Any) -> Command | Refusal:
    return build("ms-swift", training(trainer="ms-swift", objective=objective, **RLHF, extra_args=args, **values))


REWARDED, TAUGHT = (
    ("--reward_funcs", "accuracy"),
    ("--teacher_model_server", "http://t:8000", "--gkd_logits_topk", "20"),
)
LACKING: dict[str, tuple[Objective, tuple[str, ...], str]] = {
    "no rewards": (Objective.GRPO, (), "[--reward_funcs, accuracy]"),
    "rewards of another name": (Objective.GRPO, ("--reward", "accuracy"), "--reward_model"),
    "a batch that answers don't divide": (Objective.GRPO, (*REWARDED, "--num_generations", "7"), "globalBatchSize: 70"),
    "answers as long as all": (Objective.GRPO, (*REWARDED, "--max_completion_length=2048"), "a greater sequenceLength"),
    "no teacher": (Objective.DISTILL, (), "--teacher_model_server"),
    "a teacher that tells all": (Objective.DISTILL, TAUGHT[:2], "--gkd_logits_topk"),
    "an objective by flag": (Objective.GRPO, (*REWARDED, "--rlhf_type", "ppo"), "write objective"),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_ms_swift_can_not_learn_without_is_said(case: str) -> None:
    objective, args, said = LACKING[case]
    found = swift(objective, *args)
    assert isinstance(found, Refusal)
    assert said in f"{found}"


@pytest.mark.parametrize(
    ("args", "read", "answer"), [((), 1024, 1024), (("--max_completion_length", "512"), 1536, 512)]
)
def test_prompt_and_answer_share_the_sequence(args: tuple[str, ...], read: int, answer: int) -> None:
    found = swift(Objective.GRPO, *REWARDED, *args)
    assert isinstance(found, Command)
    words = list(found.args)
    assert words[words.index("--max_length") + 1] == str(read)
    assert words.count("--max_completion_length") == 1
    assert words[words.index("--max_completion_length") + 1] == str(answer)
    assert words[words.index("--columns") + 1] == '{"prompt": "query", "completion": "solution"}'


@pytest.mark.parametrize(
    "args", [("--num_generations", "many"), ("--max_completion_length", "-1"), ("--num_generations",)]
)
def test_a_number_that_is_none_is_left_to_its_own_parser(args: tuple[str, ...]) -> None:
    assert isinstance(swift(Objective.GRPO, *REWARDED, *args), Command)


def test_answers_over_wide_layouts_are_refused_with_a_way_out() -> None:
    found = build("ms-swift", training(trainer="ms-swift", model="deepseek-v3", layout=Layout(data=8, expert=8),
                                       objective=Objective.GRPO, extra_args=REWARDED))  # fmt: skip
    assert isinstance(found, Refusal)
    assert "with vLLM beside it" in found.reason


def lines_of(**values: Any) -> dict[str, float]:
    """Bytes by name of what one of eight devices holds that share a 7B."""
    shape = find("deepseek-r1-distill-qwen-7b").architecture
    assert shape is not None
    asked = TrainingRequest(shape, resolve("h200").accelerator, recompute=Recompute.FULL, **values)
    layout = Layout(data=8, sharding=Sharding.ZERO3, shard=8)
    memory = training_memory(asked, layout, Shape(1, 8), Recompute.FULL, state_bytes(asked, layout))
    return {line.name: line.bytes for line in memory.lines}


def test_pairs_are_two_sequences_and_a_reference_is_a_frozen_copy_of_the_model() -> None:
    alone, preferred = lines_of(), lines_of(pairs=True, has_reference=True)
    assert preferred["logits"] == lines_of(micro_batch=2)["logits"] == 2 * alone["logits"]
    assert preferred["activations"] == lines_of(micro_batch=2)["activations"]
    # Sharded as the model is, in 16 bits: of 7.6e9 parameters 1.9 GB on each of eight.
    assert preferred["frozen base"] == pytest.approx(2 * 7.6e9 / 8, rel=0.02)
    assert "frozen base" not in alone
    assert {name for name in alone if alone[name] != preferred[name]} == {"logits", "activations"}


def test_an_adapters_base_is_its_reference() -> None:
    lora = lines_of(method=Method.LORA)
    assert lines_of(method=Method.LORA, has_reference=True) == lora
