"""Whether an attempt that is over may have written a checkpoint; what is not certain counts as written.

It has certainly written nothing when its volume was never bound, when none of its containers ever ran, or when the
built-in trainer itself refused what it was given and named no checkpoint: its launcher looks at the volume before it
says so.
"""

from deepseek_operator.core.resources import Manifest
from deepseek_operator.kinds.training.pod import is_told
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.kinds.training.report import report_of
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.gang import rank_zero
from deepseek_operator.workloads.batch.verdict import START_ERRORS, Outcome


def wrote_nothing(view: View, verdict: Outcome) -> bool:
    """True when the attempt that is over has certainly written no checkpoint."""
    attempt, pods = view.attempt, view.gang.pods
    if attempt is None or view.status.exports or view.status.last_checkpoint is not None:
        return False
    if attempt.running_at is None and not any(map(_has_started, pods)):
        is_bound = view.claim is None or view.claim.get("status", {}).get("phase") != "Pending"
        # What a look has missed is only excluded where every pod is still there, or where the operator ended them.
        return not is_bound or attempt.stopping is not None or len(pods) >= view.size
    zero = rank_zero(pods)
    said = report_of(zero) if zero is not None else None
    return verdict == "Invalid" and is_told(view.spec.trainer) and said is not None and said.names_no_checkpoint


def _has_started(pod: Manifest) -> bool:
    """True once the trainer's container ran, however it ended."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status.get("name") != TRAINER.container:
            continue
        state = status.get("state") or {}
        over = state.get("terminated")
        if state.get("running") or (over and over.get("reason") not in START_ERRORS):
            return True
    return False
