"""DeepSpeed under the user's own program: a complete configuration file, started by torchrun.

Keys of 0.19.8 are recorded from the released package and checked by a test. The program decides what it does with the
checkpoint variables; the operator's manifest is its to write.
"""

import json

from deepseek_operator.domain.programs.arguments import Flags, Owned
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers import instead, limits, memory, zero
from deepseek_operator.domain.programs.trainers.entry import DATA_AXIS, Resume, TrainerEntry
from deepseek_operator.domain.programs.trainers.gang import gang
from deepseek_operator.domain.programs.trainers.request import FILES, Schedule, TrainerRequest, torchrun
from deepseek_operator.domain.values.command import Command, Refusal

PROGRAM = "deepspeed"
CONFIG = f"{FILES}/deepspeed.json"
FLAGS = Flags(owned=(Owned(("deepspeed", "deepspeed-config"), instead.LAYOUT),))
"""What the user's program reads beside them is theirs."""


def build(asked: TrainerRequest) -> Command | Refusal:
    """Return the command of every node, or why there is none."""
    return _refusal(asked) or _command(asked)


def _command(asked: TrainerRequest) -> Command:
    start = torchrun(asked.profile.launchers[PROGRAM])
    args = (*start, *asked.script, "--deepspeed", "--deepspeed_config", CONFIG, *asked.extra_args)
    config = zero.complete(asked, asked.hyper.max_steps or 0)
    return gang(PROGRAM, asked, args, {CONFIG: json.dumps(config, indent=2) + "\n"})


def _refusal(asked: TrainerRequest) -> Refusal | None:
    if not asked.script:
        return Refusal("DeepSpeed is a library and trains nothing by itself",
                       "write trainer.command with your program, or trainer llama-factory or ms-swift, which drive it")  # fmt: skip
    if asked.hyper.schedule is not Schedule.CONSTANT and asked.hyper.max_steps is None:
        return Refusal("DeepSpeed's schedules end at a step, not at an epoch", "write hyperparameters.maxSteps")
    return _run(asked)


def _run(asked: TrainerRequest) -> Refusal | None:
    return (
        memory.only_adamw("this builder of DeepSpeed", asked)
        or limits.refusal(PROGRAM, asked, FLAGS)
        or limits.only_data_parallel("DeepSpeed", asked)
        or zero.refusal(asked)
    )


ENTRY = TrainerEntry(
    type=PROGRAM,
    title="DeepSpeed",
    version="0.19.8",
    start=Start.BUILT,
    build=build,
    recomputations=frozenset(),
    checkpoints="as the user's program saves",
    resume=Resume.VERIFIED,
    divides=True,
    axes=DATA_AXIS,
    compression="OneBitAdam",
    flags=FLAGS,
    runs_a_program=True,
    is_offered=True,
)
