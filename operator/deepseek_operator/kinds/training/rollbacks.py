"""What is said of a training that went back to a checkpoint, because its numbers were no longer finite, and goes on.

It is no failure, and nothing to be missed either: batches are left out, and settings that diverge once may do so again.
"""

from deepseek_operator.api.v1alpha1.training.failures import OnDivergence
from deepseek_operator.api.v1alpha1.training.progress import RollbackStatus
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.kinds.training.reasons import Reason

DIVERGENCE_WARNING = "DivergenceWarning"


def rollbacks(known: RollbackStatus | None, spec: TrainingSpec) -> tuple[Verdict, ...]:
    """The condition with the numbers; none where nothing diverged."""
    if known is None or not known.count:
        return ()
    return (Verdict(DIVERGENCE_WARNING, "True", Reason.ROLLED_BACK, sentence(known, spec)),)


def sentence(known: RollbackStatus, spec: TrainingSpec) -> str:
    """`step 55 diverged: went on from step 40 and left 1 batch out (rollback 1 of 3); …`."""
    policy = spec.failure_policy.on_divergence or OnDivergence()
    most = policy.max or USUAL_MAX
    batches = "1 batch" if known.skipped == 1 else f"{known.skipped} batches"
    return (
        f"step {known.step} diverged: went on from step {known.to} and left {batches} out (rollback {known.count} of"
        f" {most}); look at that data, or write a lower learningRate or gradientClipNorm in a new training"
    )


USUAL_MAX = 3
"""What an absent max means to the trainer."""
