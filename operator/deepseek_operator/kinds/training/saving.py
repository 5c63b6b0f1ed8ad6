"""Whether a save fits into the time that a pod is given to stop in, told as soon as one was measured.

A pod that is drained makes its step to the end, writes what it has learnt and ends; what takes longer than the grace
period is killed, and the steps since the last checkpoint are lost.
"""

from math import ceil, isfinite

from deepseek_operator.api.v1alpha1.training.progress import LastCheckpoint
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.settings import grace_s

SAVE_WARNING = "SaveWarning"
LAST_WORDS_S = 2
"""What the launcher keeps for itself at the end of the grace period."""
FITS_AGAIN = 0.8
"""Share of the time below which a save that did not fit counts as one that does: times of saves differ from one to the next."""
ROUNDED_TO_S = 30


def saving(known: LastCheckpoint | None, spec: TrainingSpec, *, was_told: bool) -> tuple[Verdict, ...]:
    """The condition with what to write; none where a save fits, or none was measured. `was_told`: it is there already."""
    took = _seconds(known.seconds) if known is not None else None
    if known is None or took is None:
        return ()
    grace = grace_s(spec)
    has = grace - LAST_WORDS_S
    if took <= (has * FITS_AGAIN if was_told else has):
        return ()
    message = (
        f"a checkpoint took {ceil(took)} s to save (newest: step {known.step}), and a pod that is asked to stop has {has} s of"
        f" trainer.pod.terminationGracePeriodSeconds {grace} for it: it would be killed, and the steps since the last"
        f" checkpoint lost; write trainer.pod.terminationGracePeriodSeconds {wanted_s(took)}, which starts"
        " another attempt, or save to a faster volume in a new training"
    )
    return (Verdict(SAVE_WARNING, "True", Reason.GRACE_TOO_SHORT, message),)


def wanted_s(save_s: float) -> int:
    """Room for a save that is under way and the one after it, and for a step: twice the time and a little."""
    return ceil((2 * save_s + LAST_WORDS_S) / ROUNDED_TO_S) * ROUNDED_TO_S


def _seconds(told: str | None) -> float | None:
    """None where nothing was measured; whoever may write a status writes anything."""
    try:
        seconds = float(told or "")
    except ValueError:
        return None
    return seconds if isfinite(seconds) and 0 <= seconds < 1e7 else None
