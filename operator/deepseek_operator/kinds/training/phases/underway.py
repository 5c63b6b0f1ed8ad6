"""An attempt under way: why the operator itself ends it, and how a gang that can't go on is ended together."""

from deepseek_operator.core.actions import Delete
from deepseek_operator.core.conditions import reconciling
from deepseek_operator.core.resources import is_terminating, ref_of, uid_of
from deepseek_operator.kinds.training.phases.unreachable import unreachable
from deepseek_operator.kinds.training.phases.work import what_keeps
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.step import STARTUP_RECHECK, Step, act, record_attempt
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.attempt import is_replaced, start_deadline, timed_out
from deepseek_operator.workloads.batch.gang import attempt_of
from deepseek_operator.workloads.batch.job import ended, has_failed
from deepseek_operator.workloads.batch.leftover import end, loose


def interrupt(view: View) -> Step | None:
    """Records why the operator itself ends the attempt, before it does."""
    attempt, job = view.running_attempt, view.gang.job
    if attempt is None or attempt.stopping is not None or job is None or has_failed(job) or ended(job):
        return None
    if view.spec.suspend:
        return record_attempt(view.status, attempt.model_copy(update={"stopping": "Suspended"}))
    is_edited = attempt.digest != view.digests.attempt or (view.is_unlearnt and view.is_changed)
    if is_edited and view.complaint is None and view.loss is None:
        return record_attempt(view.status, attempt.model_copy(update={"stopping": "SpecChanged"}))
    limit_s = view.spec.failure_policy.start_timeout_seconds
    deadline = start_deadline(attempt, limit_s)
    if deadline is None or view.now < deadline:
        return None
    message = f"not all workers ran {limit_s} s after they were placed: {what_keeps(view)}"
    return record_attempt(view.status, timed_out(attempt, message, view.now, TRAINER))


def halt(view: View) -> Step | None:
    """Stops the attempt by deleting its Job: the pods get SIGTERM, save, and go."""
    attempt, job = view.running_attempt, view.gang.job
    if attempt is None or attempt.stopping is None or job is None or ended(job):
        return None
    says = reconciling(Reason.STOPPING, f"attempt {attempt.number} saves and stops ({attempt.stopping})")
    if is_terminating(job):
        return act("Stopping", says, requeue_after=STARTUP_RECHECK)
    return act("Stopping", says, [Delete(ref_of(job), uid_of(job), f"the attempt is stopping: {attempt.stopping}")])


def disband(view: View) -> Step | None:
    """Ends a gang in which the Job replaced a pod (one that vanished unaccounted): its incarnation is no longer one.

    The verdict follows from what was seen of the first pod; the next attempt resumes from the recorded incarnation.
    """
    attempt, job = view.running_attempt, view.gang.job
    if attempt is None or job is None or has_failed(job) or ended(job) or is_terminating(job):
        return None
    let_go = [pod for pod in loose(view.strangers) if attempt_of(pod) in (attempt.number, 0)]
    if not is_replaced(attempt, view.gang) and not let_go and not (attempt.failures and view.all_run):
        return None
    says = reconciling(Reason.ENDING, f"attempt {attempt.number}: a pod was replaced; the gang restarts together")
    return act("Restarting", says, [*end(let_go), Delete(ref_of(job), uid_of(job), "a pod of the gang was replaced")])


def drain(view: View) -> Step | None:
    """The Job has failed or is gone, and pods of it are still there."""
    attempt, job = view.running_attempt, view.gang.job
    if attempt is None or (job is not None and not has_failed(job) and not ended(job)):
        return None
    living = [pod for pod in view.gang.pods if view.lives(pod)]
    reason = Reason.STOPPING if attempt.stopping else Reason.ENDING
    says = reconciling(reason, f"attempt {attempt.number} has ended; {len(living)} of its pods still stop")
    if (stuck := unreachable(view, living)) is not None:
        says = reconciling(Reason.NODE_UNREACHABLE, stuck)
    phase = "Stopping" if attempt.stopping else "Restarting"
    orphans = living if job is None else []
    return act(phase, says, end(orphans), requeue_after=STARTUP_RECHECK)
