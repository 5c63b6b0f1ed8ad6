"""The one list of trainers. What there is to say of each stands in its own file."""

from collections.abc import Mapping
from types import MappingProxyType

from deepseek_operator.domain.programs.trainers import (
    builtin,
    custom,
    deepspeed,
    llama_factory,
    megatron_bridge,
    ms_swift,
    torchtitan,
)
from deepseek_operator.domain.programs.trainers.entry import TrainerEntry
from deepseek_operator.domain.programs.trainers.request import TrainerRequest
from deepseek_operator.domain.values.command import Command, Refusal

_ENTRIES = (
    builtin.ENTRY,
    torchtitan.ENTRY,
    megatron_bridge.ENTRY,
    llama_factory.ENTRY,
    ms_swift.ENTRY,
    deepspeed.ENTRY,
    custom.ENTRY,
)
TRAINERS: Mapping[str, TrainerEntry] = MappingProxyType({entry.type: entry for entry in _ENTRIES})
"""Every trainer by its type, in the order in which they are listed to a user."""
USUAL = builtin.ENTRY
"""The trainer of a resource that brings no program of its own."""


def offered() -> tuple[TrainerEntry, ...]:
    """The trainers that a resource may name."""
    return tuple(entry for entry in TRAINERS.values() if entry.is_offered)


def build(trainer: str, asked: TrainerRequest) -> Command | Refusal:
    """Return what every node of this trainer runs for the request."""
    entry = TRAINERS.get(trainer)
    if entry is None or entry.build is None:
        known = ", ".join(name for name, entry in TRAINERS.items() if entry.build is not None)
        return Refusal(f"no trainer {trainer!r} is known", f"write one of {known}, or a command of your own")
    return entry.build(asked)
