"""What becomes of a step's exams: each is tried once, and some more times where a try left no mark.

    Running → Complete | BackingOff → Running … | Failed

A try is recorded before its Job is made, and its mark before anything goes by it: a process that dies in between makes
no second Job and loses no mark. A try that was evicted, ended with an error or was too late says nothing of the revision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import ExamStatus
from deepseek_operator.core.resources import Manifest, Ref, uid_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving.canary import COMPLETE
from deepseek_operator.kinds.serving.exam import EXAMINER, Exam, Sitting, mark_of
from deepseek_operator.workloads.batch import backoff
from deepseek_operator.workloads.batch.attempt import is_over
from deepseek_operator.workloads.batch.gang import Gang, gang_of_try
from deepseek_operator.workloads.batch.verdict import newly_failed, outcome, sentence
from deepseek_operator.workloads.batch.waiting import doubtful, next_doubt, obstacle
from deepseek_operator.workloads.obstacles import Obstacle
from deepseek_operator.workloads.pod.state import is_lost

RUNNING, BACKING_OFF, FAILED = "Running", "BackingOff", "Failed"
GOES_ON = (RUNNING, BACKING_OFF)
MOST_TRIES = 5
"""Of one exam in one step: with the waits between them two and a half minutes at least, in which a drain or a full cluster
may be over. What fails so often fails always, and a person is to look."""
_SILENT_S = 60
"""A pod whose node is gone is not waited for so long after its grace period."""
_MESSAGE_LENGTH = 512


@dataclass(frozen=True)
class Examining:
    """One exam as it is recorded, with what is seen of its present try."""

    seen: Seen[DeepSeekServing]
    sitting: Sitting
    before: ExamStatus

    @property
    def job(self) -> str:
        """Name of its Job; never as the status says it, which anybody may write."""
        return self.sitting.job(self.seen.owner)

    @cached_property
    def gang(self) -> Gang:
        """Its Job, only if it is the very one that was recorded, and that one's pod."""
        return gang_of_try(self.seen, self.job, self.before.job_uid, EXAMINER.container)

    @property
    def is_missing(self) -> bool:
        """Its Job is yet to be made."""
        return self.before.phase == RUNNING and not self.before.job_uid and self.gang.job is None

    @property
    def after(self) -> ExamStatus:
        """What is to be recorded; the same where nothing is new."""
        if self.before.phase == BACKING_OFF:
            return self._again()
        if self.before.phase != RUNNING or self.is_missing:
            return self.before
        job = self.gang.job
        if job is not None and not self.before.job_uid:
            return self.before.model_copy(update={"job_uid": uid_of(job)})
        return self._ended() if is_over(self.gang, self._is_given_up) else self.before

    @property
    def doubts(self) -> tuple[Ref, ...]:
        """Whose events are to be read, since it does not get on."""
        return doubtful(self.gang, 1, self.seen.now) if self.before.phase == RUNNING else ()

    @property
    def obstacle(self) -> Obstacle | None:
        """What keeps its pod from running; None when it runs, is on its way or is over."""
        if self.before.phase != RUNNING:
            return None
        return obstacle(self.gang, 1, self.seen.warnings, self.seen.now)

    @property
    def waits(self) -> timedelta | None:
        """How soon to look again, although nothing tells us to."""
        if self.before.phase == BACKING_OFF:
            return self._not_before - self.seen.now
        return next_doubt(self.gang, 1, self.seen.now) if self.before.phase == RUNNING else None

    @property
    def told(self) -> str:
        """Where it is, in a sentence, while it has no mark; empty once it has."""
        of, again = f"the exam of revision {self.sitting.exam.revision}", ""
        if self.before.attempt > 1:
            again = f", try {self.before.attempt} of {MOST_TRIES} after {self.before.message}"
        match self.before.phase:
            case "Running":
                found = self.obstacle
                why = f": {found.message}" if found is not None else ""
                return f"{of} goes on as Job {self.job}{again}{why}"
            case "BackingOff":
                return f"{of} is tried again after {self.before.not_before}: {self.before.message}"
            case "Failed":
                return f"{of} left no mark: {self.before.message}"
        return ""

    @property
    def _not_before(self) -> datetime:
        return parse_time(self.before.not_before) or self.seen.now

    def _again(self) -> ExamStatus:
        if self.seen.now < self._not_before:
            return self.before
        return begun(self.seen.owner, self._next, self.before.message)

    @property
    def _next(self) -> Sitting:
        of = self.sitting
        return Sitting(of.run, of.step, of.exam, self.before.attempt + 1)

    def _is_given_up(self, pod: Manifest) -> bool:
        return is_lost(pod, self.seen.now, _SILENT_S)

    def _ended(self) -> ExamStatus:
        failures = newly_failed(self.gang.pods, (), self.seen.now, EXAMINER)
        verdict, cause = outcome(self.gang, failures, None, EXAMINER)
        mark = mark_of(self.gang.pods, self.sitting.exam.samples) if verdict == "Complete" else None
        if mark is not None:
            told = {"phase": COMPLETE, "accuracy": _decimal(mark.accuracy), "answered": mark.answered, "message": ""}
            return self.before.model_copy(update=told)
        why = "its pod left no mark" if verdict == "Complete" else sentence(cause)
        said = {"message": why.replace("\n", " ")[:_MESSAGE_LENGTH]}
        if verdict == "Invalid" or self.before.attempt >= MOST_TRIES:
            return self.before.model_copy(update={**said, "phase": FAILED})
        later = backoff.after_failure(self.before.attempt - 1, None, None, self.seen.now).not_before
        return self.before.model_copy(update={**said, "phase": BACKING_OFF, "not_before": later})


def _decimal(share: float) -> str:
    return f"{share:.6f}".rstrip("0").rstrip(".")


def begun(owner: DeepSeekServing, sitting: Sitting, message: str = "") -> ExamStatus:
    """A try that is to be made. `message`: why the one before left no mark."""
    exam = sitting.exam
    return ExamStatus(
        revision=exam.revision,
        data=exam.data,
        samples=exam.samples,
        phase=RUNNING,
        attempt=sitting.attempt,
        job=sitting.job(owner),
        message=message,
    )


def examining(
    seen: Seen[DeepSeekServing], run: int, step: int, wanted: Sequence[Exam], recorded: Sequence[ExamStatus]
) -> tuple[Examining, ...]:
    """The exams that a step wants, as recorded or begun now. `step`: from 1."""
    return tuple(_examining(seen, run, step, wanted, recorded))


def _examining(
    seen: Seen[DeepSeekServing], run: int, step: int, wanted: Sequence[Exam], recorded: Sequence[ExamStatus]
) -> Iterator[Examining]:
    known = {Exam(one.revision, one.data, one.samples): one for one in recorded if 1 <= one.attempt <= MOST_TRIES}
    for exam in wanted:
        before = known.get(exam)
        sitting = Sitting(run, step, exam, before.attempt if before is not None else 1)
        yield Examining(seen, sitting, before or begun(seen.owner, sitting))
