"""What an attempt's record becomes from what is seen of its gang: whose Job it is, when it was placed and ran, what failed.

Each is written down while it can be seen, because it is gone later. Why an attempt ended is another question (`verdict`).
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus, PodFailure
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import Manifest, is_terminating, uid_of
from deepseek_operator.workloads.batch.gang import Gang, rank_zero
from deepseek_operator.workloads.batch.job import LAST_NUMBER, ended
from deepseek_operator.workloads.batch.program import Program
from deepseek_operator.workloads.batch.verdict import START_TIMEOUT, newly_failed, telling


def is_number(number: int) -> bool:
    """True for what an attempt may be numbered with; the name of its Job has room for no more."""
    return 0 < number <= LAST_NUMBER


def next_number(used: Iterable[int]) -> int:
    """The number of the next attempt, past every one that is recorded or seen: none is used twice.

    Where somebody forged the last number there is, the largest that is free.
    """
    taken = set(filter(is_number, used))
    following = 1 + max(taken, default=0)
    return following if is_number(following) else next(n for n in range(LAST_NUMBER, 0, -1) if n not in taken)


def identified(attempt: AttemptStatus, gang: Gang, digest: str) -> AttemptStatus | None:
    """With the uid of its Job, from when on only that very Job counts; None while nothing tells it.

    `digest`: of the settings that the living Job was made from by its own word, empty where it says none. An answer that
    was late may have made it from settings that were edited since.
    """
    if gang.job is not None:
        return attempt.model_copy(update={"job_uid": uid_of(gang.job), "digest": digest or attempt.digest})
    uids = sorted({job_uid_of(pod) for pod in gang.pods} - {""})
    return attempt.model_copy(update={"job_uid": uids[-1]}) if uids else None


def observed(attempt: AttemptStatus, gang: Gang, size: int, now: datetime, program: Program) -> AttemptStatus | None:
    """With what is gone later: rank 0's uid, when all `size` pods were placed and ran, the first cause of each failed pod.

    None when nothing is new. Once we stop the attempt ourselves, what its pods do is no failure.
    """
    update: dict[str, object] = {}
    zero = rank_zero(gang.pods)
    if attempt.incarnation is None and zero is not None and uid_of(zero):
        update["incarnation"] = uid_of(zero)
    if attempt.placed_at is None and gang.placed >= size:
        update["placed_at"] = rfc3339(now)
    if attempt.running_at is None and gang.all_run(size):
        update["running_at"] = rfc3339(now)
    new = newly_failed(gang.pods, attempt.failures, now, program) if attempt.stopping is None else []
    if new and (failures := telling([*attempt.failures, *new], program)) != attempt.failures:
        update["failures"] = failures
    return attempt.model_copy(update=update) if update else None


def start_deadline(attempt: AttemptStatus, limit_s: int) -> datetime | None:
    """When all pods must run, `limit_s` seconds after all were placed; None before that, and once they ran."""
    placed = parse_time(attempt.placed_at) if attempt.running_at is None else None
    return placed + timedelta(seconds=limit_s) if placed is not None else None


def timed_out(attempt: AttemptStatus, message: str, now: datetime, program: Program) -> AttemptStatus:
    """Ended by us because its pods did not start in time, which is told as a failure of the whole."""
    failure = PodFailure(pod="", cause=START_TIMEOUT, message=message[:1024], at=rfc3339(now))
    failures = telling([*attempt.failures, failure], program)
    return attempt.model_copy(update={"stopping": START_TIMEOUT, "failures": failures})


def is_over(gang: Gang, is_given_up: Callable[[Manifest], bool]) -> bool:
    """True once the Job has ended or is gone.

    Failed comes only when the last pod is gone, which on a dead node is never: pods that all are given up end it too.
    """
    if gang.job is None or ended(gang.job):
        return True
    return bool(gang.active) and all(map(is_given_up, gang.active))


def is_replaced(attempt: AttemptStatus, gang: Gang) -> bool:
    """True when the Job made a pod anew (one that vanished unaccounted): its incarnation is no longer one."""
    zero = rank_zero(pod for pod in gang.active if not is_terminating(pod))
    return zero is not None and attempt.incarnation not in (None, uid_of(zero))
