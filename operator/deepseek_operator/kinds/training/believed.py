"""What is believed of a training's status. Whoever may write it may write anything there; what no release of this operator
can have written counts as not there, and is read back or made anew like a status that was wiped.

Believed as it stands, a Job that no attempt of this training can have would be made for ever, and a claim of a name that
none can have would be waited for.
"""

from deepseek_operator.api.v1alpha1.common.attempts import AttemptRecord, AttemptStatus
from deepseek_operator.api.v1alpha1.common.source import is_place
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.status import OriginStatus, VolumeStatus
from deepseek_operator.kinds.training.names import training_claim, training_job
from deepseek_operator.workloads.batch.attempt import is_number


def believed(owner: DeepSeekTraining) -> DeepSeekTraining:
    """The training with what can be true of its status."""
    status = owner.status
    sound = {
        "attempt": _attempt(owner, status.attempt),
        "history": [_ended(owner, ended) for ended in status.history if is_number(ended.number)],
        "ancestry": [ancestor for ancestor in status.ancestry if is_number(ancestor.attempt)],
        "volume": _volume(owner, status.volume),
        "origin": _origin(status.origin),
    }
    if all(getattr(status, name) == value for name, value in sound.items()):
        return owner
    return owner.model_copy(update={"status": status.model_copy(update=sound)})


def _attempt(owner: DeepSeekTraining, attempt: AttemptStatus | None) -> AttemptStatus | None:
    """Its number decides what its Job is called."""
    if attempt is None or not is_number(attempt.number):
        return None
    job = training_job(owner.metadata.name, owner.metadata.uid, attempt.number)
    return attempt if attempt.job == job else attempt.model_copy(update={"job": job})


def _ended(owner: DeepSeekTraining, ended: AttemptRecord) -> AttemptRecord:
    job = training_job(owner.metadata.name, owner.metadata.uid, ended.number)
    return ended if ended.job in (None, job) else ended.model_copy(update={"job": None})


def _volume(owner: DeepSeekTraining, volume: VolumeStatus | None) -> VolumeStatus | None:
    """A claim is recorded with its uid; one that the operator made has the name that it gives."""
    if volume is None or not volume.uid or not is_place(volume.claim_name):
        return None
    is_ours = volume.claim_name == training_claim(owner.metadata.name, owner.metadata.uid)
    return volume if is_ours or not volume.made else None


def _origin(origin: OriginStatus | None) -> OriginStatus | None:
    return origin if origin is not None and is_place(origin.claim_name, origin.sub_path) else None
