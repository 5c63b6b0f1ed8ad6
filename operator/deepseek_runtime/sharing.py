"""What a specification asks of how processes share the work: experts dealt out, and gradients made smaller to travel."""

from dataclasses import dataclass

from deepseek_runtime.contract import Invalid
from deepseek_runtime.fields import Fields

TYPES = ("PowerSGD",)


@dataclass(frozen=True)
class PowerSGD:
    """Each matrix's gradient travels as two of so many columns (arXiv 1905.13727)."""

    rank: int


def read_expert(root: Fields) -> int:
    """Over how many processes the experts of a layer are dealt out; 1 where `parallelism` is absent. Raises Invalid."""
    if not root.has("parallelism"):
        return 1
    fields = root.fields("parallelism")
    fields.only("expert")
    return fields.integer("expert", 1, least=1)


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
