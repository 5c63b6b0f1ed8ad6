"""What of the data is lost to the sequence length, as a condition beside the three that kstatus reads.

The training goes on: a few long examples are no error, and only their owner knows whether they matter. Where most of
a dataset would be lost the trainer itself refuses.
"""

from deepseek_operator.api.v1alpha1.training.progress import DataStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.kinds.training.reasons import Reason

DATA_WARNING = "DataWarning"


def losses(data: DataStatus | None) -> tuple[Verdict, ...]:
    """The condition with the numbers; none where nothing is lost or nothing was read yet."""
    if data is None or not (data.dropped or data.cut):
        return ()
    told: list[str] = []
    if data.dropped:
        told.append(
            f"{data.dropped} of {data.examples + data.dropped} examples are left out, because their prompt leaves no"
            " room for an answer"
        )
    if data.cut:
        told.append(
            f"{data.cut} of {data.examples} completions are cut, so that nothing teaches the model to end there"
        )
    remedy = f"hyperparameters.sequenceLength {data.longest} would keep every example whole"
    reason = Reason.EXAMPLES_LEFT_OUT if data.dropped else Reason.COMPLETIONS_CUT
    return (Verdict(DATA_WARNING, "True", reason, f"{'; '.join(told)}; {remedy}"),)
