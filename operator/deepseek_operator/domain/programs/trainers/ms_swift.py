"""ms-swift: ``swift`` over transformers with ZeRO for what fits that, ``megatron`` for experts and wider layouts.

Arguments of 4.6.0 are recorded from the released package and checked by a test. ``swift`` resumes only from a folder
that it is told, so a short script looks for the newest finished checkpoint before it hands over.
"""

import json
from dataclasses import replace

from deepseek_operator.domain.models.model import SharedCompressedAttention
from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import instead, limits, lora, memory, swift_rlhf, zero
from deepseek_operator.domain.programs.trainers.entry import ADAPTERS, WHOLE_LAYERS, Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.gang import gang
from deepseek_operator.domain.programs.trainers.request import (
    FILES,
    OUTPUT,
    DataFormat,
    LossOn,
    Objective,
    Schedule,
    TrainerRequest,
    chat_rendering,
    mixture,
    rendezvous_variables,
    template_refusal,
)
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method, Offload
from deepseek_operator.domain.values.command import Command, Refusal, literal

PROGRAM = "ms-swift"
MEGATRON = "ms-swift-megatron"
ZERO = f"{FILES}/zero.json"
RESUME = f"{FILES}/resume.sh"
MEGATRON_RESUME = f"{FILES}/resume-megatron.sh"
FLAGS = Flags(
    owned=(
        Owned(("model", "model-type", "adapters", "template"), instead.MODEL),
        Owned(("tuner-type", "lora-rank", "lora-alpha", "lora-dropout", "target-modules"), instead.METHOD),
        Owned(("quant-method", "quant-bits", "bnb-4bit-quant-type"), instead.METHOD),
        Owned(("dataset", "val-dataset", "interleave-prob", "columns"), instead.DATA),
        Owned(("rlhf-type",), instead.OBJECTIVE),
        Owned(("loss-scale",), instead.LOSS),
        Owned(("max-length",), instead.LENGTH),
        Owned(("per-device-train-batch-size", "gradient-accumulation-steps"), instead.BATCH),
        Owned(("micro-batch-size", "global-batch-size"), instead.BATCH),
        Owned(("learning-rate", "lr-scheduler-type", "warmup-steps", "warmup-ratio"), instead.RATE),
        Owned(("lr", "min-lr", "lr-decay-style", "lr-warmup-iters"), instead.RATE),
        Owned(("weight-decay", "max-grad-norm", "clip-grad"), instead.REGULAR),
        Owned(("torch-dtype",), instead.PRECISION),
        Owned(("seed",), instead.SEED),
        Owned(("max-steps", "num-train-epochs", "train-iters"), instead.STEPS),
        Owned(("eval-steps",), instead.EVALUATION),
        Owned(("save-steps", "save-strategy", "save-total-limit", "save-only-model"), instead.SAVING),
        Owned(("load-best-model-at-end", "enable-jit-checkpoint"), instead.KEEPING),
        Owned(("logging-steps", "logging-strategy", "logging-nan-inf-filter"), instead.HEARD),
        Owned(("output-dir", "add-version", "resume-from-checkpoint"), instead.FOLDER),
        Owned(("mcore-model", "mcore-adapter", "finetune"), instead.FOLDER),
        Owned(("deepspeed", "optim", "gradient-checkpointing", "sequence-parallel"), instead.LAYOUT),
        Owned(("tensor-model-parallel-size", "pipeline-model-parallel-size"), instead.LAYOUT),
        Owned(("context-parallel-size", "expert-model-parallel-size"), instead.LAYOUT),
        Owned(("recompute-*", "optimizer-cpu-offload"), instead.LAYOUT),
    ),
    yielding=("max-completion-length",),
)
# transformers writes trainer_state.json last, and a sentinel while it saves after a SIGTERM.
RESUME_SCRIPT = """\
#!/bin/sh
folder=$1
shift
for found in $(ls -d "$folder"/checkpoint-* 2>/dev/null | sort -rV); do
  if [ -f "$found/trainer_state.json" ] && [ ! -f "$found/checkpoint-is-incomplete.txt" ]; then
    set -- "$@" --resume_from_checkpoint "$found"
    break
  fi
done
exec "$@"
"""
# Megatron moves the link once a checkpoint is whole.
MEGATRON_RESUME_SCRIPT = """\
#!/bin/sh
folder=$1
option=$2
shift 2
if [ -e "$folder/last" ]; then
  set -- "$@" "$option" "$folder/last" --finetune false
fi
exec "$@"
"""


MODEL_TYPES = {
    "moe-v1": "deepseek",
    "v2": "deepseek_v2",
    "v3": "deepseek_v3",
    "r1": "deepseek_v3",
    "v3.2": "deepseek_v32",
    "v4": "deepseek_v4",
    "v4.1": "deepseek_v41",
}
"""Its name of a family's shape; of the others the model's own name tells."""
TEMPLATES = {
    "llm-v1": "deepseek",
    "math": "deepseek",
    "moe-v1": "deepseek",
    "v2": "deepseek",
    "coder-v1": "deepseek_coder",
    "v3": "deepseek_v2_5",
    "prover": "deepseek_v2_5",
    "r1": "deepseek_r1",
    "r1-distill": "deepseek_r1",
    "v3.2": "deepseek_v3_1",
    "v4": "deepseek_v4",
    "v4.1": "deepseek_v41",
}
"""Its name of a family's chat template."""
NEWER_TEMPLATES = {
    "deepseek-v2.5": "deepseek_v2_5",
    "deepseek-v3.1": "deepseek_v3_1",
    "deepseek-v4-flash-0731": "deepseek_v4_flash",
}
"""Of models that have another one than their family."""


def _model_type(asked: TrainerRequest) -> str:
    if (known := MODEL_TYPES.get(asked.family)) is not None:
        return known
    if asked.is_latent:
        return "deepseek_v3"
    return next((shape for part, shape in (("qwen3", "qwen3"), ("qwen", "qwen2")) if part in asked.model), "llama")


def _template(asked: TrainerRequest) -> str:
    return NEWER_TEMPLATES.get(asked.model) or TEMPLATES[asked.family]


def build(asked: TrainerRequest) -> Command | Refusal:
    """Return the command of every node, or why there is none."""
    if _needs_megatron(asked):
        return _megatron_refusal(asked) or _megatron(asked)
    return _refusal(asked) or _transformers(asked)


def _needs_megatron(asked: TrainerRequest) -> bool:
    """Whether transformers can't do it: ranks other than data ranks, pre-training or full tuning of biased experts."""
    layout = asked.layout
    wide = (layout.tensor, layout.pipeline, layout.context, layout.expert) != (1, 1, 1, 1)
    return wide or limits.transformers_experts("", asked) is not None


def _common_refusal(program: str, asked: TrainerRequest) -> Refusal | None:
    if asked.tuning.method in limits.SOFT_PROMPTS:
        return Refusal(f"ms-swift has no {asked.tuning.method.value}", "write method LoRA, or a command of your own")
    if asked.family not in TEMPLATES:
        return Refusal(f"the chat template of {asked.model} has no name in ms-swift that is known here",
                       "write a command of your own")  # fmt: skip
    if asked.every_steps is None:
        return Refusal("ms-swift saves by steps, not by seconds", "write checkpoints.everySteps")
    return limits.refusal(program, asked, FLAGS) or template_refusal("ms-swift", asked) or swift_rlhf.refusal(asked)


def _refusal(asked: TrainerRequest) -> Refusal | None:
    return (
        memory.only("ms-swift", asked, memory.HUGGING_FACE_OPTIMIZERS)
        or _common_refusal(PROGRAM, asked)
        or zero.refusal(asked)
    )


def _megatron_refusal(asked: TrainerRequest) -> Refusal | None:
    if asked.tuning.method is Method.QLORA:
        return Refusal("ms-swift's Megatron has no QLoRA", "write method LoRA, or tensor, pipeline and expert 1")
    if asked.objective.answers:
        return Refusal(f"ms-swift's Megatron has {asked.objective.value} only with vLLM beside it",
                       "write a smaller model, or method LoRA, or a command of your own")  # fmt: skip
    shares = isinstance(asked.architecture.attention, SharedCompressedAttention)
    if shares and asked.tuning.method is Method.LORA and asked.recompute is Recompute.SELECTIVE:
        return Refusal(
            f"ms-swift does not recompute {asked.model} selectively beside LoRA", "write recompute Full or None"
        )
    return (
        memory.only_adamw("ms-swift's Megatron", asked)
        or memory.only_optimizer_offload("ms-swift's Megatron", asked)
        or _common_refusal(MEGATRON, asked)
    )


LOSSES = {LossOn.COMPLETION: "last_round", LossOn.ALL: "all"}
"""What its ``loss_scale`` calls them; every answer is its default."""


def _transformers(asked: TrainerRequest) -> Command:
    command = (*_started(PROGRAM, asked), *_learning(asked), *asked.extra_args)
    files = {RESUME: RESUME_SCRIPT}
    files |= {ZERO: json.dumps(zero.for_trainer(asked), indent=2) + "\n"} if asked.is_shared_out else {}
    return _command(asked, PROGRAM, ("sh", RESUME, OUTPUT, *command), files)


def _megatron(asked: TrainerRequest) -> Command:
    command = (*_started(MEGATRON, asked), *_degrees(asked), *asked.extra_args)
    resumed = "--mcore_model" if asked.tuning.method is Method.FULL else "--mcore_adapter"
    return _command(asked, MEGATRON, ("sh", MEGATRON_RESUME, OUTPUT, resumed, *command),
                    {MEGATRON_RESUME: MEGATRON_RESUME_SCRIPT})  # fmt: skip


def _started(program: str, asked: TrainerRequest) -> tuple[str, ...]:
    task = swift_rlhf.TASKS[asked.objective]
    return (*asked.profile.launchers[program], *task, *_shared(asked), "--output_dir", OUTPUT)


def _command(asked: TrainerRequest, program: str, args: tuple[str, ...], files: dict[str, str]) -> Command:
    built = gang(program, asked, args, files, chat_rendering("ms-swift", "the model's chat template", asked))
    if program == PROGRAM and not asked.is_gang:
        return built
    return replace(built, env=(*built.env, *rendezvous_variables()))


def _shared(asked: TrainerRequest) -> tuple[str, ...]:
    hyper, tuning = asked.hyper, asked.tuning
    # A folder's name does not tell it which of several models of one shape lies there.
    args = ["--model", literal(asked.path), "--model_type", _model_type(asked), "--template", _template(asked)]
    args += ["--tuner_type", "full" if tuning.method is Method.FULL else "lora"]
    args += ["--dataset", *(literal(dataset.path) for dataset in asked.training_sets)]
    if asked.held_out_sets:
        args += ["--val_dataset", *(literal(dataset.path) for dataset in asked.held_out_sets)]
    drawn = mixture(asked.training_sets)
    args += ["--interleave_prob", *drawn] if drawn else []
    columns = _columns(asked)
    args += ["--columns", json.dumps(columns)] if columns else []
    args += ["--loss_scale", LOSSES[asked.loss_on]] if asked.loss_on in LOSSES else []
    args += [*swift_rlhf.lengths(asked), "--seed", str(hyper.seed)]
    args += ["--torch_dtype", "bfloat16" if hyper.precision == "bf16" else "float32"]
    args += ["--weight_decay", hyper.weight_decay, "--save_steps", str(asked.every_steps)]
    # What is taken from there is kept elsewhere; one that is not yet taken must outlive its successor's save.
    args += ["--save_total_limit", str(max(asked.keep_last, 2)), "--add_version", "false"]
    if hyper.eval_every_steps is not None and asked.held_out_sets:
        args += ["--eval_steps", str(hyper.eval_every_steps)]
    if tuning.method in limits.LORA:
        args += ["--lora_rank", str(tuning.rank), "--lora_alpha", str(tuning.alpha)]
        args += ["--lora_dropout", tuning.dropout]
        args += ["--target_modules", *_targets(asked)]
    return tuple(args)


def _columns(asked: TrainerRequest) -> dict[str, str]:
    """Its names of the columns. What GRPO's answers are judged by is not what is learnt."""
    formats, columns = {dataset.format for dataset in asked.datasets}, dict[str, str]()
    if DataFormat.PROMPT_COMPLETION in formats:
        columns |= {"prompt": "query", "completion": "solution" if asked.objective is Objective.GRPO else "response"}
    if DataFormat.TEXT in formats:
        columns["text"] = "response"
    if DataFormat.PREFERENCE in formats:
        columns |= {"prompt": "query", "chosen": "response", "rejected": "rejected_response"}
    return columns


def _targets(asked: TrainerRequest) -> tuple[str, ...]:
    if asked.tuning.all_linear:
        return ("all-linear",)
    names = lora.megatron_names if _needs_megatron(asked) else lora.transformers_names
    return names(asked.architecture)


def _learning(asked: TrainerRequest) -> tuple[str, ...]:
    hyper = asked.hyper
    args = ["--learning_rate", hyper.learning_rate, "--lr_scheduler_type", hyper.schedule.value.lower()]
    args += ["--warmup_steps", str(hyper.warmup_steps), "--max_grad_norm", hyper.clip_norm]
    args += ["--per_device_train_batch_size", str(hyper.micro_batch)]
    args += ["--gradient_accumulation_steps", str(asked.accumulation)]
    args += ["--deepspeed", ZERO] if asked.is_shared_out else []
    # Saves after a SIGTERM; the launcher hears of every step, and of a loss that is no number.
    args += ["--enable_jit_checkpoint", "true", "--logging_steps", "1", "--logging_nan_inf_filter", "false"]
    args += ["--max_steps", str(hyper.max_steps)] if hyper.max_steps else ["--num_train_epochs", str(hyper.epochs)]
    args += ["--gradient_checkpointing", "true" if memory.checkpoints_activations(asked) else "false"]
    args += ["--optim", memory.HUGGING_FACE_OPTIMIZERS[asked.optimizer]]
    if asked.tuning.method is Method.QLORA:
        args += ["--quant_method", "bnb", "--quant_bits", "4", "--bnb_4bit_quant_type", "nf4"]
    return tuple(args)


def _degrees(asked: TrainerRequest) -> tuple[str, ...]:
    hyper, layout = asked.hyper, asked.layout
    args = ["--tensor_model_parallel_size", str(layout.tensor), "--pipeline_model_parallel_size", str(layout.pipeline)]
    args += ["--context_parallel_size", str(layout.context), "--expert_model_parallel_size", str(layout.expert)]
    args += ["--sequence_parallel", "true" if layout.tensor > 1 else "false"]
    args += ["--micro_batch_size", str(hyper.micro_batch), "--global_batch_size", str(hyper.global_batch)]
    args += [
        "--lr",
        hyper.learning_rate,
        "--min_lr",
        hyper.learning_rate if hyper.schedule is Schedule.CONSTANT else "0",
    ]
    args += ["--lr_decay_style", hyper.schedule.value.lower(), "--lr_warmup_iters", str(hyper.warmup_steps)]
    args += ["--clip_grad", hyper.clip_norm]
    if asked.recompute is Recompute.NONE:
        args += ["--recompute_granularity", "none"]
    else:
        recompute = memory.megatron_recompute(asked)
        args += [word for key, value in recompute.items() if value is not None for word in (f"--{key}", str(value))]
    if asked.offload is Offload.OPTIMIZER:
        args += ["--optimizer_cpu_offload", "true"]
    args += ["--train_iters", str(hyper.max_steps)] if hyper.max_steps else ["--num_train_epochs", str(hyper.epochs)]
    return tuple(args)


ENTRY = TrainerEntry(
    type=PROGRAM,
    title="ms-swift",
    version="4.6.0",
    start=Start.BUILT,
    build=build,
    checkpoints="transformers, with DeepSpeed's state; Megatron-Core distributed for wider layouts",
    resume=Resume.VERIFIED,
    divides=True,
    methods=ADAPTERS | {Method.FULL},
    recomputations=WHOLE_LAYERS,
    optimizers=tuple(memory.HUGGING_FACE_OPTIMIZERS),
    flags=FLAGS,
    is_offered=True,
)
