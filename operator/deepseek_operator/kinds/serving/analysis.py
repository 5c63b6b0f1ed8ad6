"""What a step's analysis asks of the metrics store, and what the answers and the marks of exams come to.

Values are of a whole revision; whoever wants the worst of its pods writes a query by pod.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.programs import joined
from deepseek_operator.api.v1alpha1.serving.analysis import (
    USUAL_QUANTILE,
    Analysis,
    AnalysisMetric,
    AnalysisStatus,
    ExamStatus,
    MetricStatus,
)
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Answer, Question, Unavailable
from deepseek_operator.domain.policy.analysis import (
    AtLeast,
    AtMost,
    Drop,
    Increase,
    Judgement,
    Limit,
    Measured,
    Metric,
    Reading,
    Tally,
    Terms,
    Verdict,
    verdict,
)
from deepseek_operator.domain.programs.engines import measures
from deepseek_operator.domain.programs.engines.measures import has
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.serving.exam import ACCURACY, Exam, exam_of
from deepseek_operator.kinds.serving.measured import Measures

Answers = Mapping[str, Answer]
"""What was answered to each PromQL expression; a missing one has not been yet."""

Marks = Mapping[Exam, tuple[ExamStatus, str]]
"""What has come of each exam, and where it is, as a sentence, while it has no mark."""

_WORD = re.compile(r"\$(revision|namespace|serving|window)\b")
_MESSAGE_LENGTH = 1024


@dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        new: the revision that is judged.
        stable: the one that it is compared with.
        analysis: by what.
        compares: both are told beside each other in the end, so that no mark may be missing.
    """

    configuration: Configuration
    new: Measures
    stable: Measures
    analysis: Analysis
    compares: bool = False

    @property
    def terms(self) -> Terms:
        """On what is judged."""
        of = self.analysis
        interval, window = timedelta(seconds=of.interval_seconds), timedelta(seconds=of.window_seconds)
        return Terms(interval, window, of.minimum_samples, of.failure_limit)

    def questions(self, since: datetime) -> tuple[Question, ...]:
        """What the metrics store must have been asked since then for a judgement."""
        wanted = (query for metric in self.analysis.metrics for query in self._asked(metric).values())
        return tuple(Question(query, since) for query in dict.fromkeys(wanted))

    def verdict(self, answers: Answers, now: datetime, marks: Marks | None = None) -> Verdict | None:
        """What the answers and marks come to; None while an answer is still to come, which takes seconds, whatever the store
        does. An exam that goes on is waited for by the run: of it nothing is concluded yet."""
        if any(question.query not in answers for question in self.questions(now)):
            return None
        measured = [
            (
                _metric(metric),
                self._examined(metric, marks or {}, now)
                if metric.type == ACCURACY
                else self._measured(metric, answers),
            )
            for metric in self.analysis.metrics
        ]
        return verdict(measured, self.terms, now)

    def _examined(self, metric: AnalysisMetric, marks: Marks, now: datetime) -> Measured:
        """A mark holds for its step: of the same revision and the same prompts it would be the same again."""
        if (why := self._unobtainable(metric)) is not None:
            return Measured(missing=why)
        asked = {"value": self.new.revision}
        if self.compares or metric.max_drop is not None:
            asked["baseline"] = self.stable.revision
        found = {name: marks.get(exam_of(metric, revision)) for name, revision in asked.items()}
        told = {name: Reading((float(one[0].accuracy),), now) for name, one in found.items() if one and one[0].accuracy}
        mine = found["value"]
        if "value" in told and mine is not None and mine[0].answered is not None:
            told["requests"] = Reading((float(mine[0].answered),), now)
        missing = next((one[1] for one in found.values() if one and one[1]), "it has not begun")
        if self.compares and len(told) < len(asked) + 1:
            return Measured(missing=missing)
        return Measured(**told, missing=missing)

    def _asked(self, metric: AnalysisMetric) -> dict[str, str]:
        """Expressions by what they are of a `Measured`; none where the value can't be had, or is no query's."""
        if metric.type == ACCURACY or self._unobtainable(metric) is not None:
            return {}
        asked = {"value": self._value(metric, self.new)}
        if metric.max_increase_percent is not None:
            asked["baseline"] = self._value(metric, self.stable)
        if self.analysis.minimum_samples and Signal.ANSWERS in self.new.names:
            asked["requests"] = self.new.answers()
        if "requests" in asked and "baseline" in asked and Signal.ANSWERS in self.stable.names:
            asked["baseline_requests"] = self.stable.answers()
        return asked

    def _measured(self, metric: AnalysisMetric, answers: Answers) -> Measured:
        if (why := self._unobtainable(metric)) is not None:
            return Measured(missing=why)
        asked = self._asked(metric)
        told = {name: answers[query] for name, query in asked.items()}
        found = {name: answer for name, answer in told.items() if isinstance(answer, Reading)}
        return Measured(**found, missing=next(self._missing(told), ""))

    def _missing(self, told: Answers) -> Iterator[str]:
        """Why there is no data, the first cause first."""
        yield from (answer.reason for answer in told.values() if isinstance(answer, Unavailable))
        if self.analysis.minimum_samples and "requests" not in told:
            yield f"engine.type {self.new.engine} counts no answers: write minimumSamples: 0"
        for name, answer in told.items():
            if isinstance(answer, Reading) and not answer.values:
                of = self.stable if name.startswith("baseline") else self.new
                yield (
                    f"Prometheus has nothing of revision {of.revision} in the window: are its pods scraped, twice in it at "
                    "least, with the label deepseek_revision?"
                )

    def _unobtainable(self, metric: AnalysisMetric) -> str | None:
        """Why this metric can't be had at all, and what to write instead; None where it can."""
        if metric.type == "PromQL":
            namespace = self.new.owner.metadata.namespace
            if self.configuration.may_query(namespace):
                return None
            return (
                f"an administrator must let namespace {namespace} write queries: the chart's value prometheus.queriesOf"
            )
        if metric.type == ACCURACY:
            is_share = metric.minimum is None or 0 <= float(metric.minimum) <= 1
            return (
                None if is_share else 'the min of an Accuracy is a share of right answers, 0 to 1: write "0.9" for 90 %'
            )
        # The definition refuses it; what was stored before it did would pass whatever happens.
        if metric.type == measures.ERROR_RATE and metric.maximum is not None and float(metric.maximum) >= 1:
            return 'the max of an ErrorRate is a share of all answers below 1: write "0.05" for 5 %'
        compared = (self.new, self.stable) if metric.max_increase_percent is not None else (self.new,)
        lacking = next((of.engine for of in compared if not of.has(metric.type)), None)
        if lacking is None:
            return None
        able = [one.type for one in offered() if one.build is not None and has(one, None, metric.type)]
        return f"engine.type {lacking} tells no {metric.type}: {joined(able, 'or')} does, or write type PromQL"

    def _value(self, metric: AnalysisMetric, of: Measures) -> str:
        match metric.type:
            case "PromQL":
                return self._filled(metric.query or "", of)
            case measures.ERROR_RATE:
                return of.error_rate()
            case _:
                return of.quantile(metric.type, metric.quantile or USUAL_QUANTILE)

    @staticmethod
    def _filled(query: str, of: Measures) -> str:
        """Names are DNS labels and can't end a string in PromQL."""
        meta = of.owner.metadata
        words = {"revision": of.revision, "namespace": meta.namespace, "serving": meta.name, "window": of.window}
        return _WORD.sub(lambda word: words[word[1]], query)


def _metric(metric: AnalysisMetric) -> Metric:
    match metric.type:
        case measures.ERROR_RATE:
            return Metric(metric.type, _limit(metric), lowest=0.0, highest=1.0)
        case "PromQL":
            return Metric(metric.name or metric.type, _limit(metric))
        case "Accuracy":
            return Metric(metric.type, _limit(metric), lowest=0.0, highest=1.0, is_exam=True)
        case _:
            percentile = float(metric.quantile or USUAL_QUANTILE) * 100
            return Metric(f"{metric.type}P{percentile:g}", _limit(metric), "s", lowest=0.0)


def _limit(metric: AnalysisMetric) -> Limit:
    if metric.maximum is not None:
        return AtMost(float(metric.maximum))
    if metric.minimum is not None:
        return AtLeast(float(metric.minimum))
    if metric.max_drop is not None:
        return Drop(float(metric.max_drop))
    return Increase(float(metric.max_increase_percent or 0))


def tally(status: AnalysisStatus | None) -> Tally:
    """What is recorded of a step's judgements; an empty one of a step that has just begun."""
    if status is None:
        return Tally()
    return Tally(max(0, status.failures), parse_time(status.judged_at), parse_time(status.conclusive_at))


def recorded(told: Verdict, of: Tally) -> AnalysisStatus:
    """The verdict and the tally with it, as the status has them."""
    return AnalysisStatus(
        verdict=told.outcome.value,
        failures=of.failures,
        judged_at=rfc3339(of.judged_at) if of.judged_at is not None else None,
        conclusive_at=rfc3339(of.conclusive_at) if of.conclusive_at is not None else None,
        metrics=[_recorded(judgement) for judgement in told.judgements],
    )


def _recorded(judgement: Judgement) -> MetricStatus:
    return MetricStatus(
        name=judgement.metric.name,
        verdict=judgement.outcome.value,
        value=_number(judgement.value),
        threshold=_number(judgement.threshold),
        baseline=_number(judgement.baseline),
        samples=judgement.samples,
        window_seconds=0 if judgement.metric.is_exam else int(judgement.window.total_seconds()),
        message=judgement.told[:_MESSAGE_LENGTH],
    )


def _number(value: float | None) -> str | None:
    return f"{value:.4g}" if value is not None else None
