"""The claim under the checkpoints: made or found, its uid recorded before any attempt, and never replaced."""

from deepseek_operator.api.v1alpha1.training.status import TrainingStatus, VolumeStatus
from deepseek_operator.core.actions import Create
from deepseek_operator.core.conditions import reconciling, stalled
from deepseek_operator.core.resources import is_terminating, uid_of
from deepseek_operator.kinds.training.claim import new_claim
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.step import Step, act, record
from deepseek_operator.kinds.training.view import View


def declare_loss(view: View) -> Step | None:
    """The claim is lost: told before what is wrong with the spec, since no edit brings the checkpoints back."""
    if view.loss is None:
        return None
    # Declared only from a live look; a mirror may lag behind.
    return act("Failed", stalled(Reason.CHECKPOINT_VOLUME_LOST, view.loss), confirm=True)


def ensure_volume(view: View) -> Step | None:
    """The phase: the next write on the way to a recorded volume, a wait, or None when all is well."""
    claim = view.claim
    if claim is None:
        return _absent(view)
    if is_terminating(claim):
        says = reconciling(Reason.WAITING_FOR_CLAIM, f"PersistentVolumeClaim {view.claim_name} is being deleted")
        return act("Pending", says)
    name, uid, made = view.claim_name, uid_of(claim), existing_claim(view.owner) is None
    known = view.status.volume
    if known is None or (known.claim_name, known.uid, known.made) != (name, uid, made):
        wanted = VolumeStatus(claim_name=name, uid=uid, made=made, used=_was_used(view.status))
        return record(view.status.model_copy(update={"volume": wanted}))
    return None


def _was_used(status: TrainingStatus) -> bool:
    """True when only the record of the claim was lost, of attempts that ran on it: a training that begins anew on another
    claim has no digest of what is fixed."""
    return bool(status.fixed_digest) and status.attempt is not None and status.attempt.running_at is not None


def _absent(view: View) -> Step:
    if (name := existing_claim(view.owner)) is not None:
        message = f"checkpoints.volume.claimName {name} does not exist in this namespace"
        return act("Pending", reconciling(Reason.WAITING_FOR_CLAIM, message))
    says = reconciling(Reason.STARTING, f"making PersistentVolumeClaim {view.claim_name}")
    return act("Pending", says, [Create(new_claim(view.owner))])
