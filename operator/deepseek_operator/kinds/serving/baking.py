"""When a step that bakes is judged, and what is kept of it.

Nothing is asked between two judgements, and a judgement is made of answers that were all asked since it was due. Exams
begin with the step, and their marks count in every judgement from then on. What is kept of it is in the status, so that
another process neither counts one twice nor forgets one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import AnalysisStatus, ExamStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Question, Seen
from deepseek_operator.domain.policy.analysis import Outcome, Tally, Verdict, counted, due_at
from deepseek_operator.domain.policy.canary import Analysed
from deepseek_operator.kinds.serving.analysis import Answers, Marks, Subject, recorded, tally
from deepseek_operator.kinds.serving.canary import JUDGED, analysis_of, run_of, whole_second
from deepseek_operator.kinds.serving.exam import ACCURACY, exams_of
from deepseek_operator.kinds.serving.examining import FAILED, GOES_ON, Examining, examining
from deepseek_operator.kinds.serving.measured import measures

_TOLD_LENGTH = 900
LATE = timedelta(seconds=15)
"""How soon answers that have not come are looked for again, although they wake who waits for them."""


@dataclass(frozen=True)
class Baking:
    """A step's analysis now.

    Attributes:
        subject: what is judged, by what.
        before: what is recorded of this step; None of one that has just begun.
        entered_at: when it began to bake.
        answers: of the metrics store, by expression.
        examining: the exams of the step.
    """

    subject: Subject
    before: AnalysisStatus | None
    entered_at: datetime
    answers: Answers
    now: datetime
    examining: tuple[Examining, ...] = ()

    @cached_property
    def due_at(self) -> datetime:
        """When it is judged next, as things stand before this pass."""
        return due_at(self._tally, self.subject.terms, self.entered_at, self.now)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the metrics store is to be asked now; nothing until a judgement is due."""
        return self.subject.questions(self.due_at) if self.now >= self.due_at else ()

    @cached_property
    def verdict(self) -> Verdict | None:
        """What it comes to in this pass; None where nothing is due, or an answer has not come."""
        return self.subject.verdict(self.answers, self.now, self._marks) if self.now >= self.due_at else None

    @cached_property
    def after(self) -> AnalysisStatus | None:
        """What is to be recorded; what is recorded already where nothing was judged."""
        return self.before if self.verdict is None else recorded(self.verdict, self._counted)

    @cached_property
    def exams(self) -> tuple[ExamStatus, ...]:
        """The exams as they are to be recorded."""
        return tuple(one.after for one in self.examining)

    @property
    def is_over(self) -> bool:
        """True once it has failed as often as ends a step."""
        return self._counted.is_over(self.subject.terms)

    @property
    def analysed(self) -> Analysed:
        """What the run is told of it."""
        if self.after is None:
            return Analysed()
        outcome = next((one for one in Outcome if one.value == self.after.verdict), None)
        return Analysed(outcome, self.is_over, self.after.deciding[:_TOLD_LENGTH], self._is_examined(self.after))

    def _is_examined(self, last: AnalysisStatus) -> bool:
        """A mark is still to come, or has come since the last judgement and is to be in the next one."""
        if any(exam.phase == FAILED for exam in self.exams):
            return False
        lacked = any(of.name == ACCURACY and of.verdict == Outcome.INCONCLUSIVE for of in last.metrics)
        return lacked or any(exam.phase in GOES_ON for exam in self.exams)

    @property
    def waits(self) -> timedelta:
        """How soon to look again, although nothing tells us to."""
        return min([self._judged_in, *(wait for one in self.examining if (wait := one.waits) is not None)])

    @property
    def _judged_in(self) -> timedelta:
        if self.verdict is None:
            return max(self.due_at - self.now, LATE if self.now >= self.due_at else timedelta(0))
        return due_at(self._counted, self.subject.terms, self.entered_at, self.now) - self.now

    @property
    def _marks(self) -> Marks:
        return {one.sitting.exam: (exam, one.told) for one, exam in zip(self.examining, self.exams, strict=True)}

    @property
    def _tally(self) -> Tally:
        return tally(self.before)

    @cached_property
    def _counted(self) -> Tally:
        return self._tally if self.verdict is None else counted(self._tally, self.verdict, self.subject.terms)


def baking(seen: Seen[DeepSeekServing], configuration: Configuration) -> Baking | None:
    """The analysis of the step at which the recorded run is; None where nothing is to be judged now."""
    status = seen.owner.status.canary
    run = run_of(status)
    if status is None or run is None or run.phase not in JUDGED or (analysis := analysis_of(status)) is None:
        return None
    new, stable = (measures(seen, revision, analysis.window_seconds) for revision in (run.target, run.stable))
    compares = run.steps.compares
    subject = Subject(configuration, new, stable, analysis, compares)
    now, wanted = whole_second(seen.now), exams_of(analysis, run.target, run.stable, compares=compares)
    exams = examining(seen, run.number, status.step, wanted, status.exams)
    return Baking(subject, status.analysis, run.entered_at, seen.readings, now, exams)
