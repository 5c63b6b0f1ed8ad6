"""Trainers: from typed values to the exact command of every node of a gang, or the reason why there is none."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from deepseek_operator.domain.programs.trainers import (
    builtin,
    deepspeed,
    llama_factory,
    megatron_bridge,
    ms_swift,
    torchtitan,
)
from deepseek_operator.domain.programs.trainers.request import (
    DataFormat,
    Dataset,
    Hyperparameters,
    Objective,
    Schedule,
    TrainerRequest,
    Tuning,
)
from deepseek_operator.domain.values.command import Command, Refusal

BUILDERS: Mapping[str, Callable[[TrainerRequest], Command | Refusal]] = MappingProxyType(
    {
        builtin.PROGRAM: builtin.build,
        torchtitan.PROGRAM: torchtitan.build,
        megatron_bridge.PROGRAM: megatron_bridge.build,
        llama_factory.PROGRAM: llama_factory.build,
        ms_swift.PROGRAM: ms_swift.build,
        deepspeed.PROGRAM: deepspeed.build,
    }
)
"""Every trainer by the name under which profiles list its launcher."""
DEFAULT_VERSIONS: Mapping[str, str] = MappingProxyType(
    {
        builtin.PROGRAM: "0.1.0",
        torchtitan.PROGRAM: "0.3.0",
        megatron_bridge.PROGRAM: "0.6.2",
        llama_factory.PROGRAM: "0.9.5",
        ms_swift.PROGRAM: "4.6.0",
        deepspeed.PROGRAM: "0.19.8",
    }
)
"""The release whose names were recorded."""


def build(trainer: str, asked: TrainerRequest) -> Command | Refusal:
    """Return what every node of this trainer runs for the request."""
    builder = BUILDERS.get(trainer)
    if builder is None:
        return Refusal(
            f"no trainer {trainer!r} is known", f"write one of {', '.join(BUILDERS)}, or a command of your own"
        )
    return builder(asked)


__all__ = [
    "BUILDERS",
    "DEFAULT_VERSIONS",
    "DataFormat",
    "Dataset",
    "Hyperparameters",
    "Objective",
    "Schedule",
    "TrainerRequest",
    "Tuning",
    "build",
]
