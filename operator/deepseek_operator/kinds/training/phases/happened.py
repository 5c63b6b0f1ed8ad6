"""What has happened is recorded before anything relies on it: whose the Job is, what was seen of its pods, how it ended.

A record ends its round.
"""

from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.actions import Plan
from deepseek_operator.core.conditions import ready, result, stalled
from deepseek_operator.kinds.training.anew import START_ANEW, begun_anew
from deepseek_operator.kinds.training.devices import wanted_plan
from deepseek_operator.kinds.training.ending import ended
from deepseek_operator.kinds.training.job import record_of, recovered
from deepseek_operator.kinds.training.program import DIVERGED, TRAINER, VOLUME_FULL
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.service import ended_status, last_attempt
from deepseek_operator.kinds.training.step import Step, act, record, record_attempt
from deepseek_operator.kinds.training.view import View
from deepseek_operator.kinds.training.written import wrote_nothing
from deepseek_operator.workloads.batch.attempt import identified, is_over, observed
from deepseek_operator.workloads.batch.job import number_of
from deepseek_operator.workloads.batch.verdict import outcome


def leave_to_collector(view: View) -> Step | None:
    """Deleted: the garbage collector has the children, a retained claim has no owner."""
    return Step(Plan()) if view.owner.metadata.is_deleting else None


def recover(view: View) -> Step | None:
    """A wiped status is read back: how it ended from the Service, or else from the newest Job, whose verdict follows."""
    if view.attempt is not None or view.status.result is not None:
        return None
    newest = next((job for job in reversed(view.jobs) if number_of(job)), None)
    ended, told = ended_status(view.status, view.service), last_attempt(view.service)
    is_whole = ended is not None and ended.attempt is not None
    if ended is not None and (newest is None or number_of(newest) < told or (is_whole and number_of(newest) == told)):
        return record(ended, confirm=True)
    return record(recovered(view.status, newest, rfc3339(view.now)), confirm=True) if newest else None


def identify(view: View) -> Step | None:
    """The uid of the attempt's Job, as soon as there is one: from then on only that very Job counts."""
    attempt = view.attempt
    if attempt is None or attempt.job_uid or attempt.verdict is not None:
        return None
    digest = record_of(view.gang.job).digest if view.gang.job is not None else ""
    found = identified(attempt, view.gang, digest)
    return record_attempt(view.status, found) if found is not None else None


def observe(view: View) -> Step | None:
    """What is gone later: rank 0's uid, when the gang was placed and ran, the first cause of each failed pod."""
    if view.running_attempt is None:
        return None
    found = observed(view.running_attempt, view.gang, view.size, view.now, TRAINER)
    return record(_with_volume(view, found)) if found is not None else None


def _with_volume(view: View, attempt: AttemptStatus) -> TrainingStatus:
    """The status with the record of the attempt; once that runs, its volume is in use."""
    volume = view.status.volume
    if volume is not None and not volume.used and attempt.running_at is not None:
        volume = volume.model_copy(update={"used": True, "taken_by": attempt.number})
    return view.status.model_copy(update={"attempt": attempt, "volume": volume})


def judge(view: View) -> Step | None:
    """The verdict, once the Job has ended or is gone and none of its pods can write any more."""
    attempt = view.running_attempt
    if attempt is None or not is_over(view.gang, view.is_given_up) or any(map(view.lives, view.gang.pods)):
        return None
    verdict, cause = outcome(view.gang, attempt.failures, attempt.stopping, TRAINER)
    status = ended(view.status, attempt, verdict, cause, view.reports, view.spec, view.now)
    if (volume := status.volume) is not None:
        update: dict[str, object] = {"taken_by": None}
        if not wrote_nothing(view, verdict):
            update["used"] = True
        elif volume.taken_by == attempt.number:
            update["used"] = False
        if cause.cause == VOLUME_FULL:
            update["full_with"] = view.room
        status = status.model_copy(update={"volume": volume.model_copy(update=update)})
    return record(status, confirm=True)


def begin_anew(view: View) -> Step | None:
    """An edit of what is fixed, or of what has failed, while nothing was learnt: as if nothing had been."""
    if view.running_attempt is not None or not view.is_unlearnt or not view.is_changed:
        return None
    return record(begun_anew(view.owner), confirm=True)


def finish(view: View) -> Step | None:
    """A result is final: no edit, no lost Job and no wiped child starts anything again."""
    message = view.status.result_message
    match view.status.result:
        case None:
            return None
        case "Complete":
            why = Reason.STOPPED_EARLY if _last_cause(view.status) == Reason.STOPPED_EARLY else Reason.COMPLETE
            return act("Complete", (*ready(why, message), result("Complete", why, message)))
        case "Failed":
            reason = _why_failed(view.status)
            hint = f"; {START_ANEW}" if view.is_unlearnt else ""
            says = stalled(reason, f"{message}{hint}")
            return act("Failed", (*says, result("Failed", reason, message)))


def _why_failed(status: TrainingStatus) -> Reason:
    if status.attempt is None or status.attempt.verdict != "Invalid":
        return Reason.TOO_MANY_RESTARTS
    return Reason.DIVERGED if _last_cause(status) == DIVERGED else Reason.INVALID_CONFIGURATION


def _last_cause(status: TrainingStatus) -> str:
    return status.history[-1].cause if status.history else ""


def plan_devices(view: View) -> Step | None:
    """Records devices and layout under a profile before anything uses them, and keeps them until their input changes."""
    wanted = wanted_plan(view.written, view.accepted, view.gang.job, view.configuration)
    return record(view.status.model_copy(update={"plan": wanted})) if wanted != view.written.status.plan else None
