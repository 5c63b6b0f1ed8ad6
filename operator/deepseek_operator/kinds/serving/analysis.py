"""What a step's analysis asks of the metrics store, and what the answers come to.

Two revisions behind one serving are told apart by the label that a scrape gives their pods. Values are of a whole
revision, so that the request counts are; whoever wants the worst pod writes a query by pod.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.programs import joined
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import (
    USUAL_QUANTILE,
    Analysis,
    AnalysisMetric,
    AnalysisStatus,
    MetricStatus,
)
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Answer, Question, Unavailable
from deepseek_operator.domain.policy.analysis import (
    AtLeast,
    AtMost,
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
from deepseek_operator.domain.programs.engines.table import ENGINES, offered
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.serving.signals import series

Answers = Mapping[str, Answer]
"""What was answered to each PromQL expression; a missing one has not been yet."""

_QUANTILES = {"Latency": Signal.END_TO_END_LATENCY, "TimeToFirstToken": Signal.TIME_TO_FIRST_TOKEN}
_WORD = re.compile(r"\$(revision|namespace|serving|window)\b")
_MESSAGE_LENGTH = 1024


@dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        revision: the new one.
        stable: the one that it is compared with.
        analysis: by what.
    """

    owner: DeepSeekServing
    configuration: Configuration
    revision: str
    stable: str
    analysis: Analysis

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

    def verdict(self, answers: Answers, now: datetime) -> Verdict | None:
        """What the answers come to; None while one is still to come, which takes seconds, whatever the store does."""
        if any(question.query not in answers for question in self.questions(now)):
            return None
        measured = [(_metric(metric), self._measured(metric, answers)) for metric in self.analysis.metrics]
        return verdict(measured, self.terms, now)

    def _asked(self, metric: AnalysisMetric) -> dict[str, str]:
        """Expressions by what they are of a `Measured`; none where the value can't be had."""
        if self._unobtainable(metric) is not None:
            return {}
        asked = {"value": self._value(metric, self.revision)}
        if metric.max_increase_percent is not None:
            asked["baseline"] = self._value(metric, self.stable)
        if self.analysis.minimum_samples and Signal.ANSWERS in self._names:
            asked["requests"] = self._requests(self.revision)
            if "baseline" in asked:
                asked["baseline_requests"] = self._requests(self.stable)
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
            yield f"engine.type {self.owner.spec.engine.type} counts no answers: write minimumSamples: 0"
        for name, answer in told.items():
            if isinstance(answer, Reading) and not answer.values:
                revision = self.stable if name.startswith("baseline") else self.revision
                yield (
                    f"Prometheus has nothing of revision {revision} in the window: are its pods scraped, twice in it at "
                    "least, with the label deepseek_revision?"
                )

    def _unobtainable(self, metric: AnalysisMetric) -> str | None:
        """Why this metric can't be had at all, and what to write instead; None where it can."""
        if metric.type == "PromQL":
            namespace = self.owner.metadata.namespace
            if self.configuration.may_query(namespace):
                return None
            return (
                f"an administrator must let namespace {namespace} write queries: the chart's value prometheus.queriesOf"
            )
        signal = _QUANTILES.get(metric.type, Signal.ERRORS)
        if signal in self._names and (signal is not Signal.ERRORS or Signal.ANSWERS in self._names):
            return None
        able = [one.type for one in offered() if one.build is not None and signal in one.metric_names(None)]
        return f"engine.type {self.owner.spec.engine.type} tells no {metric.type}: {joined(able, 'or')} does, or write type PromQL"

    def _value(self, metric: AnalysisMetric, revision: str) -> str:
        names, window = self._names, self._window
        match metric.type:
            case "PromQL":
                return self._filled(metric.query or "", revision)
            case "ErrorRate":
                # Errors that never were have no series. That is none of them where answers are counted, else no data.
                answers = f"sum(increase({self._of(names[Signal.ANSWERS], revision)}[{window}]))"
                errors = f"sum(increase({self._of(names[Signal.ERRORS], revision)}[{window}]))"
                return f"({errors} or 0 * {answers}) / {answers}"
            case _:
                name = f"{names[_QUANTILES[metric.type]]}_bucket"
                rate = f"sum by (le) (rate({self._of(name, revision)}[{window}]))"
                return f"histogram_quantile({metric.quantile or USUAL_QUANTILE}, {rate})"

    def _requests(self, revision: str) -> str:
        return f"sum(increase({self._of(self._names[Signal.ANSWERS], revision)}[{self._window}]))"

    def _filled(self, query: str, revision: str) -> str:
        """Names are DNS labels and can't end a string in PromQL."""
        meta = self.owner.metadata
        words = {"revision": revision, "namespace": meta.namespace, "serving": meta.name, "window": self._window}
        return _WORD.sub(lambda word: words[word[1]], query)

    def _of(self, name: str, revision: str) -> str:
        return series(self.owner, name, deepseek_revision=revision)

    @property
    def _window(self) -> str:
        return f"{self.analysis.window_seconds}s"

    @property
    def _names(self) -> Mapping[Signal, str]:
        engine = self.owner.spec.engine
        return ENGINES[engine.type].metric_names(engine.version)


def _metric(metric: AnalysisMetric) -> Metric:
    match metric.type:
        case "ErrorRate":
            return Metric(metric.type, _limit(metric), lowest=0.0, highest=1.0)
        case "PromQL":
            return Metric(metric.name or metric.type, _limit(metric))
        case _:
            percentile = float(metric.quantile or USUAL_QUANTILE) * 100
            return Metric(f"{metric.type}P{percentile:g}", _limit(metric), "s", lowest=0.0)


def _limit(metric: AnalysisMetric) -> Limit:
    if metric.maximum is not None:
        return AtMost(float(metric.maximum))
    if metric.minimum is not None:
        return AtLeast(float(metric.minimum))
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
        window_seconds=int(judgement.window.total_seconds()),
        message=judgement.told[:_MESSAGE_LENGTH],
    )


def _number(value: float | None) -> str | None:
    return f"{value:.4g}" if value is not None else None
