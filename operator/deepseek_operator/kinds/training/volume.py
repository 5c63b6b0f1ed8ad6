"""The claim that was recorded for the checkpoints, and what is told when it is that claim no longer.

A missing claim, or one with another uid, after that record means that the checkpoints are gone. Making an empty one
would begin the training at step 0 in silence, so nothing is made and a person is asked.
"""

from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.resources import Manifest, annotations_of
from deepseek_operator.kinds.training.service import CLAIM_UID
from deepseek_operator.workloads.batch import volume
from deepseek_operator.workloads.batch.volume import Going, Gone, Replaced


def recorded_uid(status: TrainingStatus, claim_name: str, service: Manifest | None) -> str:
    """uid of the claim that attempts have used: from status, or from the living Service when the status was wiped."""
    known = status.volume
    if known is not None and (known.claim_name == claim_name or status.attempt is not None):
        return known.uid
    if status.attempt is not None:
        return ""  # It begins anew on another claim (see `anew`).
    return annotations_of(service or {}).get(CLAIM_UID, "")


def loss(name: str, uid: str, claim: Manifest | None) -> str | None:
    """A sentence when the recorded claim is gone, going or another one; None when it is there or none is recorded."""
    match volume.loss(uid, claim):
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
