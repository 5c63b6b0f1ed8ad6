"""Who has a name that a child would take: something that will go, or a stranger that is never touched."""

from dataclasses import dataclass

from deepseek_operator.core.names import OWNER_UID, training_claim, training_service
from deepseek_operator.core.ownership import left_by
from deepseek_operator.core.resources import (
    CLAIM,
    JOB,
    POLICY,
    SERVICE,
    TRAINING,
    Manifest,
    Ref,
    Resource,
    controller_of,
    is_terminating,
    uid_of,
)
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.policy import is_gang
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.view import View


@dataclass(frozen=True)
class Conflict:
    """An occupied name. `waits`: the occupant is on its way out."""

    reason: Reason
    message: str
    waits: bool


def conflict(view: View, only: Resource | None = None) -> Conflict | None:
    """The first occupied name among those that the next attempt needs; None when all are free or ours."""
    meta = view.owner.metadata
    refs = [Ref(SERVICE, training_service(meta.name))]
    if is_gang(view.owner):
        refs.append(Ref(POLICY, training_service(meta.name)))
    if view.attempt is not None and view.attempt.verdict is None and not view.attempt.job_uid:
        refs.append(Ref(JOB, view.attempt.job))
    if view.status.volume is None and existing_claim(view.owner) is None:
        refs.append(Ref(CLAIM, training_claim(meta.name, meta.uid)))
    for ref in refs:
        occupant = view.seen.occupied.get(ref)
        if occupant is not None and only in (None, ref.resource):
            return _judged(ref, occupant, meta.name, meta.uid)
    return None


def _judged(ref: Ref, occupant: Manifest, name: str, uid: str) -> Conflict:
    controller = controller_of(occupant)
    former = (
        controller is not None
        and (controller.get("apiVersion"), controller.get("kind")) == (TRAINING.api_version, TRAINING.kind)
        and controller.get("uid") != uid
    )
    if former or is_terminating(occupant):
        whose = "of a deleted training of this name" if former else "that is being deleted"
        message = f"{ref} (uid {uid_of(occupant)}) {whose} must go first"
        return Conflict(Reason.WAITING_FOR_PREDECESSOR, message, waits=True)
    if left := left_by(TRAINING, name, uid, occupant):
        message = (
            f"{ref} was left behind when an earlier training of this name was deleted alone (--cascade=orphan): delete "
            f"all that is left of it, kubectl delete jobs,services,networkpolicies -l {OWNER_UID}={left}, or rename this training"
        )
        return Conflict(Reason.NAME_CONFLICT, message, waits=False)
    message = f"{ref} exists and is not of this training: delete or rename it, or rename this training"
    return Conflict(Reason.NAME_CONFLICT, message, waits=False)
