"""How two versions did beside each other, once the steps of an A/B test are over: what is asked, and the table of it.

Both are measured over the same time, from when the new one first had its replicas until the last step was over. A number
that the metrics store does not have, or that can't be, is absent: of a comparison nothing is worse than a zero that is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import isfinite

from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import ExamStatus
from deepseek_operator.api.v1alpha1.serving.status import ComparedRevision, ComparisonStatus
from deepseek_operator.core.seen import Answer, Question, Seen, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.domain.policy.comparison import interval
from deepseek_operator.domain.programs.engines.measures import ERROR_RATE
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.serving.canary import COMPLETE, run_of
from deepseek_operator.kinds.serving.measured import Measures, measures
from deepseek_operator.kinds.serving.revision import model_of

_QUANTILES = (("latency_p50", "Latency", "0.5"), ("latency_p99", "Latency", "0.99"),
              ("first_token_p50", "TimeToFirstToken", "0.5"), ("first_token_p99", "TimeToFirstToken", "0.99"))  # fmt: skip
_LEAST_WINDOW_S = 10
_MOST = 1e15
"""Of requests or seconds: more is no measurement, and no number that a status can hold."""
_MESSAGE_LENGTH = 512


@dataclass(frozen=True)
class Comparison:
    """Two revisions, stable first, and what is answered of them.

    Attributes:
        since: from when they are measured.
        until: to when: the last step was over, and from then on is asked.
        exams: of the last step.
    """

    seen: Seen[DeepSeekServing]
    revisions: tuple[Measures, Measures]
    since: datetime
    until: datetime
    exams: Sequence[ExamStatus]

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the metrics store is asked."""
        asked = (query for one in self.revisions for query in _asked(one).values())
        return tuple(Question(query, self.until) for query in dict.fromkeys(asked))

    @property
    def is_answered(self) -> bool:
        """Every question has an answer, whatever it is."""
        return all(question.query in self.seen.readings for question in self.questions)

    @cached_property
    def table(self) -> ComparisonStatus:
        """What is known now."""
        return ComparisonStatus(
            since=rfc3339(self.since),
            until=rfc3339(self.until),
            revisions=[self._row(one) for one in self.revisions],
            message="; ".join(dict.fromkeys(self._missing()))[:_MESSAGE_LENGTH],
        )

    def _row(self, of: Measures) -> ComparedRevision:
        known = {name: _number(self.seen.readings.get(query)) for name, query in _asked(of).items()}
        requests, errors = known.get("requests"), known.get("error_rate")
        count = int(requests) if requests is not None else None
        rate = errors if errors is not None and errors <= 1 else None
        exam = next((one for one in self.exams if one.revision == of.revision and one.phase == COMPLETE), None)
        model = model_of(self.seen, of.revision)
        return ComparedRevision(
            revision=of.revision,
            model=model.told if model is not None else "",
            requests=count,
            error_rate=_told(rate),
            error_rate_interval=_interval(rate, count),
            accuracy=exam.accuracy if exam is not None else None,
            accuracy_interval=_interval(float(exam.accuracy), exam.answered) if exam and exam.accuracy else None,
            **{name: _told(known.get(name)) for name, _, _ in _QUANTILES},
        )

    def _missing(self) -> Iterator[str]:
        for of in self.revisions:
            for query in _asked(of).values():
                match self.seen.readings.get(query):
                    case None:
                        yield "the metrics store has not answered in time"
                    case Unavailable(reason):
                        yield reason
                    case Reading() as found if _number(found) is None:
                        yield f"nothing is known of some numbers of {of.revision}"


def comparison(seen: Seen[DeepSeekServing]) -> Comparison | None:
    """What the recorded run compares now; None while it does not."""
    status, run = seen.owner.status.canary, run_of(seen.owner.status.canary)
    if status is None or run is None or run.phase is not Phase.COMPARING:
        return None
    since = run.began_at if run.began_at is not None and run.began_at <= run.entered_at else run.entered_at
    window_s = max(_LEAST_WINDOW_S, int((run.entered_at - since).total_seconds()))
    stable, new = (measures(seen, revision, window_s) for revision in (run.stable, run.target))
    return Comparison(seen, (stable, new), since, run.entered_at, status.exams)


def _asked(of: Measures) -> Mapping[str, str]:
    """Expressions by the field that they fill: those that the revision's engine tells."""
    counted = {"requests": of.answers()} if Signal.ANSWERS in of.names else {}
    failed = {"error_rate": of.error_rate()} if of.has(ERROR_RATE) else {}
    slow = {name: of.quantile(measure, share) for name, measure, share in _QUANTILES if of.has(measure)}
    return {**counted, **failed, **slow}


def _number(answer: Answer | None) -> float | None:
    """The one number of an answer; None where there is none, or one that can't be."""
    if not isinstance(answer, Reading) or len(answer.values) != 1:
        return None
    (value,) = answer.values
    return value if isfinite(value) and 0 <= value <= _MOST else None


def _told(value: float | None) -> str | None:
    return f"{value:.4g}" if value is not None else None


def _interval(share: float | None, count: int | None) -> str | None:
    ends = interval(share, count) if share is not None and count is not None else None
    return f"{ends[0]:.3g}..{ends[1]:.3g}" if ends is not None else None
