"""Which Jobs of exams there are to be, and which of all a serving's Jobs: made once the try is recorded, kept for their logs until its step is over, then gone."""

from collections.abc import Iterator

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.actions import Apply, Create, Delete
from deepseek_operator.core.ownership import restored
from deepseek_operator.core.resources import JOB, Manifest, Ref, is_terminating, ref_of, uid_of
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.kinds.serving.benched import is_bench
from deepseek_operator.kinds.serving.called import recorded_names
from deepseek_operator.kinds.serving.canary import JUDGED, run_of
from deepseek_operator.kinds.serving.children import SERVICE_PORT
from deepseek_operator.kinds.serving.exam import Exam, Sitting, exam_job
from deepseek_operator.kinds.serving.examining import MOST_TRIES, Examining
from deepseek_operator.kinds.serving.keyed import key_of
from deepseek_operator.kinds.serving.labels import examiner_labels
from deepseek_operator.kinds.serving.revision import record_of, template_of
from deepseek_operator.kinds.serving.sources import owner_of
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.batch.fetch import errand_labels, is_errand
from deepseek_operator.workloads.obstacles import Obstacle

_KEPT = (*JUDGED, Phase.PAUSED)
"""Phases of a run in which the Jobs of its step's exams stay."""


def exam_names(owner: DeepSeekServing) -> tuple[Ref, ...]:
    """The Jobs of the exams that are recorded of a step that still is, its present tries."""
    canary, run = owner.status.canary, run_of(owner.status.canary)
    if canary is None or run is None or run.phase not in _KEPT:
        return ()
    sittings = (
        Sitting(run.number, canary.step, Exam(one.revision, one.data, one.samples), one.attempt)
        for one in canary.exams
        if 1 <= one.attempt <= MOST_TRIES
    )
    return tuple(Ref(JOB, sitting.job(owner)) for sitting in sittings)


def sittings(view: View) -> Iterator[Create]:
    """The Jobs of tries that are recorded and have none yet. Last of a plan: a quota may refuse one."""
    for one in _examining(view):
        if one.is_missing and Ref(JOB, one.job) not in view.seen.children:
            yield Create(_job(view, one))


def dismissed(view: View) -> Iterator[Delete]:
    """Jobs that nobody waits for any more: of steps and runs that are over, and of tries that others followed."""
    kept = frozenset((*exam_names(view.owner), *(one.kept for one in view.fetches)))
    for job in view.seen.all(JOB):
        if ref_of(job) not in kept and not is_terminating(job) and not _is_a_persons(view, job):
            yield Delete(ref_of(job), uid_of(job), "nobody waits for it any more")


def marks_of_exams(view: View) -> Iterator[Apply]:
    """Labels and owner of living Jobs that somebody took away: nothing else of them is ever changed."""
    owner = owner_of(view.owner)
    for job in view.seen.all(JOB):
        if _is_a_persons(view, job):
            continue
        is_of_a_fetch = is_errand(owner, str(job["metadata"]["name"]))
        labels = errand_labels(owner) if is_of_a_fetch else examiner_labels(view.owner)
        if (lost := restored(JOB, job, labels, [owner.reference])) is not None:
            yield Apply(lost, uid_of(job))


def _is_a_persons(view: View, job: Manifest) -> bool:
    """A bench, which is nobody else's to end or to mend."""
    return is_bench(view.owner.metadata.name, str(job["metadata"]["name"]))


def obstacle_of_exams(view: View) -> Obstacle | None:
    """What keeps the pod of an exam from running, the first; None where none waits for anything."""
    return next((found for one in _examining(view) if (found := one.obstacle) is not None), None)


def _examining(view: View) -> tuple[Examining, ...]:
    return view.baking.examining if view.baking is not None else ()


def _job(view: View, one: Examining) -> dict[str, object]:
    name = _served_name(view, one.sitting.exam.revision)
    assert view.run is not None
    limit_s = int(view.run.steps.stall.total_seconds())
    key = key_of(template_of(view.seen, one.sitting.exam.revision))
    return dict(exam_job(view.owner, one.sitting, name, SERVICE_PORT, limit_s, view.configuration, key))


def _served_name(view: View, revision: str) -> str:
    """The name by which that revision answers: by its record, else as the spec has it."""
    return recorded_names(view.owner, record_of(view.seen, revision))[0]
