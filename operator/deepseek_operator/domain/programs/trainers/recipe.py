"""A recipe of a release, changed and run by a small program: how torchtitan and Megatron-Bridge are driven.

Their command lines don't reach all that is asked for, so the program imports the recipe, assigns the settings that
lie beside it as JSON, and trains. It ends where a release lacks a name that is assigned.
"""

import json
from collections.abc import Mapping

from deepseek_operator.domain.programs.trainers.gang import gang
from deepseek_operator.domain.programs.trainers.request import FILES, OUTPUT, TrainerRequest, torchrun
from deepseek_operator.domain.values.command import Command

ASSIGN = """\
def assign(config, dotted, value):
    *parents, name = dotted.split(".")
    for parent in parents:
        config = getattr(config, parent)
    getattr(config, name)  # a name that this release lacks fails here, not silently
    setattr(config, name, value)
"""
"""Part of every program: sets one field of the recipe by its dotted path."""


def run(
    program: str, asked: TrainerRequest, text: str, settings: Mapping[str, object], warnings: tuple[str, ...]
) -> Command:
    """Return the command that starts the program ``text`` on every device, with its settings and its output folder."""
    script, document = f"{FILES}/{program.replace('-', '_')}_run.py", f"{FILES}/{program}.json"
    start = torchrun(asked.profile.launchers[program])
    args = (*start, script, document, OUTPUT)
    return gang(program, asked, args, {script: text, document: json.dumps(settings, indent=2) + "\n"}, warnings)
