"""The next attempt: what it waits for, its number before anything of it exists, and its Job once the way is clear."""

from collections.abc import Iterable
from dataclasses import replace

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.training.result import Missing
from deepseek_operator.core.actions import Create
from deepseek_operator.core.conditions import reconciling, resting, stalled
from deepseek_operator.kinds.training.job import job
from deepseek_operator.kinds.training.names import training_job
from deepseek_operator.kinds.training.origin import found
from deepseek_operator.kinds.training.phases.unreachable import unreachable
from deepseek_operator.kinds.training.pod import Attempt
from deepseek_operator.kinds.training.program import VOLUME_FULL
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.reshaping import bound_ranks
from deepseek_operator.kinds.training.service import last_attempt
from deepseek_operator.kinds.training.step import STARTUP_RECHECK, Step, act, record, record_attempt
from deepseek_operator.kinds.training.upkeep import current
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.attempt import next_number
from deepseek_operator.workloads.batch.gang import attempt_of
from deepseek_operator.workloads.batch.job import number_of
from deepseek_operator.workloads.batch.leftover import drop, end, loose, strays


def rest(view: View) -> Step | None:
    """Suspended, and nothing runs."""
    if not view.spec.suspend:
        return None
    return act("Suspended", resting(Reason.SUSPENDED, "spec.suspend is true; the checkpoints are kept"))


def find_origin(view: View) -> Step | None:
    """Records which step of another training this one starts from, before anything relies on it."""
    match found(view.looked, view.origin):
        case None:
            return None
        case Missing(reason, message, final):
            says = stalled(Reason(reason), message) if final else reconciling(Reason(reason), message)
            return act("Failed" if final else "Pending", says, requeue_after=STARTUP_RECHECK)
        case origin:
            return record(view.status.model_copy(update={"origin": origin}), confirm=True)


def refuse(view: View) -> Step | None:
    """What the schema could not refuse, and claims that are not there yet."""
    wrong = view.complaint
    if wrong is None:
        return None
    says = reconciling(wrong.reason, wrong.message) if wrong.waits else stalled(wrong.reason, wrong.message)
    return act("Pending" if wrong.waits else "Failed", says)


def give_way(view: View) -> Step | None:
    """A name that is taken: by something of a deleted predecessor, which will go, or by a stranger, which won't."""
    found = next(iter(view.conflicts.values()), None)
    if found is None:
        return None
    says = reconciling(found.reason, found.message) if found.waits else stalled(found.reason, found.message)
    return act("Pending", says, requeue_after=STARTUP_RECHECK, confirm=True)


def back_off(view: View) -> Step | None:
    """Waits after a failure; the time is said as a time, so that the condition does not change while it passes.

    Whoever edits what an attempt is made of has answered the failure, and so has who made room on a full claim: that is
    tried at once.
    """
    until, attempt = parse_time(view.status.not_before), view.attempt
    if until is None or view.now >= until or not view.status.history:
        return None
    if attempt is not None and attempt.digest != view.digests.attempt:
        return None
    last, volume = view.status.history[-1], view.status.volume
    if last.cause == VOLUME_FULL and volume is not None and volume.full_with not in (None, view.room):
        return None
    if last.cause == VOLUME_FULL:
        says = reconciling(Reason.CHECKPOINT_VOLUME_FULL, _no_room(view, last.message))
        return act("Restarting", says, requeue_after=until - view.now)
    message = f"attempt {last.number} ended ({last.message}); the next starts at {view.status.not_before}"
    return act("Restarting", reconciling(Reason.BACKING_OFF, message), requeue_after=until - view.now)


def _no_room(view: View, told: str) -> str:
    """What is full, in the trainer's words, and what makes room."""
    made = view.status.volume is not None and view.status.volume.made
    larger = "write a larger checkpoints.volume.size" if made else "make it larger"
    return (
        f"PersistentVolumeClaim {view.claim_name} has no room ({told}): {larger}, or delete what is not needed on it, or "
        f"lower checkpoints.keepLast; the next attempt starts when the claim is larger or keeps less, or else at "
        f"{view.status.not_before}"
    )


_OF_AN_ATTEMPT = {"in_place_restarts": None, "preflight": None}
"""What is told of the newest attempt alone, before it says anything."""


def number(view: View) -> Step | None:
    """Records the next attempt before anything of it exists, past every number that is seen. None is used twice."""
    attempt, digest, bound = view.attempt, view.digests.attempt, bound_ranks(view.spec, view.foreign)
    if attempt is not None and attempt.verdict is None:
        is_edited = attempt.digest != digest
        return (
            record_attempt(view.status, attempt.model_copy(update={"digest": digest, "bound_ranks": bound}))
            if is_edited
            else None
        )
    meta, following = view.owner.metadata, next_number(_numbers_used(view))
    made = AttemptStatus(
        number=following,
        job=training_job(meta.name, meta.uid, following),
        digest=digest,
        bound_ranks=bound,
        recorded_at=rfc3339(view.now),
    )
    fixed = view.status.fixed_digest or view.digests.fixed
    update = {"uid": meta.uid, "fixed_digest": fixed, "not_before": None, "attempt": made, **_OF_AN_ATTEMPT}
    return record(view.status.model_copy(update=update))


def _numbers_used(view: View) -> Iterable[int]:
    return (
        view.attempt.number if view.attempt is not None else 0,
        last_attempt(view.service),
        *(ended.number for ended in view.status.history),
        *(ancestor.attempt for ancestor in view.status.ancestry),
        *map(number_of, view.jobs),
        *map(attempt_of, view.pods),
    )


def clear_the_way(view: View) -> Step | None:
    """No attempt starts while a pod of another may still write, or a Job that nobody recorded could make one."""
    unrecorded, pods = strays(view.jobs, current(view)), view.strangers
    if not unrecorded and not pods:
        return None
    says = reconciling(Reason.ENDING, f"waiting for pods of earlier attempts to stop: {len(pods)}")
    if (stuck := unreachable(view, pods)) is not None:
        says = reconciling(Reason.NODE_UNREACHABLE, stuck)
    return act("Restarting", says, (*drop(unrecorded), *end(loose(pods))), requeue_after=STARTUP_RECHECK)


def launch(view: View) -> Step | None:
    """Makes the Job of the recorded attempt. The claim is first: what may be written to must not go with the training."""
    attempt, volume = view.attempt, view.status.volume
    if attempt is None or volume is None:
        raise ValueError("an attempt is launched only once it and its volume are recorded")
    made = Attempt(view.owner, view.status, attempt.number, volume.claim_name, view.foreign)
    says = reconciling(Reason.STARTING, f"making the Job of attempt {attempt.number}")
    step = act("Starting" if attempt.number == 1 else "Restarting", says, [Create(job(made, view.configuration))])
    return replace(step, on_children=True)
