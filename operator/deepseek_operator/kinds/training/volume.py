"""The claim under the checkpoints: made or found, its uid recorded before any attempt, and never replaced.

A missing claim, or one with another uid, after that record means that the checkpoints are gone. Making an empty one
would begin the training at step 0 in silence, so nothing is made and a person is asked.
"""

from deepseek_operator.api.v1alpha1.training.status import VolumeStatus
from deepseek_operator.core.actions import Action, Apply, Create
from deepseek_operator.core.conditions import reconciling, stalled
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.resources import annotations_of, is_terminating, uid_of
from deepseek_operator.kinds.training.anew import goes_with_it
from deepseek_operator.kinds.training.claim import kept_claim, new_claim
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.service import CLAIM_UID
from deepseek_operator.kinds.training.view import Step, View, act, record
from deepseek_operator.workloads.batch import volume
from deepseek_operator.workloads.batch.volume import Going, Gone, Replaced


def ensure_volume(view: View) -> Step | None:
    """The phase: the next write on the way to a recorded volume, a wait, or None when all is well."""
    if (lost := loss(view)) is not None:
        return _lost(view, lost)
    claim = view.claim
    if claim is None:
        return _absent(view)
    if is_terminating(claim):
        says = reconciling(Reason.WAITING_FOR_CLAIM, f"PersistentVolumeClaim {view.claim_name} is being deleted")
        return act("Pending", says)
    wanted = VolumeStatus(
        claim_name=view.claim_name, uid=uid_of(claim), made=existing_claim(view.owner) is None, used=False
    )
    known = view.status.volume
    if known is None or known.model_copy(update={"used": False}) != wanted:
        return record(view.status.model_copy(update={"volume": wanted}))
    return None


def loss(view: View) -> str | None:
    """A sentence when the recorded claim is gone, going or another one; None when it is there or none is recorded."""
    name, uid = view.claim_name, recorded_uid(view)
    match volume.loss(uid, view.claim):
        case None:
            return None
        case Gone():
            return f"PersistentVolumeClaim {name} is gone, and the checkpoints with it; nothing is started from step 0"
        case Replaced(other):
            return (
                f"PersistentVolumeClaim {name} is another one (uid {other}) than the checkpoints were written to "
                f"(uid {uid}); nothing is started from step 0"
            )
        case Going():
            return f"PersistentVolumeClaim {name} is being deleted"


def recorded_uid(view: View) -> str:
    """uid of the claim that attempts have used: from status, or from the Service when the status was wiped."""
    known = view.status.volume
    if known is not None and (known.claim_name == view.claim_name or view.attempt is not None):
        return known.uid
    if view.attempt is not None:
        return ""  # It begins anew on another claim (see `anew`).
    return annotations_of(view.service or {}).get(CLAIM_UID, "")


def claim_upkeep(view: View) -> tuple[Action, ...]:
    """Live edits of a claim that the operator made: onDelete and a larger size."""
    known, claim = view.status.volume, view.claim
    if known is None or not known.made or claim is None or is_terminating(claim) or uid_of(claim) != known.uid:
        return ()
    wanted = kept_claim(view.owner, claim, is_owned=goes_with_it(view.spec, view.status))
    return (Apply(wanted, known.uid),) if needs_apply(wanted, claim) else ()


def _lost(view: View, message: str) -> Step:
    """Declared only from a live look; a mirror may lag behind."""
    return act("Failed", stalled(Reason.CHECKPOINT_VOLUME_LOST, message), confirm=True)


def _absent(view: View) -> Step:
    if (name := existing_claim(view.owner)) is not None:
        message = f"checkpoints.volume.claimName {name} does not exist in this namespace"
        return act("Pending", reconciling(Reason.WAITING_FOR_CLAIM, message))
    says = reconciling(Reason.STARTING, f"making PersistentVolumeClaim {view.claim_name}")
    return act("Pending", says, [Create(new_claim(view.owner))])
