"""torchtitan: pre-training of V2-Lite's and V3's shapes from a small program over its own recipes.

Options of its command line don't reach the optimizer's groups, so the command starts a program that takes the recipe,
sets what was asked and runs it. Names of 0.3.0 are recorded from the released package and checked by a test.
"""

from deepseek_operator.domain.layout import Sharding
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import instead, limits, memory, recipe
from deepseek_operator.domain.programs.trainers.entry import Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.request import Objective, Schedule, TrainerRequest
from deepseek_operator.domain.sizing.training_state import Method, Offload
from deepseek_operator.domain.values.command import Command, Refusal

PROGRAM = "torchtitan"
PRECISIONS = ("fp32", "bf16", "fp8")
RECIPES = {
    "deepseek-v2-lite": "deepseek_v3_16b",
    "deepseek-v3": "deepseek_v3_671b",
    "deepseek-v3.1": "deepseek_v3_671b",
}
"""Flavours whose shape is the model's; R1 and the chat releases share V3's and are not pre-trained."""
FLOAT8 = ("deepseek_v3_671b",)
"""Recipes that have a twin in FP8."""
NO_CLIPPING = 1e12
"""torchtitan has no switch for clipping: a norm that no finite gradient reaches is one."""
PROGRAM_TEXT = (
    """\
import functools
import json
import sys

import torch
from datasets import load_dataset
from torchtitan.components.optimizer import default_adamw
from torchtitan.distributed.activation_checkpoint import FullAC, SelectiveAC
from torchtitan.hf_datasets import DatasetConfig
from torchtitan.hf_datasets import text_datasets
from torchtitan.models.deepseek_v3 import config_registry
from torchtitan.tools.logging import init_logger


"""
    + recipe.ASSIGN
    + """

def register(name, path):
    load = functools.partial(load_dataset, "json", data_files=path, split="train", streaming=True)
    text_datasets.DATASETS[name] = DatasetConfig(path, lambda _: load(), lambda line: line["text"])


def main():
    with open(sys.argv[1]) as file:
        settings = json.load(file)
    init_logger()
    config = getattr(config_registry, settings["recipe"])()
    config.dump_folder = sys.argv[2]
    for dotted, value in settings["assign"].items():
        assign(config, dotted, value)
    policies = {"None": lambda: None, "Selective": SelectiveAC.Config, "Full": FullAC.Config}
    config.activation_checkpoint = policies[settings["recompute"]]()
    config.optimizer = default_adamw(**settings["optimizer"])
    sources = []
    for index, (path, weight) in enumerate(settings["datasets"]):
        register(f"private-{index}", path)
        sources.append(text_datasets.HFDataSource(dataset=f"private-{index}", weight=weight))
    config.dataloader = text_datasets.InterleavedHuggingFaceTextDataLoader.Config(
        sources=sources, seed=settings["assign"]["debug.seed"]
    )
    trainer = config.build()
    try:
        trainer.train()
    finally:
        trainer.close()
    torch.distributed.destroy_process_group()


main()
"""
)
WARNINGS = ("model.path gives tokenizer and assets only: weights are drawn anew, as pre-training begins",)


def build(asked: TrainerRequest) -> Command | Refusal:
    """Return the command of every node, or why there is none."""
    return _refusal(asked) or recipe.run(PROGRAM, asked, PROGRAM_TEXT, _settings(asked), WARNINGS)


def _refusal(asked: TrainerRequest) -> Refusal | None:
    if asked.objective is not Objective.PRETRAIN or asked.tuning.method is not Method.FULL:
        return Refusal("torchtitan's DeepSeek recipes pre-train every parameter",
                       "write trainer ms-swift or llama-factory for SFT and LoRA")  # fmt: skip
    if asked.model not in RECIPES:
        return Refusal(f"torchtitan 0.3 has no recipe of {asked.model}",
                       f"write trainer megatron-bridge, or one of the models {', '.join(sorted(RECIPES))}")  # fmt: skip
    if asked.held_out_sets:
        return Refusal("this builder gives torchtitan no evaluation", "leave Heldout datasets out")
    if not asked.training_sets:
        return Refusal("nothing to learn from", "write datasets with JSON lines that have a text field")
    if asked.hyper.precision == "fp8" and RECIPES[asked.model] not in FLOAT8:
        return Refusal(f"torchtitan 0.3 has no FP8 recipe of {asked.model}", "write precision bf16")
    return (
        memory.only_adamw("torchtitan", asked)
        or _host(asked)
        # parallel_dims.py asks for this much even of a single context rank
        or limits.sequence_refusal(asked, 2 * asked.layout.tensor * asked.layout.context)
        or limits.refusal(PROGRAM, asked, instead.NOTHING, PRECISIONS)
        or limits.only_steps("torchtitan", asked)
    )


def _host(asked: TrainerRequest) -> Refusal | None:
    if asked.offload is Offload.OPTIMIZER:
        return Refusal("torchtitan offloads parameters, gradients and optimizer together", "write offload All or None")
    return None


def _settings(asked: TrainerRequest) -> dict[str, object]:
    return {
        "recipe": RECIPES[asked.model] + ("_float8" if asked.hyper.precision == "fp8" else ""),
        "recompute": asked.recompute.value,
        "assign": {**_training(asked), **_degrees(asked), **_checkpoints(asked)},
        "optimizer": {"lr": float(asked.hyper.learning_rate), "weight_decay": float(asked.hyper.weight_decay)},
        "datasets": [[dataset.path, dataset.weight] for dataset in asked.training_sets],
    }


def _training(asked: TrainerRequest) -> dict[str, object]:
    hyper = asked.hyper
    constant = hyper.schedule is Schedule.CONSTANT
    return {
        "hf_assets_path": asked.path,
        "training.steps": hyper.max_steps,
        "training.global_batch_size": hyper.global_batch,
        "training.local_batch_size": hyper.micro_batch,
        "training.seq_len": hyper.sequence,
        "training.max_norm": float(hyper.clip_norm) or NO_CLIPPING,
        "training.mixed_precision_param": "float32" if hyper.precision == "fp32" else "bfloat16",
        "lr_scheduler.warmup_steps": hyper.warmup_steps,
        "lr_scheduler.decay_ratio": None,  # decays from the end of the warm-up to the last step
        "lr_scheduler.decay_type": "linear" if constant else hyper.schedule.value.lower(),
        "lr_scheduler.min_lr_factor": 1.0 if constant else 0.0,
        "training.enable_cpu_offload": asked.offload is Offload.ALL,
        "debug.seed": hyper.seed,
    }


def _degrees(asked: TrainerRequest) -> dict[str, object]:
    layout = asked.layout
    groups = layout.data // layout.shard if layout.sharding is Sharding.HSDP else 1
    return {
        "parallelism.data_parallel_replicate_degree": groups,
        "parallelism.data_parallel_shard_degree": layout.data // groups,
        "parallelism.tensor_parallel_degree": layout.tensor,
        "parallelism.pipeline_parallel_degree": layout.pipeline,
        "parallelism.context_parallel_degree": layout.context,
        "parallelism.expert_parallel_degree": layout.expert,
    }


def _checkpoints(asked: TrainerRequest) -> dict[str, object]:
    return {
        "checkpoint.enable": True,
        "checkpoint.interval": asked.every_steps,
        # A single kept checkpoint would be deleted before its successor is whole.
        "checkpoint.keep_latest_k": max(asked.keep_last, 2),
        "checkpoint.last_save_model_only": False,
    }


ENTRY = TrainerEntry(
    type=PROGRAM,
    title="torchtitan",
    version="0.3.0",
    start=Start.BUILT,
    build=build,
    checkpoints="torch.distributed.checkpoint",
    resume=Resume.VERIFIED,
    objectives=frozenset({Objective.PRETRAIN}),
    methods=frozenset({Method.FULL}),
    precisions=PRECISIONS,
    flags=instead.NOTHING,
    is_offered=True,
)
