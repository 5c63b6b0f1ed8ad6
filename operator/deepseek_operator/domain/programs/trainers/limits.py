"""What no trainer can do with a model, a method and a layout, checked before any command is built."""

from collections.abc import Mapping
from types import MappingProxyType

from deepseek_operator.domain.layout import why_not_tensor
from deepseek_operator.domain.programs.arguments import Flags, given
from deepseek_operator.domain.programs.trainers.request import DataFormat, Objective, TrainerRequest
from deepseek_operator.domain.sizing.training_layouts import pieces_of_sequence
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.domain.values.command import Refusal

SOFT_PROMPTS = (Method.PROMPT_TUNING, Method.P_TUNING)
LORA = (Method.LORA, Method.QLORA)
FORMATS: Mapping[Objective, frozenset[DataFormat]] = MappingProxyType(
    {
        Objective.PRETRAIN: frozenset({DataFormat.TEXT}),
        Objective.DPO: frozenset({DataFormat.PREFERENCE}),
        Objective.GRPO: frozenset({DataFormat.PROMPT_COMPLETION, DataFormat.MESSAGES}),
        Objective.DISTILL: frozenset({DataFormat.PROMPT_COMPLETION, DataFormat.MESSAGES}),
    }
)
"""What each objective but SFT, which has all others, learns from."""
PRECISIONS = ("fp32", "bf16")
"""What trainers can set that say nothing else."""


def refusal(
    program: str, asked: TrainerRequest, flags: Flags, precisions: tuple[str, ...] = PRECISIONS
) -> Refusal | None:
    """Return why this trainer can't run the request for reasons of device, method or layout; None where it can."""
    checks = (
        _program(program, asked),
        _own_words(flags, asked),
        _method(asked),
        _precision(program, asked, precisions),
        _devices(asked),
        _batch(asked),
        sequence_refusal(asked, pieces_of_sequence(asked.layout.tensor, asked.layout.context)),
        _data(asked),
        _length(asked),
    )
    return next((found for found in checks if found is not None), None)


def only_data_parallel(program: str, asked: TrainerRequest, *, deals_experts: bool = False) -> Refusal | None:
    """Refuse tensor, pipeline and context ranks for trainers that shard over data ranks alone, and expert ranks for those
    that don't deal experts out over them."""
    layout = asked.layout
    if (layout.tensor, layout.pipeline, layout.context) == (1, 1, 1) and (layout.expert == 1 or deals_experts):
        return None
    return Refusal(
        f"{program} shards over data ranks alone, not {layout}",
        f"write data: {layout.gpus} with sharding ZeRO3, or trainer ms-swift, which drives Megatron",
    )


def transformers_experts(program: str, asked: TrainerRequest) -> Refusal | None:
    """Refuse what transformers' own V3 classes can't do: balance experts while pre-training, resume full checkpoints."""
    if not asked.balances_by_bias:
        return None
    instead = "write trainer megatron-bridge or torchtitan"
    if asked.objective is Objective.PRETRAIN:
        return Refusal(
            f"{program} trains transformers' {asked.model}, whose routing bias never moves: experts fall out of balance",
            instead,
        )
    if asked.tuning.method is Method.FULL:
        return Refusal(
            f"{program} resumes through transformers' Trainer, which loses {asked.model}'s experts on every restart",
            "write trainer ms-swift, which saves through Megatron, or method LoRA",
        )
    return None


def only_steps(program: str, asked: TrainerRequest) -> Refusal | None:
    """Refuse checkpoints by the clock and training by epochs for trainers that count steps."""
    if asked.every_steps is None:
        return Refusal(f"{program} saves by steps, not by seconds", "write checkpoints.everySteps")
    if asked.hyper.max_steps is None:
        return Refusal(f"{program} trains for steps, not for epochs", "write hyperparameters.maxSteps")
    return None


def sequence_refusal(asked: TrainerRequest, pieces: int) -> Refusal | None:
    """Refuse a sequence that ranks can't share in so many equal pieces."""
    length = asked.hyper.sequence
    if length % pieces == 0:
        return None
    return Refusal(
        f"a sequence of {length} does not divide into the {pieces} pieces of {asked.layout}",
        f"write sequenceLength: {-(-length // pieces) * pieces}",
    )


def _program(program: str, asked: TrainerRequest) -> Refusal | None:
    if asked.profile.launcher(program) is not None:
        return None
    runs = ", ".join(sorted(asked.profile.launchers)) or "trainer.image and trainer.command"
    return Refusal(f"{program} is not known to run on {asked.profile.name}", f"write one of {runs}")


def _own_words(flags: Flags, asked: TrainerRequest) -> Refusal | None:
    """A word such as `seed=1`, as some trainers spell a flag, is one."""
    words = [f"--{word}" if "=" in word and not word.startswith("-") else word for word in asked.extra_args]
    said = given(flags, words, {}, "trainer")
    return said if isinstance(said, Refusal) else None


def _method(asked: TrainerRequest) -> Refusal | None:
    soft = asked.tuning.method in SOFT_PROMPTS
    if soft and asked.tuning.every_layer and asked.is_latent:
        return Refusal(
            f"P-tuning v2 puts keys and values into every layer, which {asked.model}'s latent attention has no place for",
            "write method PTuning without everyLayer, PromptTuning or LoRA",
        )
    if asked.tuning.method is not Method.FULL and asked.objective is Objective.PRETRAIN:
        return Refusal(f"pre-training moves every parameter, {asked.tuning.method.value} does not", "write method Full")
    return None


def _precision(program: str, asked: TrainerRequest, precisions: tuple[str, ...]) -> Refusal | None:
    precision = asked.hyper.precision
    if precision == "fp8" and "fp8" not in asked.profile.accelerator.dtypes:
        return Refusal(f"{asked.profile.name} has no FP8", "write precision bf16")
    if precision not in precisions:
        return Refusal(f"{program} does not compute in {precision}", "write precision bf16")
    return None


def _devices(asked: TrainerRequest) -> Refusal | None:
    gpus, per_node = asked.layout.gpus, asked.profile.accelerator.per_node
    # CPU pods are not limited by devices: each is one process, and layouts count pods.
    if gpus % asked.nodes:
        return Refusal(f"{gpus} devices ({asked.layout}) do not divide over {asked.nodes} nodes",
                       f"write a number of nodes that divides {gpus}")  # fmt: skip
    if asked.devices_per_node > per_node:
        return Refusal(f"{asked.layout} needs {asked.devices_per_node} devices per node, {asked.profile.name} has {per_node}",
                       f"write nodes: {-(-gpus // per_node)}")  # fmt: skip
    if gpus > 1 and not asked.profile.peer_to_peer:
        return Refusal(f"{asked.profile.name} is a slice: slices form no group of {gpus}", "write the whole card")
    if asked.layout.expert > 1 and asked.architecture.experts is None:
        return Refusal(f"{asked.model} has no experts to spread over {asked.layout.expert} ranks", "write expert: 1")
    why = why_not_tensor(asked.architecture, "bf16", asked.layout.tensor, sliced_experts=asked.layout.expert == 1)
    return Refusal(f"tensor {asked.layout.tensor} can't cut {asked.model}: {why}",
                   "write a smaller tensor degree") if why else None  # fmt: skip


def _batch(asked: TrainerRequest) -> Refusal | None:
    step = asked.hyper.micro_batch * asked.layout.data
    if asked.hyper.global_batch % step:
        more = -(-asked.hyper.global_batch // step) * step
        return Refusal(
            f"globalBatchSize {asked.hyper.global_batch} does not divide by {asked.layout.data} data ranks × "
            f"microBatchSize {asked.hyper.micro_batch}",
            f"write globalBatchSize: {more}",
        )
    return None


def _data(asked: TrainerRequest) -> Refusal | None:
    known = FORMATS.get(asked.objective, frozenset(DataFormat) - {DataFormat.PREFERENCE})
    other = next((dataset.format for dataset in asked.datasets if dataset.format not in known), None)
    if other is not None:
        learnt = " or ".join(one.value for one in DataFormat if one in known)
        return Refusal(f"objective {asked.objective.value} learns from format {learnt}, not from {other.value}",
                       f"write format: {learnt}, or another objective")  # fmt: skip
    patterns = [d.path for d in asked.datasets if {"*", "?"} & set(d.path)]
    if patterns:
        return Refusal(f"{patterns[0]} is a pattern, which the built-in trainer alone reads", "name a file or a folder")
    return None


def _length(asked: TrainerRequest) -> Refusal | None:
    if (asked.hyper.max_steps is None) == (asked.hyper.epochs is None):
        return Refusal("how long to train is said twice or not at all", "write exactly one of maxSteps and epochs")
    return None
