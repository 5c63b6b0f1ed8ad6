"""Why an attempt ended: the first thing that went wrong with each pod, and what that makes of the whole gang.

The Job's own reason does not tell: with rank 0 evicted and rank 1 crashing on the broken connection it says
BackoffLimitExceeded. One disrupted pod makes the attempt a disruption, because its peers' exits are consequences.
A pod that is merely being deleted is evidence only if that began before the Job decided to fail: the Job deletes the
peers of a crashed pod itself.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.attempts import PodFailure
from deepseek_operator.core.resources import Manifest, is_terminating
from deepseek_operator.workloads.batch.gang import Gang
from deepseek_operator.workloads.batch.job import is_complete, job_condition
from deepseek_operator.workloads.batch.program import Program
from deepseek_operator.workloads.last_words import document, tail, words
from deepseek_operator.workloads.obstacles import condition_of
from deepseek_operator.workloads.pod.state import is_active, phase_of, terminated

Outcome: TypeAlias = Literal["Complete", "Crash", "Disruption", "Stopped", "Invalid"]

POD_DELETED = "PodDeleted"
JOB_DELETED = "JobDeleted"
START_TIMEOUT = "StartTimeout"
MAX_FAILURES = 64
_UNCERTAIN = (POD_DELETED, JOB_DELETED)
_OWN_DEATHS = tuple(128 + signal for signal in (4, 7, 8, 9, 11))
"""SIGILL, SIGBUS, SIGFPE, SIGKILL, SIGSEGV: no peer's end leads to one; a broken connection is exit 1 or SIGABRT."""
_OF_A_PEER = re.compile(r"(?i)\bby (remote )?peer|remote (worker|process)|ncclRemoteError|broken pipe|likely closed")
"""In the last words of one whose connection to another broke, as torch, gloo and NCCL have them; launchers have the same."""
_TOGETHER = timedelta(seconds=2)
"""Times of the kubelet are whole seconds, and a peer notices within one."""
START_ERRORS = ("StartError", "ContainerCannotRun", "RunContainerError")


def first_cause(pod: Manifest, now: datetime, program: Program) -> PodFailure | None:
    """The earliest thing that went wrong with the pod; None when nothing did."""
    found = [cause for cause in (_disrupted(pod, now), _deleted(pod), _exited(pod, now, program)) if cause is not None]
    first = min(found, key=lambda cause: cause.at) if found else None
    return None if first is not None and first.disruption and _had_finished(pod, first.at, program) else first


def _had_finished(pod: Manifest, moment: str, program: Program) -> bool:
    """The program had ended well before that: nothing was lost with its pod. In the same second an end may be an answer to
    SIGTERM, by which programs of others end with 0 as well."""
    state = terminated(pod, program.container)
    if state is None or state.get("exitCode") != 0:
        return False
    ended, disrupted = parse_time(str(state.get("finishedAt"))), parse_time(moment)
    return ended is not None and disrupted is not None and ended < disrupted


def newly_failed(
    pods: Iterable[Manifest], known: Sequence[PodFailure], now: datetime, program: Program
) -> list[PodFailure]:
    """First causes of the pods that `known` does not name yet, earliest first."""
    seen_before = {failure.pod for failure in known}
    found = [first_cause(pod, now, program) for pod in pods if pod["metadata"]["name"] not in seen_before]
    return sorted((cause for cause in found if cause is not None), key=lambda cause: (cause.at, cause.pod))


def telling(failures: Iterable[PodFailure], program: Program) -> list[PodFailure]:
    """As many as the schema holds, oldest first.

    Of a large gang the ones that decide are kept: hundreds of peers may follow one evicted pod within its second.
    """
    kept = sorted(failures, key=lambda f: (_rank(f, program), f.at, f.pod))[:MAX_FAILURES]
    return sorted(kept, key=lambda f: (f.at, f.pod))


def _rank(failure: PodFailure, program: Program) -> int:
    if failure.cause in (*program.final, START_TIMEOUT):
        return 0
    if _is_certain(failure):
        return 1
    if failure.exit_code in _OWN_DEATHS:
        return 2
    return 4 if _OF_A_PEER.search(failure.message) else 3


def _is_certain(failure: PodFailure) -> bool:
    return failure.disruption and failure.cause not in _UNCERTAIN


def root_cause(failures: Sequence[PodFailure], failed_at: datetime | None, program: Program) -> PodFailure | None:
    """The failure that the others follow from; None when none was seen.

    A user's error before everything; then what certainly is a disruption, whenever it came to light; then the
    earliest, a disruption before a crash of the same second (the Job reacts to a crash a second later at the soonest).
    Of crashes that cannot be told apart by time, one that no peer can have caused, or one that does not speak of a peer.
    """
    certain = [f for f in failures if _is_certain(f)]
    invalid = [f for f in failures if f.cause in program.final]
    causes = [f for f in failures if not _is_consequence(f, failed_at)]
    for candidates in (invalid, certain, causes, failures):
        if candidates:
            return _first_of(candidates)
    return None


def _first_of(failures: Sequence[PodFailure]) -> PodFailure:
    first = min(failures, key=lambda f: (f.at, not f.disruption))
    if first.disruption or (moment := parse_time(first.at)) is None:
        return first
    together = [f for f in failures if not f.disruption and (at := parse_time(f.at)) and at - moment <= _TOGETHER]
    own = [f for f in together if f.exit_code in _OWN_DEATHS]
    of_itself = [f for f in together if not _OF_A_PEER.search(f.message)]
    return min(own or of_itself or [first], key=lambda f: f.at)


def outcome(
    gang: Gang, failures: Sequence[PodFailure], stopping: str | None, program: Program
) -> tuple[Outcome, PodFailure]:
    """The verdict on an attempt that is over, and the failure to tell of it."""
    if gang.job is not None and is_complete(gang.job):
        return "Complete", PodFailure(pod="", cause="Complete")
    if stopping == START_TIMEOUT:
        cause = next((f for f in failures if f.cause == stopping), PodFailure(pod="", cause=stopping))
        return "Crash", cause
    if stopping is not None:
        return "Stopped", PodFailure(pod="", cause=stopping)
    root = root_cause(failures, gang.failed_at, program) or _said_by_job(gang.job)
    if root.cause in program.final:
        return "Invalid", root
    return ("Disruption" if root.disruption else "Crash"), root


def _is_consequence(failure: PodFailure, failed_at: datetime | None) -> bool:
    at = parse_time(failure.at)
    return failure.cause in _UNCERTAIN and failed_at is not None and at is not None and at >= failed_at


def _disrupted(pod: Manifest, now: datetime) -> PodFailure | None:
    """A disruption that is carried out: an eviction may set the condition, fail to delete the pod, and take it back."""
    condition = condition_of(pod, "DisruptionTarget")
    if condition.get("status") != "True" or (is_active(pod) and not is_terminating(pod)):
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


def _exited(pod: Manifest, now: datetime, program: Program) -> PodFailure | None:
    state = terminated(pod, program.container)
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
    said = str(state.get("message") or "")
    return PodFailure(
        pod=name,
        cause=_cause(code, str(state.get("reason") or ""), said, program),
        disruption=program.is_disruption(code),
        exit_code=code,
        message=words(said),
        at=str(state.get("finishedAt") or rfc3339(now)),
    )


def _failed_before(pod: Manifest, now: datetime) -> PodFailure | None:
    """An init container (a profile's, or one that a webhook added) that ended with an error: nothing else began.

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


def _cause(code: int, reason: str, said: str, program: Program) -> str:
    if reason == "OOMKilled":
        return reason
    if reason in START_ERRORS:
        return "StartError"
    return program.cause(code, (document(said) or {}).get("result"))


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
