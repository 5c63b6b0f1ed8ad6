"""What a specification asks of how gradients are made smaller to travel."""

from dataclasses import dataclass

from deepseek_runtime.contract import Invalid
from deepseek_runtime.fields import Fields

TYPES = ("PowerSGD",)


@dataclass(frozen=True)
class PowerSGD:
    """Each matrix's gradient travels as two of so many columns (arXiv 1905.13727)."""

    rank: int


def read_compression(hyperparameters: Fields, *, is_lora: bool) -> PowerSGD | None:
    """What `gradientCompression` asks for; None where it is absent. Raises Invalid."""
    if not hyperparameters.has("gradientCompression"):
        return None
    fields = hyperparameters.fields("gradientCompression")
    fields.only("type", "rank")
    fields.choice("type", TYPES, TYPES[0])
    if not is_lora:
        raise Invalid(
            f"{fields.path} is of method LoRA, whose adapter every process can hold whole: leave it out, or write"
            " method.type LoRA"
        )
    return PowerSGD(fields.integer("rank", 1, least=1))
