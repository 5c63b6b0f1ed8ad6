"""What is said while evaluation.command tells nothing, as a condition beside the three that kstatus reads."""

from deepseek_operator.api.v1alpha1.training.progress import ProgressStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.kinds.training.reasons import Reason

EVALUATION_WARNING = "EvaluationWarning"


def unmeasured(progress: ProgressStatus | None) -> tuple[Verdict, ...]:
    """The condition with the reason; none once it measures. The training goes on without its metrics."""
    if progress is None or progress.evaluation_failure is None:
        return ()
    message = f"evaluation.command, {progress.evaluation_failure}"
    return (Verdict(EVALUATION_WARNING, "True", Reason.EVALUATION_FAILED, message),)
