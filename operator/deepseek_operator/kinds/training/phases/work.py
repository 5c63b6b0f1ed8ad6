"""The gang starts or runs: what is said of it, and when it is looked at again. Nothing is done about it."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.core.conditions import Verdict, ready, reconciling, stalled
from deepseek_operator.kinds.training.needs import progress_interval
from deepseek_operator.kinds.training.phases.unreachable import unreachable
from deepseek_operator.kinds.training.reasons import Reason, with_advice
from deepseek_operator.kinds.training.step import STARTUP_RECHECK, Step, act
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.attempt import start_deadline
from deepseek_operator.workloads.batch.job import is_suspended
from deepseek_operator.workloads.batch.verdict import sentence
from deepseek_operator.workloads.batch.waiting import NOTHING_CAME

Told: TypeAlias = tuple[str, tuple[Verdict, ...]]
"""The phase for people, and the conditions."""


def work(view: View) -> Step | None:
    """The first thing that is to be said of the attempt. A complaint about the spec is told, but stops nothing."""
    if view.running_attempt is None:
        return None
    phase, says = next(told for say in SAYINGS if (told := say(view, view.running_attempt)) is not None)
    # That the claim is lost is declared only from a live look; a mirror may lag behind.
    return act(phase, says, requeue_after=_wait(view), confirm=view.loss is not None)


def _lost(view: View, attempt: AttemptStatus) -> Told | None:
    if view.loss is None:
        return None
    return _phase(view, attempt), stalled(Reason.CHECKPOINT_VOLUME_LOST, view.loss, serves=view.all_run)


def _complained(view: View, attempt: AttemptStatus) -> Told | None:
    wrong = view.complaint
    if wrong is None or wrong.waits:
        return None
    message = f"{wrong.message}; attempt {attempt.number} goes on"
    return _phase(view, attempt), stalled(wrong.reason, message, serves=view.all_run)


def _runs(view: View, attempt: AttemptStatus) -> Told | None:
    if not view.all_run:
        return None
    workers = "its worker runs" if view.size == 1 else f"all {view.size} workers run"
    return "Running", ready(Reason.RUNNING, f"attempt {attempt.number}: {workers}")


def _unreachable(view: View, attempt: AttemptStatus) -> Told | None:
    stuck = unreachable(view, view.gang.active)
    return ("Restarting", reconciling(Reason.NODE_UNREACHABLE, stuck)) if stuck is not None else None


def _held_back(view: View, attempt: AttemptStatus) -> Told | None:
    if not is_suspended(view.gang.job):
        return None
    message = f"Job {attempt.job} has spec.suspend true, which somebody else wrote: no pod comes until it is false"
    return _phase(view, attempt), reconciling(Reason.STARTING, message)


def _fails(view: View, attempt: AttemptStatus) -> Told | None:
    if not attempt.failures:
        return None
    return "Restarting", reconciling(Reason.ENDING, sentence(attempt.failures[0]))


def _kept_away(view: View, attempt: AttemptStatus) -> Told | None:
    if view.obstacle is None:
        return None
    why = Reason(view.obstacle.reason)
    return "Pending", reconciling(why, with_advice(why, view.obstacle.message))


def _starts(view: View, attempt: AttemptStatus) -> Told:
    message = f"attempt {attempt.number}: {view.workers} of {view.size} workers run; {what_keeps(view)}"
    return _phase(view, attempt), reconciling(Reason.STARTING, message)


SAYINGS: tuple[Callable[[View, AttemptStatus], Told | None], ...] = (
    _lost,
    _complained,
    _runs,
    _unreachable,
    _held_back,
    _fails,
    _kept_away,
    _starts,
)


def _phase(view: View, attempt: AttemptStatus) -> str:
    return "Running" if view.all_run else "Starting" if attempt.number == 1 else "Restarting"


def _wait(view: View) -> timedelta:
    """Until progress is due while all run; until then, the start's deadline or a periodic look."""
    if view.all_run or view.running_attempt is None:
        return progress_interval(view.seen, view.configuration)
    deadline = start_deadline(view.running_attempt, view.spec.failure_policy.start_timeout_seconds)
    left = max(deadline - view.now, timedelta(0)) if deadline is not None else STARTUP_RECHECK
    return min(STARTUP_RECHECK, left, view.next_doubt if view.next_doubt is not None else STARTUP_RECHECK)


def what_keeps(view: View) -> str:
    """What the pods wait for, in the cluster's words where it has some."""
    if (kept := view.obstacle) is not None:
        return kept.message
    if len(view.gang.active) < view.size:
        made = f"{len(view.gang.active)} of {view.size} pods are made"
        return f"{made}; {NOTHING_CAME}" if view.was_asked_why else made
    return f"{'the others' if view.workers else 'they'} are being placed or started"
