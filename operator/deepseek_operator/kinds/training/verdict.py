"""Why an attempt ended: the first thing that went wrong with each pod, and what that makes of the whole gang.

The Job's own reason does not tell: with rank 0 evicted and rank 1 crashing on the broken connection it says
BackoffLimitExceeded. One disrupted pod makes the attempt a disruption, because its peers' exits are consequences.
A pod that is merely being deleted is evidence only if that began before the Job decided to fail: the Job deletes the
peers of a crashed pod itself.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.training.attempts import PodFailure
from deepseek_operator.core.resources import Manifest, is_terminating
from deepseek_operator.kinds.training.gang import (
    Gang,
    is_active,
    is_complete,
    job_condition,
    phase_of,
    pod_condition,
    terminated,
)
from deepseek_operator.kinds.training.report import Report, report_of
from deepseek_operator.workloads.last_words import tail, words

Outcome: TypeAlias = Literal["Complete", "Crash", "Disruption", "Stopped", "Invalid"]

EXIT_INVALID = 64
EXIT_FULL = 73
EXIT_SAVED = 75
EXIT_STALLED = 76

POD_DELETED = "PodDeleted"
JOB_DELETED = "JobDeleted"
INVALID = "InvalidConfiguration"
DIVERGED = "Diverged"
FINAL = (INVALID, DIVERGED)
"""What another try can't cure."""
SAVED = "SavedAndStopped"
VOLUME_FULL = "CheckpointVolumeFull"
START_TIMEOUT = "StartTimeout"
MAX_FAILURES = 64
_UNCERTAIN = (POD_DELETED, JOB_DELETED)
_OWN_DEATHS = tuple(128 + signal for signal in (4, 7, 8, 9, 11))
"""SIGILL, SIGBUS, SIGFPE, SIGKILL, SIGSEGV: no peer's end leads to one; a broken connection is exit 1 or SIGABRT."""
_TOGETHER = timedelta(seconds=2)
"""Times of the kubelet are whole seconds, and a peer notices within one."""
START_ERRORS = ("StartError", "ContainerCannotRun", "RunContainerError")


def first_cause(pod: Manifest, now: datetime) -> PodFailure | None:
    """The earliest thing that went wrong with the pod; None when nothing did."""
    found = [cause for cause in (_disrupted(pod, now), _deleted(pod), _exited(pod, now)) if cause is not None]
    return min(found, key=lambda cause: cause.at) if found else None


def newly_failed(pods: Iterable[Manifest], known: Sequence[PodFailure], now: datetime) -> list[PodFailure]:
    """First causes of the pods that `known` does not name yet, earliest first."""
    seen_before = {failure.pod for failure in known}
    found = [first_cause(pod, now) for pod in pods if pod["metadata"]["name"] not in seen_before]
    return sorted((cause for cause in found if cause is not None), key=lambda cause: (cause.at, cause.pod))


def telling(failures: Iterable[PodFailure]) -> list[PodFailure]:
    """As many as the schema holds, oldest first.

    Of a large gang the ones that decide are kept: hundreds of peers may follow one evicted pod within its second.
    """
    kept = sorted(failures, key=lambda f: (_rank(f), f.at, f.pod))[:MAX_FAILURES]
    return sorted(kept, key=lambda f: (f.at, f.pod))


def _rank(failure: PodFailure) -> int:
    if failure.cause in (*FINAL, START_TIMEOUT):
        return 0
    if _is_certain(failure):
        return 1
    return 2 if failure.exit_code in _OWN_DEATHS else 3


def _is_certain(failure: PodFailure) -> bool:
    return failure.disruption and failure.cause not in _UNCERTAIN


def root_cause(failures: Sequence[PodFailure], failed_at: datetime | None) -> PodFailure | None:
    """The failure that the others follow from; None when none was seen.

    A user's error before everything; then what certainly is a disruption, whenever it came to light; then the
    earliest, a disruption before a crash of the same second (the Job reacts to a crash a second later at the soonest).
    Of crashes that cannot be told apart by time, one that no peer can have caused.
    """
    certain = [f for f in failures if _is_certain(f)]
    invalid = [f for f in failures if f.cause in FINAL]
    causes = [f for f in failures if not _is_consequence(f, failed_at)]
    for candidates in (invalid, certain, causes, failures):
        if candidates:
            return _first_of(candidates)
    return None


def _first_of(failures: Sequence[PodFailure]) -> PodFailure:
    first = min(failures, key=lambda f: (f.at, not f.disruption))
    if first.disruption or (moment := parse_time(first.at)) is None:
        return first
    own = [f for f in failures if f.exit_code in _OWN_DEATHS and (at := parse_time(f.at)) and at - moment <= _TOGETHER]
    return min(own, key=lambda f: f.at, default=first)


def outcome(gang: Gang, failures: Sequence[PodFailure], stopping: str | None) -> tuple[Outcome, PodFailure]:
    """The verdict on an attempt that is over, and the failure to tell of it."""
    if gang.job is not None and is_complete(gang.job):
        return "Complete", PodFailure(pod="", cause="Complete")
    if stopping == START_TIMEOUT:
        cause = next((f for f in failures if f.cause == stopping), PodFailure(pod="", cause=stopping))
        return "Crash", cause
    if stopping is not None:
        return "Stopped", PodFailure(pod="", cause=stopping)
    root = root_cause(failures, gang.failed_at) or _said_by_job(gang.job)
    if root.cause in FINAL:
        return "Invalid", root
    return ("Disruption" if root.disruption else "Crash"), root


def _is_consequence(failure: PodFailure, failed_at: datetime | None) -> bool:
    at = parse_time(failure.at)
    return failure.cause in _UNCERTAIN and failed_at is not None and at is not None and at >= failed_at


def _disrupted(pod: Manifest, now: datetime) -> PodFailure | None:
    """A disruption that is carried out: an eviction may set the condition, fail to delete the pod, and take it back."""
    condition = pod_condition(pod, "DisruptionTarget")
    if condition is None or condition.get("status") != "True" or (is_active(pod) and not is_terminating(pod)):
        return None
    return PodFailure(
        pod=pod["metadata"]["name"],
        cause=str(condition.get("reason") or "DisruptionTarget")[:128],
        disruption=True,
        message=tail(str(condition.get("message") or "")),
        at=str(condition.get("lastTransitionTime") or rfc3339(now)),
    )


def _deleted(pod: Manifest) -> PodFailure | None:
    """Deletion as it was asked for: deletionTimestamp is that moment plus the grace."""
    deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
    if deadline is None or phase_of(pod) == "Succeeded":
        return None
    asked = deadline - timedelta(seconds=int(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
    return PodFailure(pod=pod["metadata"]["name"], cause=POD_DELETED, disruption=True, at=rfc3339(asked))


def _exited(pod: Manifest, now: datetime) -> PodFailure | None:
    state = terminated(pod)
    name = pod["metadata"]["name"]
    if state is None:
        if phase_of(pod) != "Failed":
            return None
        if (earlier := _failed_before(pod, now)) is not None:
            return earlier
        # The kubelet or the garbage collector ended the pod itself: admission, eviction, shutdown. No container failed.
        reason = str(pod["status"].get("reason") or "PodFailed")[:128]
        message = tail(str(pod["status"].get("message") or ""))
        return PodFailure(pod=name, cause=reason, disruption=True, message=message, at=rfc3339(now))
    code = int(state.get("exitCode") or 0)
    if code == 0:
        return None
    report = report_of(pod)
    return PodFailure(
        pod=name,
        cause=_cause(code, str(state.get("reason") or ""), report),
        # Nothing is wrong with the program: it waits for room, and what it saved before is whole.
        disruption=code in (EXIT_SAVED, EXIT_FULL),
        exit_code=code,
        message=report.message if report is not None else "",
        at=str(state.get("finishedAt") or rfc3339(now)),
    )


def _failed_before(pod: Manifest, now: datetime) -> PodFailure | None:
    """An init container (a profile's, or one that a webhook added) that ended with an error: the trainer never began.

    None for a pod that the kubelet itself ended, whose status has a reason: its containers are killed then.
    """
    if pod["status"].get("reason"):
        return None
    for container in pod["status"].get("initContainerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated") or {}
        if code := int(ended.get("exitCode") or 0):
            said = words(str(ended.get("message") or ""))
            return PodFailure(
                pod=pod["metadata"]["name"],
                cause="InitContainerFailed",
                exit_code=code,
                message=f"init container {container['name']}" + (f": {said}" if said else ""),
                at=str(ended.get("finishedAt") or rfc3339(now)),
            )
    return None


def _cause(code: int, reason: str, report: Report | None) -> str:
    if reason == "OOMKilled":
        return reason
    if reason in START_ERRORS:
        return "StartError"
    if code == EXIT_INVALID and report is not None and report.diverged:
        return DIVERGED
    return {EXIT_INVALID: INVALID, EXIT_SAVED: SAVED, EXIT_FULL: VOLUME_FULL, EXIT_STALLED: "Stalled"}.get(
        code, "Error"
    )


def _said_by_job(job: Manifest | None) -> PodFailure:
    """The Job's word, when no pod is left to ask: it still names a disruption that one of its rules matched."""
    if job is None:
        return PodFailure(pod="", cause=JOB_DELETED, disruption=True)
    condition = job_condition(job, "Failed") or job_condition(job, "FailureTarget") or {}
    message = str(condition.get("message") or "")
    if condition.get("reason") == "PodFailurePolicy" and "DisruptionTarget" in message:
        return PodFailure(pod="", cause="DisruptionTarget", disruption=True, message=tail(message))
    return PodFailure(pod="", cause=str(condition.get("reason") or "JobFailed")[:128], message=tail(message))


def sentence(failure: PodFailure) -> str:
    """The failure in one line for a person, with the pod's last words behind it."""
    code = f" with exit code {failure.exit_code}" if failure.exit_code is not None else ""
    pod = f" in pod {failure.pod}" if failure.pod else ""
    return f"{failure.cause}{code}{pod}" + (f": {failure.message}" if failure.message else "")
