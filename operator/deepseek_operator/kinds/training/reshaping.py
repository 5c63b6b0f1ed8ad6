"""Whether a gang of another size can go on from what was saved, asked before the one that runs is stopped for it.

Some trainers put checkpoints together for any number of processes, others, by their entries, for as many alone as have saved
them: the pods would refuse the checkpoint, and that would be the end.
"""

from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.kinds.training.command import Started
from deepseek_operator.kinds.training.settings import processes_per_node


def bound_ranks(spec: TrainingSpec, foreign: Started | None) -> int:
    """Processes that alone can go on from what an attempt of this spec saves; 0 where any number can."""
    is_bound = foreign is not None and foreign.is_divided
    return spec.nodes.number * processes_per_node(spec) if is_bound else 0


def misfit(status: TrainingStatus, spec: TrainingSpec, foreign: Started | None) -> str | None:
    """What to write instead; None where the next attempt can go on, begins anew, or nothing is known."""
    saved_by = status.attempt.bound_ranks if status.attempt is not None else None
    is_anew = status.last_checkpoint is None or spec.checkpoints.resume.policy == "Never"
    if saved_by is None or is_anew or (wanted := bound_ranks(spec, foreign)) == saved_by:
        return None
    title = TRAINERS[spec.trainer.type].title
    if saved_by:
        return (
            f"the checkpoint of step {_step(status)} was saved by {saved_by} processes, each its part, and {title} puts"
            " them together with as many alone: write nodes.count ×"
            f" accelerator.perNode = {saved_by} as before, or make a new training that starts from an export"
        )
    return (
        f"the checkpoint of step {_step(status)} is whole, and {wanted} processes would share the state out, for which {title}"
        " wants a part for each: write nodes.count and accelerator as before, or make a new training that starts from an"
        " export"
    )


def _step(status: TrainingStatus) -> int:
    assert status.last_checkpoint is not None
    return status.last_checkpoint.step
