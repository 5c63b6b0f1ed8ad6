"""The memory choices of a plan in each trainer's words: what is computed again, what lies on the host, which Adam.

A plan that fits only because it recomputes must run that way, so a trainer that can't is refused, never told less.
"""

from collections.abc import Collection

from deepseek_operator.domain.programs.trainers.request import TrainerRequest
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Offload, Optimizer
from deepseek_operator.domain.values.command import Refusal

HUGGING_FACE_OPTIMIZERS = {
    Optimizer.ADAMW: "adamw_torch",
    Optimizer.ADAMW_8BIT: "adamw_8bit",
    Optimizer.PAGED_ADAMW_8BIT: "paged_adamw_8bit",
}


WITH = {
    Optimizer.ADAMW: "any",
    Optimizer.ADAMW_8BIT: "builtin, llama-factory or ms-swift",
    Optimizer.PAGED_ADAMW_8BIT: "llama-factory or ms-swift",
    Optimizer.MUON: "builtin",
}
"""Which trainers have each."""


def only_adamw(program: str, asked: TrainerRequest) -> Refusal | None:
    """Refuse every optimizer but AdamW, for trainers that have no other."""
    return only(program, asked, (Optimizer.ADAMW,))


def only(program: str, asked: TrainerRequest, known: Collection[Optimizer]) -> Refusal | None:
    """Refuse an optimizer that this trainer has not."""
    if asked.optimizer in known:
        return None
    return Refusal(
        f"{program} has no {asked.optimizer.value}",
        f"write hyperparameters.optimizer AdamW, or trainer {WITH[asked.optimizer]}",
    )


def only_optimizer_offload(program: str, asked: TrainerRequest) -> Refusal | None:
    """Refuse parameters on the host, for trainers that offload the optimizer alone."""
    if asked.offload is Offload.ALL:
        return Refusal(
            f"{program} keeps no parameters on the host", "write offload Optimizer, or trainer llama-factory"
        )
    return None


def no_offload(program: str, asked: TrainerRequest) -> Refusal | None:
    """Refuse any state on the host."""
    if asked.offload is Offload.NONE:
        return None
    return Refusal(f"{program} keeps no training state on the host", "write offload None, or trainer llama-factory")


def checkpoints_activations(asked: TrainerRequest) -> bool:
    """Whether a trainer that knows only full recomputation must do it: selective is served by more, never by less."""
    return asked.recompute is not Recompute.NONE


def megatron_recompute(asked: TrainerRequest) -> dict[str, str | int | None]:
    """Return Megatron-Core's recompute fields; full recomputation goes block by block."""
    match asked.recompute:
        case Recompute.NONE:
            return {"recompute_granularity": None, "recompute_method": None, "recompute_num_layers": None}
        case Recompute.SELECTIVE:
            return {"recompute_granularity": "selective", "recompute_method": None, "recompute_num_layers": None}
        case Recompute.FULL:
            return {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
