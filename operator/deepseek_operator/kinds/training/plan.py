"""The life of a training, as phases in order; the first that has something to say decides the pass.

Facts are recorded before anything relies on them, and each record ends its pass. A phase that only waits says why;
`status` shows that. What is irreversible (Job, claim, delete, verdict) is planned a second time from a live look.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus, PodFailure
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.actions import Action, Apply, Create, Delete, Plan
from deepseek_operator.core.conditions import ready, reconciling, resting, result, stalled
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.names import training_job
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import (
    POD,
    POLICY,
    SERVICE,
    Manifest,
    Ref,
    controller_of,
    is_terminating,
    ref_of,
    uid_of,
)
from deepseek_operator.core.training_result import Missing
from deepseek_operator.kinds.training import job as job_manifest
from deepseek_operator.kinds.training.anew import START_ANEW, begun_anew, is_changed, is_unlearnt
from deepseek_operator.kinds.training.conflict import conflict
from deepseek_operator.kinds.training.devices import wanted_plan
from deepseek_operator.kinds.training.ending import ended as status_ended
from deepseek_operator.kinds.training.needs import progress_interval
from deepseek_operator.kinds.training.origin import found
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.kinds.training.pod import Attempt
from deepseek_operator.kinds.training.policy import is_gang, policy
from deepseek_operator.kinds.training.program import DIVERGED, TRAINER, VOLUME_FULL
from deepseek_operator.kinds.training.reasons import Reason, with_advice
from deepseek_operator.kinds.training.report import reports
from deepseek_operator.kinds.training.service import ended_status, last_attempt, service
from deepseek_operator.kinds.training.settings import attempt_digest, fixed_digest
from deepseek_operator.kinds.training.validation import complaint
from deepseek_operator.kinds.training.view import Step, View, act, record, with_attempt
from deepseek_operator.kinds.training.volume import claim_upkeep, ensure_volume, loss
from deepseek_operator.kinds.training.written import wrote_nothing
from deepseek_operator.workloads.batch.claim import is_shared
from deepseek_operator.workloads.batch.gang import attempt_of, rank_zero
from deepseek_operator.workloads.batch.job import ended, has_failed, is_suspended, marks, number_of
from deepseek_operator.workloads.batch.verdict import START_TIMEOUT, newly_failed, outcome, sentence, telling
from deepseek_operator.workloads.batch.waiting import NOTHING_CAME, next_doubt
from deepseek_operator.workloads.pod.state import has_lost_node, is_active, is_placed

Phase: TypeAlias = Callable[[View], Step | None]

STARTUP_RECHECK = timedelta(seconds=30)
"""How often a gang that does not run yet is looked at without an event; it only catches what a watch has lost."""


def step(view: View) -> Step:
    """The first phase with something to say, and upkeep and tidying behind what it does."""
    decided = next(found for phase in LIFE if (found := phase(view)) is not None)
    if decided.plan.record is not None or view.owner.metadata.is_deleting:
        return decided
    actions = (*decided.plan.actions, *_upkeep(view, decided.plan.actions), *_tidy(view, decided.plan.actions))
    plan: Plan[TrainingStatus] = Plan(
        actions=actions, requeue_after=decided.plan.requeue_after, confirm=decided.plan.confirm
    )
    return Step(plan, decided.phase, decided.says)


# --- what has happened ----------------------------------------------------------------------------------------------


def leave_to_collector(view: View) -> Step | None:
    """Deleted: the garbage collector has the children, a retained claim has no owner."""
    return Step(Plan()) if view.owner.metadata.is_deleting else None


def recover(view: View) -> Step | None:
    """A wiped status is read back: how it ended from the Service, or else from the newest Job, whose verdict follows."""
    if view.attempt is not None or view.status.result is not None:
        return None
    newest = view.jobs[-1] if view.jobs else None
    ended, told = ended_status(view.status, view.service), last_attempt(view.service)
    is_whole = ended is not None and ended.attempt is not None
    if ended is not None and (newest is None or number_of(newest) < told or (is_whole and number_of(newest) == told)):
        return record(ended, confirm=True)
    return record(job_manifest.recovered(view.status, newest, rfc3339(view.now)), confirm=True) if newest else None


def identify(view: View) -> Step | None:
    """The uid of the attempt's Job, as soon as there is one: from then on only that very Job counts."""
    attempt = view.attempt
    if attempt is None or attempt.job_uid or attempt.verdict is not None:
        return None
    if (job := view.gang.job) is not None:
        # The Job's own digest: an answer that was late may have made it from settings that were edited since.
        digest = job_manifest.record_of(job).digest or attempt.digest
        return record(with_attempt(view.status, job_uid=uid_of(job), digest=digest))
    uids = sorted({job_uid_of(pod) for pod in view.gang.pods} - {""})
    return record(with_attempt(view.status, job_uid=uids[-1])) if uids else None


def observe(view: View) -> Step | None:
    """What is gone later: rank 0's uid, when the gang was placed and ran, the first cause of each failed pod."""
    attempt = view.running_attempt
    if attempt is None:
        return None
    update: dict[str, object] = {}
    zero = rank_zero(view.gang.pods)
    if attempt.incarnation is None and zero is not None and uid_of(zero):
        update["incarnation"] = uid_of(zero)
    if attempt.placed_at is None and _all_placed(view):
        update["placed_at"] = rfc3339(view.now)
    if attempt.running_at is None and view.all_run:
        update["running_at"] = rfc3339(view.now)
    # Once we stop the attempt ourselves, what its pods do is no failure.
    new = newly_failed(view.gang.pods, attempt.failures, view.now, TRAINER) if attempt.stopping is None else []
    if new and (failures := telling([*attempt.failures, *new], TRAINER)) != attempt.failures:
        update["failures"] = failures
    return record(with_attempt(view.status, **update)) if update else None


def judge(view: View) -> Step | None:
    """The verdict, once the Job has ended or is gone and none of its pods can write any more."""
    attempt = view.running_attempt
    if attempt is None or not _is_over(view) or any(map(view.lives, view.gang.pods)):
        return None
    verdict, cause = outcome(view.gang, attempt.failures, attempt.stopping, TRAINER)
    status = status_ended(
        view.status,
        attempt,
        verdict,
        cause,
        reports(view.gang.pods),
        view.spec,
        view.now,
    )
    if status.volume is not None and not wrote_nothing(view, verdict):
        status = status.model_copy(update={"volume": status.volume.model_copy(update={"used": True})})
    return record(status, confirm=True)


def begin_anew(view: View) -> Step | None:
    """An edit of what is fixed, or of what has failed, while nothing was learnt: as if nothing had been."""
    if view.running_attempt is not None or not is_unlearnt(view.status) or not is_changed(view.spec, view.status):
        return None
    return record(begun_anew(view.owner), confirm=True)


def finish(view: View) -> Step | None:
    """A result is final: no edit, no lost Job and no wiped child starts anything again."""
    message = view.status.result_message
    match view.status.result:
        case None:
            return None
        case "Complete":
            return act("Complete", (*ready(Reason.COMPLETE, message), result("Complete", Reason.COMPLETE, message)))
        case "Failed":
            reason = _why_failed(view.status)
            hint = f"; {START_ANEW}" if is_unlearnt(view.status) else ""
            says = stalled(reason, f"{message}{hint}")
            return act("Failed", (*says, result("Failed", reason, message)))


def _why_failed(status: TrainingStatus) -> Reason:
    if status.attempt is None or status.attempt.verdict != "Invalid":
        return Reason.TOO_MANY_RESTARTS
    diverged = bool(status.history) and status.history[-1].cause == DIVERGED
    return Reason.DIVERGED if diverged else Reason.INVALID_CONFIGURATION


def plan_devices(view: View) -> Step | None:
    """Records devices and layout under a profile before anything uses them, and keeps them until their input changes."""
    wanted = wanted_plan(view.written, view.gang.job, view.configuration)
    return record(view.status.model_copy(update={"plan": wanted})) if wanted != view.written.status.plan else None


# --- an attempt under way -------------------------------------------------------------------------------------------


def interrupt(view: View) -> Step | None:
    """Records why the operator itself ends the attempt, before it does."""
    attempt, job = view.running_attempt, view.gang.job
    if attempt is None or attempt.stopping is not None or job is None or has_failed(job) or ended(job):
        return None
    if view.spec.suspend:
        return record(with_attempt(view.status, stopping="Suspended"))
    is_edited = attempt.digest != attempt_digest(view.spec) or (
        is_unlearnt(view.status) and is_changed(view.spec, view.status)
    )
    if is_edited and complaint(view.seen) is None and loss(view) is None:
        return record(with_attempt(view.status, stopping="SpecChanged"))
    deadline = _start_deadline(view)
    if deadline is not None and view.now >= deadline:
        limit_s = view.spec.failure_policy.start_timeout_seconds
        failure = PodFailure(
            pod="",
            cause=START_TIMEOUT,
            message=f"not all workers ran {limit_s} s after they were placed: {_what_keeps(view)}"[:1024],
            at=rfc3339(view.now),
        )
        return record(
            with_attempt(view.status, stopping=START_TIMEOUT, failures=telling([*attempt.failures, failure], TRAINER))
        )
    return None


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
    zero = rank_zero(pod for pod in view.gang.pods if is_active(pod) and not is_terminating(pod))
    is_other = zero is not None and attempt.incarnation not in (None, uid_of(zero))
    let_go = [pod for pod in _let_go(view.strangers) if attempt_of(pod) in (attempt.number, 0)]
    if not is_other and not let_go and not (attempt.failures and view.all_run):
        return None
    says = reconciling(Reason.ENDING, f"attempt {attempt.number}: a pod was replaced; the gang restarts together")
    drop = Delete(ref_of(job), uid_of(job), "a pod of the gang was replaced")
    return act("Restarting", says, [*_end(let_go), drop])


def drain(view: View) -> Step | None:
    """The Job has failed or is gone, and pods of it are still there."""
    attempt, job = view.running_attempt, view.gang.job
    if attempt is None or (job is not None and not has_failed(job) and not ended(job)):
        return None
    living = [pod for pod in view.gang.pods if view.lives(pod)]
    reason = Reason.STOPPING if attempt.stopping else Reason.ENDING
    says = reconciling(reason, f"attempt {attempt.number} has ended; {len(living)} of its pods still stop")
    if (unreachable := _unreachable(view, living)) is not None:
        says = reconciling(Reason.NODE_UNREACHABLE, unreachable)
    phase = "Stopping" if attempt.stopping else "Restarting"
    orphans = living if job is None else []
    return act(phase, says, _end(orphans), requeue_after=STARTUP_RECHECK)


def work(view: View) -> Step | None:
    """The gang starts or runs. A complaint about the spec is told, but stops nothing."""
    attempt = view.running_attempt
    if attempt is None:
        return None
    phase = "Running" if view.all_run else "Starting" if attempt.number == 1 else "Restarting"
    wait = _work_wait(view)
    if (lost := loss(view)) is not None:
        says = stalled(Reason.CHECKPOINT_VOLUME_LOST, lost, serves=view.all_run)
        return act(phase, says, requeue_after=wait, confirm=True)
    wrong = complaint(view.seen)
    if wrong is not None and not wrong.waits:
        says = stalled(wrong.reason, f"{wrong.message}; attempt {attempt.number} goes on", serves=view.all_run)
        return act(phase, says, requeue_after=wait)
    if view.all_run:
        says = ready(Reason.RUNNING, f"attempt {attempt.number}: {_all_run(view.size)}")
        return act(phase, says, requeue_after=wait)
    if (unreachable := _unreachable(view, view.gang.active)) is not None:
        return act("Restarting", reconciling(Reason.NODE_UNREACHABLE, unreachable), requeue_after=wait)
    if is_suspended(view.gang.job):
        message = f"Job {attempt.job} has spec.suspend true, which somebody else wrote: no pod comes until it is false"
        return act(phase, reconciling(Reason.STARTING, message), requeue_after=wait)
    if attempt.failures:
        return act("Restarting", reconciling(Reason.ENDING, sentence(attempt.failures[0])), requeue_after=wait)
    if (kept := view.obstacle) is not None:
        why = Reason(kept.reason)
        return act("Pending", reconciling(why, with_advice(why, kept.message)), requeue_after=wait)
    message = f"attempt {attempt.number}: {view.workers} of {view.size} workers run; {_what_keeps(view)}"
    return act(phase, reconciling(Reason.STARTING, message), requeue_after=wait)


def _all_run(workers: int) -> str:
    return "its worker runs" if workers == 1 else f"all {workers} workers run"


# --- the next attempt -----------------------------------------------------------------------------------------------


def rest(view: View) -> Step | None:
    """Suspended, and nothing runs."""
    if not view.spec.suspend:
        return None
    return act("Suspended", resting(Reason.SUSPENDED, "spec.suspend is true; the checkpoints are kept"))


def find_origin(view: View) -> Step | None:
    """Records which step of another training this one starts from, before anything relies on it."""
    match found(view.looked):
        case None:
            return None
        case Missing(reason, message, final):
            says = stalled(Reason(reason), message) if final else reconciling(Reason(reason), message)
            return act("Failed" if final else "Pending", says, requeue_after=STARTUP_RECHECK)
        case origin:
            return record(view.status.model_copy(update={"origin": origin}), confirm=True)


def refuse(view: View) -> Step | None:
    """What the schema could not refuse, and claims that are not there yet."""
    wrong = complaint(view.seen)
    if wrong is None:
        return None
    says = reconciling(wrong.reason, wrong.message) if wrong.waits else stalled(wrong.reason, wrong.message)
    return act("Pending" if wrong.waits else "Failed", says)


def give_way(view: View) -> Step | None:
    """A name that is taken: by something of a deleted predecessor, which will go, or by a stranger, which won't."""
    found = conflict(view)
    if found is None:
        return None
    says = reconciling(found.reason, found.message) if found.waits else stalled(found.reason, found.message)
    return act("Pending", says, requeue_after=STARTUP_RECHECK, confirm=True)


def back_off(view: View) -> Step | None:
    """Waits after a failure; the time is said as a time, so that the condition does not change while it passes.

    Whoever edits what an attempt is made of has answered the failure: that is tried at once.
    """
    until, attempt = parse_time(view.status.not_before), view.attempt
    if until is None or view.now >= until or not view.status.history:
        return None
    if attempt is not None and attempt.digest != attempt_digest(view.spec):
        return None
    last = view.status.history[-1]
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
        f"lower checkpoints.keepLast; the next attempt starts at {view.status.not_before}"
    )


def number(view: View) -> Step | None:
    """Records the next attempt before anything of it exists, past every number that is seen. None is used twice."""
    attempt, digest = view.attempt, attempt_digest(view.spec)
    if attempt is not None and attempt.verdict is None:
        return record(with_attempt(view.status, digest=digest)) if attempt.digest != digest else None
    next_number = 1 + max(_numbers_used(view))
    meta = view.owner.metadata
    return record(
        view.status.model_copy(
            update={
                "uid": meta.uid,
                "fixed_digest": view.status.fixed_digest or fixed_digest(view.spec),
                "not_before": None,
                "attempt": AttemptStatus(
                    number=next_number,
                    job=training_job(meta.name, meta.uid, next_number),
                    digest=digest,
                    recorded_at=rfc3339(view.now),
                ),
            }
        )
    )


def clear_the_way(view: View) -> Step | None:
    """No attempt starts while a pod of another may still write, or a Job that nobody recorded could make one."""
    strays = [job for job in view.jobs if number_of(job) != _current(view) and not has_failed(job) and not ended(job)]
    pods = view.strangers
    if not strays and not pods:
        return None
    says = reconciling(Reason.ENDING, f"waiting for pods of earlier attempts to stop: {len(pods)}")
    if (unreachable := _unreachable(view, pods)) is not None:
        says = reconciling(Reason.NODE_UNREACHABLE, unreachable)
    return act("Restarting", says, (*_drop(strays), *_end(_let_go(pods))), requeue_after=STARTUP_RECHECK)


def launch(view: View) -> Step | None:
    """Makes the Job of the recorded attempt, the Service and the NetworkPolicy under it first."""
    attempt, volume = view.attempt, view.status.volume
    if attempt is None or volume is None:
        raise ValueError("an attempt is launched only once it and its volume are recorded")
    made = Attempt(view.owner, view.status, attempt.number, volume.claim_name)
    # The claim before the Job: what may be written to must not go with the training any more.
    actions = (*claim_upkeep(view), *_service(view), *_policy(view), Create(job_manifest.job(made, view.configuration)))
    says = reconciling(Reason.STARTING, f"making the Job of attempt {attempt.number}")
    return act("Starting" if attempt.number == 1 else "Restarting", says, actions)


LIFE: tuple[Phase, ...] = (
    leave_to_collector,
    recover,
    identify,
    observe,
    judge,
    begin_anew,
    finish,
    plan_devices,
    interrupt,
    halt,
    disband,
    drain,
    work,
    rest,
    find_origin,
    refuse,
    give_way,
    ensure_volume,
    back_off,
    number,
    clear_the_way,
    launch,
)


# --- beside the life ------------------------------------------------------------------------------------------------


def _upkeep(view: View, already: Iterable[Action]) -> tuple[Action, ...]:
    """The claim while it is ours, Service and NetworkPolicy under an attempt and at the end, unless the phase sees to them itself.

    A Job is never changed but for the labels and the owner by which it is found, and goes with the training.
    """
    kept = view.running_attempt is not None or view.status.result is not None
    taken = {_named(action) for action in already}
    whose = owner_of(view.owner)
    marked = (Apply(lost, uid_of(job)) for job in view.jobs if (lost := marks(job, whose.labels, whose.reference)))
    wanted = (*claim_upkeep(view), *((*_service(view), *_policy(view)) if kept else ()), *marked)
    return tuple(action for action in wanted if _named(action) not in taken)


def _service(view: View) -> tuple[Action, ...]:
    attempt, volume = view.attempt, view.status.volume
    if attempt is None or volume is None or conflict(view, only=SERVICE) is not None:
        return ()
    return _as_wanted(service(view.owner, attempt.number, volume.uid), view.service)


def _policy(view: View) -> tuple[Action, ...]:
    if view.attempt is None or not is_gang(view.owner) or conflict(view, only=POLICY) is not None:
        return ()
    return _as_wanted(policy(view.owner), view.network_policy)


def _as_wanted(wanted: Manifest, live: Manifest | None) -> tuple[Action, ...]:
    return (Apply(wanted, uid_of(live) if live is not None else None),) if needs_apply(wanted, live) else ()


def _tidy(view: View, already: Iterable[Action]) -> tuple[Action, ...]:
    """Jobs that nothing is left to learn from. The newest failed one and the final one stay, for their logs."""
    failed = [job for job in view.jobs if has_failed(job)]
    over = [job for job in view.jobs if number_of(job) != _current(view) and job not in failed[-1:]]
    taken = {_named(action) for action in already}
    drops = (*_drop(over), *_end(_left_behind(view)))
    return tuple(action for action in drops if _named(action) not in taken)


def _left_behind(view: View) -> Iterable[Manifest]:
    """Pods that their Job let go, or that somebody orphaned by deleting it: nothing else would ever stop or remove them.

    Those of an attempt under way are judged first.
    """
    gang = {uid_of(pod) for pod in view.gang.pods} if view.running_attempt is not None else set()
    return (pod for pod in _let_go(view.seen.all(POD)) if uid_of(pod) not in gang)


def _let_go(pods: Iterable[Manifest]) -> list[Manifest]:
    """Those that no Job controls."""
    return [pod for pod in pods if controller_of(pod) is None]


def _drop(jobs: Iterable[Manifest]) -> tuple[Delete, ...]:
    return tuple(
        Delete(ref_of(job), uid_of(job), "its attempt is over and recorded") for job in jobs if not is_terminating(job)
    )


def _end(pods: Iterable[Manifest]) -> tuple[Delete, ...]:
    because = "its Job is gone or let it go, and nothing else would stop it"
    return tuple(
        Delete(Ref(POD, pod["metadata"]["name"]), uid_of(pod), because) for pod in pods if not is_terminating(pod)
    )


def _named(action: Action) -> Ref:
    return action.ref if isinstance(action, Delete) else ref_of(action.manifest)


def _current(view: View) -> int:
    """Number of the attempt that is under way or about to be launched; 0 between attempts."""
    attempt = view.attempt
    return attempt.number if attempt is not None and (attempt.verdict is None or view.status.result) else 0


def _numbers_used(view: View) -> Iterable[int]:
    return (
        view.attempt.number if view.attempt is not None else 0,
        last_attempt(view.service),
        *map(number_of, view.jobs),
        *map(attempt_of, view.seen.all(POD)),
    )


def _is_over(view: View) -> bool:
    job = view.gang.job
    if job is None or ended(job):
        return True
    # Failed comes only when the last pod is gone, which on a dead node is never.
    active = view.gang.active
    return bool(active) and all(map(view.is_given_up, active))


def _all_placed(view: View) -> bool:
    placed = [pod for pod in view.gang.pods if is_active(pod) and is_placed(pod)]
    return len(placed) >= view.size


def _start_deadline(view: View) -> datetime | None:
    attempt = view.running_attempt
    placed = parse_time(attempt.placed_at) if attempt is not None and attempt.running_at is None else None
    return placed + timedelta(seconds=view.spec.failure_policy.start_timeout_seconds) if placed is not None else None


def _work_wait(view: View) -> timedelta:
    """Until progress is due while all run; until then, the start's deadline or a periodic look."""
    if view.all_run:
        return progress_interval(view.seen, view.configuration)
    deadline, doubt = _start_deadline(view), next_doubt(view.gang, view.size, view.now)
    left = max(deadline - view.now, timedelta(0)) if deadline is not None else STARTUP_RECHECK
    return min(STARTUP_RECHECK, left, doubt if doubt is not None else STARTUP_RECHECK)


def _what_keeps(view: View) -> str:
    """What the pods wait for, in the cluster's words where it has some."""
    if (kept := view.obstacle) is not None:
        return kept.message
    if len(view.gang.active) < view.size:
        made = f"{len(view.gang.active)} of {view.size} pods are made"
        return made if next_doubt(view.gang, view.size, view.now) is not None else f"{made}; {NOTHING_CAME}"
    return f"{'the others' if view.workers else 'they'} are being placed or started"


def _unreachable(view: View, pods: Iterable[Manifest]) -> str | None:
    """A sentence when a pod outlived its grace: its node does not answer."""
    limit = timedelta(seconds=view.spec.failure_policy.node_lost_seconds)
    for pod in pods:
        deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
        if deadline is not None and view.now > deadline + timedelta(seconds=30):
            node = pod.get("spec", {}).get("nodeName") or "its node"
            what = f"pod {pod['metadata']['name']} on {node} does not end"
            if is_shared(view.claim):
                lost = has_lost_node(pod)
                return f"{what}; " + (
                    f"it is given up at {rfc3339(deadline + limit)}"
                    if lost
                    else "nothing says yet that its node is lost"
                )
            return f"{what}; the volume can be written from one node only, so the node must come back or be deleted"
    return None
