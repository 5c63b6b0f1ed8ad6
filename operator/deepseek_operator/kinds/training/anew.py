"""Beginning anew: what an edit may do while nothing was learnt.

Only certainty counts, as `written` finds it: checkpoints that nobody reported are still checkpoints.
"""

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.kinds.training.names import training_claim
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.settings import Digests

START_ANEW = (
    "nothing was learnt yet: correct the spec and it starts anew, or, if the files were corrected, delete the training "
    "and apply it again"
)


def is_unlearnt(status: TrainingStatus) -> bool:
    """True while certainly nothing was learnt: no attempt has written, and the one under way does not run yet."""
    attempt, volume = status.attempt, status.volume
    if attempt is None or volume is None or volume.used or status.result == "Complete":
        return False
    if status.last_checkpoint is not None or status.exports:
        return False  # Told by the pods of an attempt that no look has found running.
    return attempt.verdict is not None or attempt.running_at is None


def is_changed(status: TrainingStatus, now: Digests) -> bool:
    """True when what is fixed differs from what was recorded, or, after a failure, what an attempt is made of.

    `now`: the digests of the spec as it is.
    """
    if not status.fixed_digest or status.attempt is None:
        return False
    is_other = status.attempt.digest != now.attempt
    return status.fixed_digest != now.fixed or (status.result == "Failed" and is_other)


def begun_anew(owner: DeepSeekTraining) -> TrainingStatus:
    """The status without a result, waits and counters. Numbers, history and ancestry stay: they wrote nothing."""
    meta, status = owner.metadata, owner.status
    claim = existing_claim(owner) or training_claim(meta.name, meta.uid)
    attempt, volume = status.attempt, status.volume
    if attempt is not None and attempt.verdict is None:
        attempt = attempt.model_copy(update={"verdict": "Stopped"})
    return status.model_copy(
        update={
            "attempt": attempt,
            "fixed_digest": "",
            "volume": volume if volume is not None and volume.claim_name == claim else None,
            "restarts": 0,
            "backoff_level": None,
            "not_before": None,
            "step_at_failure": None,
            "result": None,
            "result_message": "",
            "progress": None,
            "data": None,
            "rollbacks": None,
            "in_place_restarts": None,
            "preflight": None,
        }
    )


def goes_with_it(spec: TrainingSpec, status: TrainingStatus) -> bool:
    """True when the claim that the operator made shall be deleted with the training."""
    volume, attempt = status.volume, status.attempt
    is_idle = attempt is None or attempt.verdict is not None
    return spec.checkpoints.on_delete == "Delete" or (volume is not None and not volume.used and is_idle)
