"""What is said of a gang one of whose processes keeps the others waiting: they all are as slow as it is."""

from deepseek_operator.api.v1alpha1.training.progress import StragglerStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.kinds.training.reasons import Reason

STRAGGLER_WARNING = "StragglerWarning"


def straggling(known: StragglerStatus | None) -> tuple[Verdict, ...]:
    """The condition with rank, node and factor; none where all are even."""
    if known is None:
        return ()
    where = f" on node {known.node}" if known.node else ""
    message = (
        f"rank {known.rank}{where} takes {known.factor} times as long as the others for the same work, and they wait for it at"
        " every step: look at that node (clocks, temperature, neighbours); a drained node is left with a save, not counted"
    )
    return (Verdict(STRAGGLER_WARNING, "True", Reason.SLOW_RANK, message),)
