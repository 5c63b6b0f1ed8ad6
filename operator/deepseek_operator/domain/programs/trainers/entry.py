"""What is known of one trainer, in one entry: sizing, validation, commands and documentation read it here.

A further trainer is a file with its entry and its line in ``table``. What a pod of it runs, with which files and
variables, is in the command that ``build`` returns; what it refuses beside the fields below, ``build`` says too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from deepseek_operator.domain.programs.arguments import NO_FLAGS, Flags
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.instead import NOTHING
from deepseek_operator.domain.programs.trainers.limits import PRECISIONS
from deepseek_operator.domain.programs.trainers.request import Objective, TrainerRequest
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.request import ALL_AXES
from deepseek_operator.domain.sizing.training_state import Method, Optimizer
from deepseek_operator.domain.values.command import Command, Refusal

ADAPTERS = frozenset({Method.LORA, Method.QLORA})
EVERY_METHOD = frozenset(Method)
WHOLE_LAYERS = frozenset({Recompute.NONE, Recompute.FULL})
"""Levels of trainers that compute a layer again whole or not at all."""
DATA_AXIS = frozenset({"data"})
"""Ranks that share a batch and shard state, and no others."""


HONOURED: Mapping[Start, frozenset[str]] = MappingProxyType(
    {Start.BUILT: frozenset({"args"}), Start.OURS: frozenset(), Start.WRITTEN: frozenset({"command", "args"})}
)
"""Those fields of ``spec.trainer`` that not every trainer has; the schema refuses what a trainer does not honour."""


class Resume(Enum):
    """Where the next attempt goes on."""

    VERIFIED = "the newest healthy checkpoint, verified"
    PROGRAM = "as the user's program decides"


@dataclass(frozen=True)
class TrainerEntry:
    """One trainer.

    Attributes:
        type: ``spec.trainer.type``, and the name under which profiles list its image and launcher.
        title: how its makers write it.
        version: the release that is used: the one whose names were recorded; empty where there are no releases.
        start: who writes its command.
        build: the command of every node, or why there is none; None where the user writes it.
        objectives, methods, precisions, optimizers: what it can be asked for on at least one model; ``build`` refuses the others.
        axes: kinds of ranks that it can be laid out over.
        checkpoints: the form in which it saves.
        resume: where it goes on after a restart.
        command: what starts it in the runtime image, where it is ours; empty where ``build`` or the user says it.
        flags: what the user's own arguments may not say.
        recomputations: levels of recomputation that it can be told; of a program that nobody can tell, none.
        recomputation: what it computes again where nothing is said; None: as little as the plan allows.
        divides: whether its ranks save parts of what they share out, which as many ranks alone put together again.
        compression: ``hyperparameters.gradientCompression.type`` that it can be told; empty for none.
        runs_a_program: whether its command starts one of the user's, as a library's does.
        is_offered: whether resources may name it; the others are known to commands only.
    """

    type: str
    title: str
    version: str
    start: Start
    build: Callable[[TrainerRequest], Command | Refusal] | None
    checkpoints: str
    resume: Resume
    objectives: frozenset[Objective] = frozenset(Objective)
    methods: frozenset[Method] = EVERY_METHOD
    precisions: tuple[str, ...] = PRECISIONS
    optimizers: tuple[Optimizer, ...] = (Optimizer.ADAMW,)
    axes: frozenset[str] = ALL_AXES
    recomputations: frozenset[Recompute] = frozenset(Recompute)
    recomputation: Recompute | None = None
    compression: str = ""
    command: tuple[str, ...] = ()
    flags: Flags = NO_FLAGS
    divides: bool = False
    runs_a_program: bool = False
    is_offered: bool = False

    @property
    def honours(self) -> frozenset[str]:
        """Fields of ``spec.trainer`` that it does something with, of those that not every trainer has."""
        program = {"command"} if self.runs_a_program else set()
        return (HONOURED[self.start] | program) - ({"args"} if self.flags == NOTHING else set())
