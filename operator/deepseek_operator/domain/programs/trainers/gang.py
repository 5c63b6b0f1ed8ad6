"""What the commands of all trainers say alike: devices and nodes of the gang, its environment, its time to save."""

from collections.abc import Mapping

from deepseek_operator.domain.devices.profiles.profile import NOTHING
from deepseek_operator.domain.programs.trainers.request import TrainerRequest, environment
from deepseek_operator.domain.values.command import Command


def gang(
    program: str,
    asked: TrainerRequest,
    args: tuple[str, ...],
    files: Mapping[str, str] = NOTHING,
    warnings: tuple[str, ...] = (),
) -> Command:
    """Return the command that every node runs."""
    return Command(
        program=program,
        args=args,
        env=environment(asked, program),
        files=files,
        devices=asked.layout.gpus,
        devices_per_node=asked.devices_per_node,
        nodes=asked.nodes,
        termination_grace_seconds=asked.grace_seconds,
        warnings=warnings,
    )
