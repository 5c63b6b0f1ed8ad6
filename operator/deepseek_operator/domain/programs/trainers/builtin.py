"""The built-in trainer: FSDP over transformers' models, for dense models and mixtures of experts up to about 16B, whose
experts it deals out where it is asked to."""

from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import contract, instead, limits, memory
from deepseek_operator.domain.programs.trainers.entry import Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.gang import gang
from deepseek_operator.domain.programs.trainers.request import Objective, TrainerRequest
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method, Optimizer
from deepseek_operator.domain.values.command import Command, Refusal

PROGRAM = "builtin"
LARGEST_MOE_PARAMETERS = 17_000_000_000
"""Above, nothing was tried: one host gathers an export, in fp32."""

OPTIMIZERS = (Optimizer.ADAMW, Optimizer.ADAMW_8BIT, Optimizer.MUON)
OBJECTIVES = frozenset({Objective.SFT, Objective.PRETRAIN})
METHODS = frozenset({Method.FULL, Method.LORA, Method.PROMPT_TUNING, Method.P_TUNING})


def build(asked: TrainerRequest) -> Command | Refusal:
    """Return the launcher of every node, or why there is none. What to train reaches it as DEEPSEEK_TRAINING_SPEC."""
    return _refusal(asked) or gang(PROGRAM, asked, contract.COMMAND)


def _refusal(asked: TrainerRequest) -> Refusal | None:
    parameters = total(asked.architecture)
    if asked.objective not in OBJECTIVES:
        return Refusal(f"the built-in trainer has no {asked.objective.value}", "write trainer ms-swift")
    if asked.architecture.experts is not None and parameters > LARGEST_MOE_PARAMETERS:
        return Refusal(
            f"{asked.model} is a mixture of experts of {parameters / 1e9:.1f}e9 parameters, the built-in trainer takes up to 17e9",
            f"write trainer {_others(asked)}",
        )
    if asked.is_sparse_attention:
        return Refusal(
            f"the built-in trainer has no sparse attention, which {asked.model} needs",
            f"write trainer {_others(asked)}",
        )
    return (
        _memory(asked)
        or limits.refusal(PROGRAM, asked, instead.NOTHING)
        or _method(asked)
        or limits.only_data_parallel("the built-in trainer", asked, deals_experts=True)
        or _experts(asked)
    )


def _method(asked: TrainerRequest) -> Refusal | None:
    if asked.tuning.every_layer:
        return Refusal("the built-in trainer has no P-tuning v2", "write method PTuning without everyLayer, or LoRA")
    if asked.tuning.method in METHODS:
        return None
    return Refusal(
        f"the built-in trainer has no {asked.tuning.method.value}", "write method LoRA, or a command of your own"
    )


def _experts(asked: TrainerRequest) -> Refusal | None:
    experts, over = asked.architecture.experts, asked.layout.expert
    if over > 1 and experts is not None and experts.routed % over:
        return Refusal(
            f"expert {over} does not divide the {experts.routed} experts of {asked.model}", "write a divisor"
        )
    return None


def _memory(asked: TrainerRequest) -> Refusal | None:
    title = "the built-in trainer"
    return memory.only(title, asked, OPTIMIZERS) or memory.no_offload(title, asked)


def _others(asked: TrainerRequest) -> str:
    if asked.objective is Objective.PRETRAIN:
        return "megatron-bridge or torchtitan"
    return "ms-swift (Megatron), or llama-factory with method LoRA"


ENTRY = TrainerEntry(
    type=PROGRAM,
    title="built-in",
    version="0.1.0",
    start=Start.OURS,
    build=build,
    checkpoints="torch.distributed.checkpoint",
    resume=Resume.VERIFIED,
    objectives=OBJECTIVES,
    methods=METHODS,
    axes=frozenset({"data", "expert"}),
    optimizers=OPTIMIZERS,
    recomputation=Recompute.NONE,
    compression="PowerSGD",
    command=contract.COMMAND,
    flags=instead.NOTHING,
    is_offered=True,
)
