"""Beside the life: children that drifted are put right, and what attempts left behind goes."""

from collections.abc import Iterable, Iterator

from deepseek_operator.core.actions import Action, Apply
from deepseek_operator.core.ownership import restored
from deepseek_operator.core.resources import JOB, POLICY, SERVICE, Ref, is_terminating, uid_of
from deepseek_operator.kinds.training.anew import goes_with_it
from deepseek_operator.kinds.training.claim import kept_claim
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.kinds.training.policy import is_gang, policy
from deepseek_operator.kinds.training.service import last_attempt, service
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.fetch import errand_labels
from deepseek_operator.workloads.batch.job import marks
from deepseek_operator.workloads.batch.leftover import drop, end, loose, superseded
from deepseek_operator.workloads.upkeep import as_wanted, others


def upkeep(view: View, already: Iterable[Action], *, on_children: bool) -> tuple[Action, ...]:
    """The claim while it is ours, Service and NetworkPolicy under an attempt and at the end, and wherever they are there,
    but for what the phase acts on.

    `on_children`: an attempt is about to be launched on them.
    A Job is never changed but for the labels and the owner by which it is found, and goes with the training.
    """
    kept = on_children or view.running_attempt is not None or view.status.result is not None
    reached = (
        *(_service(view) if kept or view.service is not None else ()),
        *(_policy(view) if kept or view.network_policy is not None else ()),
    )
    return others((*_claim(view), *reached, *_marked(view)), already)


def _marked(view: View) -> Iterator[Action]:
    owner = owner_of(view.owner)
    for job in view.jobs:
        if (lost := marks(job, owner.labels, owner.reference)) is not None:
            yield Apply(lost, uid_of(job))
    for job in view.errands:
        if (lost := restored(JOB, job, errand_labels(owner), [owner.reference])) is not None:
            yield Apply(lost, uid_of(job))


def _service(view: View) -> tuple[Action, ...]:
    """The Service of the recorded attempt; nothing while the name is somebody else's. The number that it tells never falls:
    of an attempt whose Job was deleted it is all that a status knows that was wiped, and read back from an earlier Job."""
    attempt, volume = view.attempt, view.status.volume
    if attempt is None or volume is None or SERVICE in view.conflicts:
        return ()
    newest = max(attempt.number, last_attempt(view.service))
    return as_wanted(service(view.owner, newest, volume.uid), view.service)


def _policy(view: View) -> tuple[Action, ...]:
    """The NetworkPolicy of a gang."""
    if view.attempt is None or not is_gang(view.owner) or POLICY in view.conflicts:
        return ()
    return as_wanted(policy(view.owner), view.network_policy)


def _claim(view: View) -> tuple[Action, ...]:
    """Live edits of a claim that the operator made: onDelete and a larger size."""
    known, claim = view.status.volume, view.claim
    if known is None or not known.made or claim is None or is_terminating(claim) or uid_of(claim) != known.uid:
        return ()
    wanted = kept_claim(view.owner, claim, is_owned=goes_with_it(view.spec, view.status))
    return as_wanted(wanted, claim)


def tidy(view: View, already: Iterable[Action]) -> tuple[Action, ...]:
    """Jobs that nothing is left to learn from, and pods that nothing else would ever stop or remove.

    Those of an attempt under way are judged first.
    """
    gang = {uid_of(pod) for pod in view.gang.pods} if view.running_attempt is not None else set()
    left = [pod for pod in loose(view.pods) if uid_of(pod) not in gang]
    awaited = {one.kept for one in view.fetches}
    brought = [job for job in view.errands if Ref(JOB, job["metadata"]["name"]) not in awaited]
    return others((*drop((*superseded(view.jobs, current(view)), *brought)), *end(left)), already)


def current(view: View) -> int:
    """Number of the attempt that is under way or about to be launched; 0 between attempts."""
    attempt = view.attempt
    return attempt.number if attempt is not None and (attempt.verdict is None or view.status.result) else 0
