"""What of a model is trained, as sizing and the trainers' commands read it."""

from typing import TypedDict

from deepseek_operator.api.v1alpha1.training.hyperparameters import Hyperparameters
from deepseek_operator.api.v1alpha1.training.method import Lora, Prompt, TrainingMethod, is_of_experts
from deepseek_operator.domain.programs.trainers.request import Tuning
from deepseek_operator.domain.sizing.training_state import Adapter, Method, Optimizer

_FEED_FORWARD = ("gate_proj", "up_proj", "down_proj", "gate_up_proj")


class Sizing(TypedDict, total=False):
    """Fields of a sizing request; none of them where every parameter is trained."""

    method: Method
    adapter: Adapter
    merges: bool


def sizing(method: TrainingMethod) -> Sizing:
    """What sizing is asked of the method. A layer by name counts as all of its kind: names are known to the model alone."""
    lora, prompt = method.adapter, method.virtual
    if prompt is not None:
        return {"method": Method(method.type), "adapter": _vectors(prompt), "merges": False}
    if lora is None:
        return {}
    return {"method": Method(method.type), "adapter": _adapter(lora), "merges": lora.export == "Merged"}


def optimizer(hyper: Hyperparameters) -> Optimizer:
    """What moves the parameters."""
    return Optimizer(hyper.optimizer or Optimizer.ADAMW.value)


def tuning(method: TrainingMethod) -> Tuning:
    """What a trainer's command is asked of the method."""
    lora, prompt = method.adapter, method.virtual
    if prompt is not None:
        return Tuning(Method(method.type))
    if lora is None:
        return Tuning()
    return Tuning(
        Method(method.type),
        rank=lora.rank,
        alpha=lora.scale,
        all_linear=_adapter(lora).all_linear,
        dropout=lora.dropout,
    )


def _vectors(prompt: Prompt) -> Adapter:
    usual = Adapter()
    width = prompt.encoder_hidden_size or usual.encoder_hidden
    return Adapter(virtual_tokens=prompt.virtual_tokens, encoder_hidden=width)


def _adapter(lora: Lora) -> Adapter:
    kinds = {_kind(target) for target in lora.targets}
    return Adapter(
        lora.rank,
        attention=bool({"Attention", "Linear"} & kinds),
        all_linear=bool({"Linear", "FeedForward"} & kinds),
        experts="Experts" in kinds,
    )


def _kind(target: str) -> str:
    """Attention, FeedForward, Linear (both) or Experts."""
    name = target.rpartition(".")[2]
    if target == "Linear":
        return target
    if is_of_experts(target):
        return "Experts"
    return "FeedForward" if name in _FEED_FORWARD else "Attention"
