"""Who has a name that a child would take: something that will go, or a stranger that is never touched."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import CLAIM, JOB, POLICY, SERVICE, Manifest, Ref, Resource, uid_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.training.names import training_claim, training_service
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.kinds.training.policy import is_gang
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.workloads.conflict import Leaving, LeftBehind, Occupant, Strangers, occupant


@dataclass(frozen=True)
class Conflict:
    """An occupied name. `waits`: the occupant is on its way out."""

    reason: Reason
    message: str
    waits: bool


def conflicts(seen: Seen[DeepSeekTraining]) -> dict[Resource, Conflict]:
    """The occupied names among those that the next attempt needs, by resource, in the order of making; empty when all
    are free or ours."""
    owner = owner_of(seen.owner)
    occupied = ((ref, seen.occupied[ref]) for ref in _wanted(seen.owner) if ref in seen.occupied)
    return {ref.resource: _told(ref, manifest, occupant(owner, manifest)) for ref, manifest in occupied}


def _wanted(training: DeepSeekTraining) -> Iterator[Ref]:
    meta, status = training.metadata, training.status
    yield Ref(SERVICE, training_service(meta.name))
    if is_gang(training):
        yield Ref(POLICY, training_service(meta.name))
    if status.attempt is not None and status.attempt.verdict is None and not status.attempt.job_uid:
        yield Ref(JOB, status.attempt.job)
    if status.volume is None and existing_claim(training) is None:
        yield Ref(CLAIM, training_claim(meta.name, meta.uid))


def _told(ref: Ref, manifest: Manifest, whose: Occupant) -> Conflict:
    match whose:
        case Leaving(is_former):
            what = "of a deleted training of this name" if is_former else "that is being deleted"
            message = f"{ref} (uid {uid_of(manifest)}) {what} must go first"
            return Conflict(Reason.WAITING_FOR_PREDECESSOR, message, waits=True)
        case LeftBehind(uid):
            message = (
                f"{ref} was left behind when an earlier training of this name was deleted alone (--cascade=orphan): delete "
                f"all that is left of it, kubectl delete jobs,services,networkpolicies -l {OWNER_UID}={uid}, or rename this training"
            )
            return Conflict(Reason.NAME_CONFLICT, message, waits=False)
        case Strangers():
            message = f"{ref} exists and is not of this training: delete or rename it, or rename this training"
            return Conflict(Reason.NAME_CONFLICT, message, waits=False)
        case _:
            assert_never(whose)
