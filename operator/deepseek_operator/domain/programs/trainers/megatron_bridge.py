"""Megatron-Bridge: pre-training from its recipes, for every shape of which the release has one.

The command starts a program that takes the recipe, sets layout, data and learning, and runs it. Names of 0.6.2 are
recorded from the released package and checked by a test. Data are Megatron's indexed files, named by their prefix;
weights start random, ``path`` gives shape and tokenizer.
"""

from dataclasses import dataclass

from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import instead, limits, memory, recipe
from deepseek_operator.domain.programs.trainers.entry import Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.request import Objective, Schedule, TrainerRequest
from deepseek_operator.domain.sizing.training_state import Method, Offload
from deepseek_operator.domain.values.command import Command, Refusal

PROGRAM = "megatron-bridge"
PRECISIONS = ("bf16",)
V3_STAGES = (1, 4, 8, 16)
"""Pipelines into which the release cuts V3's 61 layers; it has no layout for others."""
RAW_SUFFIXES = (".jsonl", ".json", ".txt", ".parquet", ".csv")


@dataclass(frozen=True)
class Recipe:
    """Where a recipe lies, the ``module:function`` that lays its pipeline out anew (or none), and its step."""

    module: str
    function: str
    layout: str | None = None
    step: str = "megatron.bridge.training.gpt_step"


_V2 = "megatron.bridge.recipes.deepseek.deepseek_v2"
_V3 = Recipe(
    "megatron.bridge.recipes.deepseek.deepseek_v3",
    "deepseek_v3_pretrain_config",
    "megatron.bridge.recipes.deepseek.deepseek_v3:set_deepseek_v3_pipeline_model_parallel_layout",
)
RECIPES = {
    "deepseek-v2-lite": Recipe(_V2, "deepseek_v2_lite_pretrain_config"),
    "deepseek-v2": Recipe(_V2, "deepseek_v2_pretrain_config"),
    "deepseek-v3": _V3,
    "deepseek-v3.1": _V3,
    "deepseek-v4-flash": Recipe(
        "megatron.bridge.recipes.deepseek.deepseek_v4",
        "deepseek_v4_flash_pretrain_config",
        "megatron.bridge.models.deepseek.deepseek_v4_bridge:set_deepseek_v4_pipeline_model_parallel_layout",
        "megatron.bridge.models.deepseek.deepseek_v4_step",
    ),
}
PROGRAM_TEXT = (
    """\
import importlib
import json
import sys

from megatron.bridge.training.pretrain import pretrain


"""
    + recipe.ASSIGN
    + """

def main():
    with open(sys.argv[1]) as file:
        settings = json.load(file)
    recipes = importlib.import_module(settings["module"])
    config = getattr(recipes, settings["recipe"])()
    for dotted, value in settings["assign"].items():
        assign(config, dotted, value)
    config.dataset.blend = tuple(settings["blend"])
    config.checkpoint.save = config.checkpoint.load = sys.argv[2]
    if settings["layout"]:
        module, _, function = settings["layout"].partition(":")
        getattr(importlib.import_module(module), function)(config.model)
    step = importlib.import_module(settings["step"])
    pretrain(config, step.forward_step)


main()
"""
)
WARNINGS = ("weights start random: the model's path gives shape and tokenizer",)


def build(asked: TrainerRequest) -> Command | Refusal:
    """Return the command of every node, or why there is none."""
    return _refusal(asked) or recipe.run(PROGRAM, asked, PROGRAM_TEXT, _settings(asked), WARNINGS)


def _refusal(asked: TrainerRequest) -> Refusal | None:
    if asked.objective is not Objective.PRETRAIN or asked.tuning.method is not Method.FULL:
        return Refusal("this builder drives Megatron-Bridge's pre-training recipes",
                       "write trainer ms-swift, whose megatron command does SFT and LoRA on the same core")  # fmt: skip
    if asked.model not in RECIPES:
        return Refusal(
            f"Megatron-Bridge 0.6 has no recipe of {asked.model}", f"write one of {', '.join(sorted(RECIPES))}"
        )
    return (
        memory.only_adamw("Megatron-Bridge", asked)
        or memory.only_optimizer_offload("Megatron-Bridge", asked)
        or limits.refusal(PROGRAM, asked, instead.NOTHING, PRECISIONS)
        or limits.only_steps("Megatron-Bridge", asked)
        or _data(asked)
        or _layout(asked)
    )


def _data(asked: TrainerRequest) -> Refusal | None:
    if asked.held_out_sets:
        return Refusal("Megatron-Bridge splits its evaluation off the training data", "leave Heldout datasets out")
    raw = [dataset.path for dataset in asked.training_sets if dataset.path.endswith(RAW_SUFFIXES)]
    if raw or not asked.training_sets:
        return Refusal(f"Megatron-Bridge reads indexed data, not {raw[0] if raw else 'nothing'}",
                       "write the prefix of a .bin/.idx pair, made by Megatron's preprocess_data")  # fmt: skip
    return None


def _layout(asked: TrainerRequest) -> Refusal | None:
    layout = asked.layout
    if asked.model.startswith("deepseek-v4") and layout.tensor > 1:
        return Refusal("Megatron-Bridge's V4 attention is not cut by tensor ranks", "write tensor: 1")
    if RECIPES[asked.model] is _V3 and layout.pipeline not in V3_STAGES:
        return Refusal(f"Megatron-Bridge cuts {asked.model} into {V3_STAGES} stages, not {layout.pipeline}",
                       "write pipeline: 8 or another of them")  # fmt: skip
    ranks = layout.data * layout.context * layout.tensor
    if ranks % layout.expert:
        return Refusal(
            f"expert {layout.expert} does not divide data × context × tensor = {ranks}", "write a divisor of it"
        )
    return None


def _settings(asked: TrainerRequest) -> dict[str, object]:
    chosen = RECIPES[asked.model]
    sets = asked.training_sets
    return {
        "module": chosen.module,
        "recipe": chosen.function,
        "layout": chosen.layout,
        "step": chosen.step,
        "blend": [[dataset.path for dataset in sets], [dataset.weight for dataset in sets]],
        "assign": {**_degrees(asked), **_learning(asked), **_checkpoints(asked)},
    }


def _degrees(asked: TrainerRequest) -> dict[str, object]:
    layout = asked.layout
    return {
        "model.tensor_model_parallel_size": layout.tensor,
        "model.pipeline_model_parallel_size": layout.pipeline,
        "model.virtual_pipeline_model_parallel_size": None,
        "model.context_parallel_size": layout.context,
        "model.expert_model_parallel_size": layout.expert,
        "model.sequence_parallel": layout.tensor > 1,
    }


def _learning(asked: TrainerRequest) -> dict[str, object]:
    hyper = asked.hyper
    peak = float(hyper.learning_rate)
    return {
        "model.seq_length": hyper.sequence,
        "dataset.seq_length": hyper.sequence,
        "train.train_iters": hyper.max_steps,
        "train.global_batch_size": hyper.global_batch,
        "train.micro_batch_size": hyper.micro_batch,
        "optimizer.lr": peak,
        "optimizer.min_lr": peak if hyper.schedule is Schedule.CONSTANT else 0.0,
        "optimizer.weight_decay": float(hyper.weight_decay),
        "optimizer.clip_grad": float(hyper.clip_norm),
        "scheduler.lr_decay_style": hyper.schedule.value.lower(),
        "scheduler.lr_warmup_iters": hyper.warmup_steps,
        "tokenizer.tokenizer_type": "HuggingFaceTokenizer",
        "tokenizer.tokenizer_model": asked.path,
        "rng.seed": hyper.seed,
        "optimizer.optimizer_cpu_offload": asked.offload is Offload.OPTIMIZER,
        **{f"model.{name}": value for name, value in memory.megatron_recompute(asked).items()},
        **({} if hyper.eval_every_steps is None else {"validation.eval_interval": hyper.eval_every_steps}),
    }


def _checkpoints(asked: TrainerRequest) -> dict[str, object]:
    return {"checkpoint.save_interval": asked.every_steps, "checkpoint.most_recent_k": asked.keep_last}


ENTRY = TrainerEntry(
    type=PROGRAM,
    title="Megatron-Bridge",
    version="0.6.2",
    start=Start.BUILT,
    build=build,
    checkpoints="Megatron-Core distributed",
    resume=Resume.VERIFIED,
    objectives=frozenset({Objective.PRETRAIN}),
    methods=frozenset({Method.FULL}),
    precisions=PRECISIONS,
    flags=instead.NOTHING,
    is_offered=True,
)
