"""What is learnt, as DEEPSEEK_TRAINING_SPEC says it, and which of its other fields go with it."""

from collections.abc import Sequence
from typing import TypeVar

from deepseek_runtime.contract import Invalid
from deepseek_runtime.fields import Fields

_Name = TypeVar("_Name", bound=str)


def objective_of(root: Fields, known: tuple[_Name, ...], formats: Sequence[str], *, all_parameters: bool) -> _Name:
    """The objective, the first of `known` where none is said. `formats` are those of the datasets.

    Raises Invalid for pre-training on anything but texts, or of anything but all parameters.
    """
    objective = root.choice("objective", known, known[0])
    if objective != "Pretrain":
        return objective
    other = next((number for number, form in enumerate(formats) if form != "Text"), None)
    if other is not None:
        raise Invalid(
            f"objective is Pretrain, which learns plain texts, and datasets[{other}].format is {formats[other]}: write"
            " format: Text, or objective: SFT"
        )
    if not all_parameters:
        raise Invalid("objective is Pretrain, which moves every parameter: write method.type Full, or objective: SFT")
    for name in ("lossOn", "chatTemplate"):
        if root.has(name):
            raise root.wrong(name, "objective Pretrain learns texts throughout, and no chats: leave it out")
    return objective
