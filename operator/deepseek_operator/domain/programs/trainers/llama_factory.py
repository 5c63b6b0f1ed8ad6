"""LLaMA-Factory: one configuration file, data parallelism with ZeRO, its own torchrun from environment variables.

Keys of 0.9.5 are recorded from the released package and checked by a test. The file is JSON under the name ``.yaml``:
every YAML reader takes it, while the release's branch for ``.json`` fails on a path.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import instead, limits, lora, memory, zero
from deepseek_operator.domain.programs.trainers.entry import ADAPTERS, DATA_AXIS, WHOLE_LAYERS, Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.gang import gang
from deepseek_operator.domain.programs.trainers.request import (
    FILES,
    OUTPUT,
    DataFormat,
    Dataset,
    LossOn,
    Objective,
    TrainerRequest,
    chat_rendering,
    mixture,
    rendezvous_variables,
    template_refusal,
)
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.domain.values.command import Command, Refusal

PROGRAM = "llama-factory"
CONFIG = f"{FILES}/llama-factory.yaml"
DATASETS = f"{FILES}/dataset_info.json"
ZERO = f"{FILES}/zero.json"
FLAGS = Flags(
    owned=(
        Owned(("model-name-or-path", "adapter-name-or-path", "template"), instead.MODEL),
        Owned(("stage", "do-train"), instead.OBJECTIVE),
        Owned(("finetuning-type", "lora-rank", "lora-alpha", "lora-target", "lora-dropout"), instead.METHOD),
        Owned(("quantization-bit", "quantization-method", "double-quantization"), instead.METHOD),
        Owned(("dataset", "dataset-dir", "eval-dataset", "mix-strategy", "interleave-probs"), instead.DATA),
        Owned(("mask-history", "train-on-prompt"), instead.LOSS),
        Owned(("cutoff-len",), instead.LENGTH),
        Owned(("per-device-train-batch-size", "gradient-accumulation-steps"), instead.BATCH),
        Owned(("learning-rate", "lr-scheduler-type", "warmup-steps"), instead.RATE),
        Owned(("weight-decay", "max-grad-norm"), instead.REGULAR),
        Owned(("bf16", "fp16", "pure-bf16", "fp8"), instead.PRECISION),
        Owned(("seed",), instead.SEED),
        Owned(("max-steps", "num-train-epochs"), instead.STEPS),
        Owned(("eval-strategy", "eval-steps"), instead.EVALUATION),
        Owned(("save-steps", "save-strategy", "save-total-limit", "save-only-model"), instead.SAVING),
        Owned(("load-best-model-at-end", "enable-jit-checkpoint"), instead.KEEPING),
        Owned(("logging-steps", "logging-strategy", "logging-nan-inf-filter"), instead.HEARD),
        Owned(("output-dir", "overwrite-output-dir", "resume-from-checkpoint"), instead.FOLDER),
        Owned(("deepspeed", "optim", "disable-gradient-checkpointing"), instead.LAYOUT),
    ),
    yielding=("report-to",),
)
STAGES = {Objective.SFT: "sft", Objective.PRETRAIN: "pt", Objective.DPO: "dpo"}
"""What it calls objectives. DPO's ``pref_loss`` and ``pref_beta`` are the user's to give, as arguments."""
TEMPLATES = {
    "llm-v1": "deepseek",
    "math": "deepseek",
    "moe-v1": "deepseek",
    "v2": "deepseek",
    "coder-v1": "deepseekcoder",
    "v3": "deepseek3",
    "prover": "deepseek3",
    "r1": "deepseekr1",
    "r1-distill": "deepseekr1",
}


def build(asked: TrainerRequest) -> Command | Refusal:
    """Return the command of every node, or why there is none."""
    return _refusal(asked) or _command(asked)


def _command(asked: TrainerRequest) -> Command:
    start = (*asked.profile.launchers[PROGRAM], CONFIG, f"output_dir={OUTPUT}")
    files = {CONFIG: _text(_config(asked)), DATASETS: _text(_dataset_info(asked))}
    files |= {ZERO: _text(zero.for_trainer(asked))} if asked.is_shared_out else {}
    warnings = chat_rendering("LLaMA-Factory", f"the chat template {TEMPLATES[asked.family]}", asked)
    built = gang(PROGRAM, asked, (*start, *asked.extra_args), files, warnings)
    if not asked.is_gang:
        return built
    return replace(built, env=(*built.env, ("FORCE_TORCHRUN", "1"), *rendezvous_variables()))


def _refusal(asked: TrainerRequest) -> Refusal | None:
    if asked.objective not in STAGES:
        return Refusal(f"LLaMA-Factory has no {asked.objective.value}", "write trainer ms-swift")
    if asked.tuning.method in limits.SOFT_PROMPTS:
        return Refusal(
            f"LLaMA-Factory has no {asked.tuning.method.value}", "write method LoRA, or a command of your own"
        )
    if asked.family not in TEMPLATES or "v3.1" in asked.model:
        return Refusal(f"LLaMA-Factory 0.9.5 has no chat template of {asked.model}", "write trainer ms-swift")
    if asked.every_steps is None:
        return Refusal("LLaMA-Factory saves by steps, not by seconds", "write checkpoints.everySteps")
    if asked.hyper.precision == "fp32" and "bf16" in asked.profile.accelerator.dtypes and asked.profile.name != "cpu":
        # It asks the device, not the configuration; the CPU is a device without bf16 to it.
        return Refusal("LLaMA-Factory computes in bf16 wherever the device can", "write precision bf16")
    held_out = len(asked.held_out_sets)
    if mixture(asked.training_sets) and held_out not in (0, len(asked.training_sets)):
        return Refusal(f"LLaMA-Factory draws {len(asked.training_sets)} weighted datasets beside as many that it evaluates, not {held_out}",
                       "leave the weights or the Heldout datasets out, or write trainer ms-swift")  # fmt: skip
    return (
        memory.only("LLaMA-Factory", asked, memory.HUGGING_FACE_OPTIMIZERS)
        or limits.refusal(PROGRAM, asked, FLAGS)
        or template_refusal("LLaMA-Factory", asked)
        or limits.only_data_parallel("LLaMA-Factory", asked)
        or limits.transformers_experts("LLaMA-Factory", asked)
        or zero.refusal(asked)
    )


def _config(asked: TrainerRequest) -> dict[str, object]:
    hyper, tuning = asked.hyper, asked.tuning
    config: dict[str, object] = {
        "model_name_or_path": asked.path,
        "stage": STAGES[asked.objective],
        "do_train": True,
        "finetuning_type": "full" if tuning.method is Method.FULL else "lora",
        "template": TEMPLATES[asked.family],
        "dataset_dir": FILES,
        "dataset": ",".join(_names(asked.training_sets, "train")),
        "cutoff_len": hyper.sequence,
        "per_device_train_batch_size": hyper.micro_batch,
        "gradient_accumulation_steps": asked.accumulation,
        "learning_rate": float(hyper.learning_rate),
        "lr_scheduler_type": hyper.schedule.value.lower(),
        "warmup_steps": hyper.warmup_steps,
        "weight_decay": float(hyper.weight_decay),
        "max_grad_norm": float(hyper.clip_norm),
        "bf16": hyper.precision == "bf16",
        "seed": hyper.seed,
        "save_steps": asked.every_steps,
        # What is taken from there is kept elsewhere; one that is not yet taken must outlive its successor's save.
        "save_total_limit": max(asked.keep_last, 2),
        "enable_jit_checkpoint": True,  # saves after a SIGTERM
        "logging_steps": 1,  # the launcher hears of every step
        "logging_nan_inf_filter": False,  # and of a loss that is no number
        "report_to": "none",
        "disable_gradient_checkpointing": not memory.checkpoints_activations(asked),
        "optim": memory.HUGGING_FACE_OPTIMIZERS[asked.optimizer],
    }
    config |= {"deepspeed": ZERO} if asked.is_shared_out else {}
    config |= {"max_steps": hyper.max_steps} if hyper.max_steps else {"num_train_epochs": hyper.epochs}
    config |= {"train_on_prompt": True} if asked.loss_on is LossOn.ALL else {}
    config |= {"mask_history": True} if asked.loss_on is LossOn.COMPLETION else {}
    return config | _lora(asked) | _mixture(asked) | _evaluation(asked)


def _lora(asked: TrainerRequest) -> dict[str, object]:
    tuning = asked.tuning
    if tuning.method not in limits.LORA:
        return {}
    adapter: dict[str, object] = {
        "lora_rank": tuning.rank,
        "lora_alpha": tuning.alpha,
        "lora_dropout": float(tuning.dropout),
        "lora_target": "all" if tuning.all_linear else ",".join(lora.transformers_names(asked.architecture)),
    }
    if tuning.method is Method.QLORA:
        adapter |= {"quantization_bit": 4, "quantization_method": "bnb", "double_quantization": True}
    return adapter


def _mixture(asked: TrainerRequest) -> dict[str, object]:
    drawn = mixture(asked.training_sets)
    return {"mix_strategy": "interleave_over", "interleave_probs": ",".join(drawn)} if drawn else {}


def _evaluation(asked: TrainerRequest) -> dict[str, object]:
    if not asked.held_out_sets:
        return {}
    evaluation: dict[str, object] = {"eval_dataset": ",".join(_names(asked.held_out_sets, "held-out"))}
    if asked.hyper.eval_every_steps is None:
        return evaluation | {"eval_strategy": "epoch"}
    return evaluation | {"eval_strategy": "steps", "eval_steps": asked.hyper.eval_every_steps}


def _dataset_info(asked: TrainerRequest) -> dict[str, object]:
    named = (
        *zip(_names(asked.training_sets, "train"), asked.training_sets, strict=True),
        *zip(_names(asked.held_out_sets, "held-out"), asked.held_out_sets, strict=True),
    )
    return {
        name: {"file_name": dataset.path, "formatting": "alpaca", "columns": _columns(dataset), **_roles(dataset)}
        for name, dataset in named
    }


def _columns(dataset: Dataset) -> Mapping[str, str]:
    if dataset.format is DataFormat.TEXT:
        return {"prompt": "text"}
    if dataset.format is DataFormat.MESSAGES:
        return {"messages": "messages"}
    if dataset.format is DataFormat.PREFERENCE:
        return {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    if dataset.format is DataFormat.ALPACA:
        return {"prompt": "instruction", "query": "input", "response": "output"}
    return {"prompt": "prompt", "response": "completion"}


def _roles(dataset: Dataset) -> Mapping[str, object]:
    """OpenAI's names under the release's ShareGPT form; its own OpenAI form adds a system prompt about thinking."""
    if dataset.format is DataFormat.PREFERENCE:
        return {"ranking": True}
    if dataset.format is not DataFormat.MESSAGES:
        return {}
    tags = {"role_tag": "role", "content_tag": "content", "system_tag": "system"}
    return {"formatting": "sharegpt", "tags": {**tags, "user_tag": "user", "assistant_tag": "assistant"}}


def _names(datasets: tuple[Dataset, ...], use: str) -> list[str]:
    return [f"{use}-{index}" for index, _ in enumerate(datasets)]


def _text(values: dict[str, object]) -> str:
    return json.dumps(values, indent=2) + "\n"


ENTRY = TrainerEntry(
    type=PROGRAM,
    title="LLaMA-Factory",
    version="0.9.5",
    start=Start.BUILT,
    build=build,
    checkpoints="transformers, with DeepSpeed's state",
    resume=Resume.VERIFIED,
    divides=True,
    objectives=frozenset(STAGES),
    methods=ADAPTERS | {Method.FULL},
    recomputations=WHOLE_LAYERS,
    precisions=("bf16",),
    optimizers=tuple(memory.HUGGING_FACE_OPTIMIZERS),
    axes=DATA_AXIS,
    flags=FLAGS,
    is_offered=True,
)
