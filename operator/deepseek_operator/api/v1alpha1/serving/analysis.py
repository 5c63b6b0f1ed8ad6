"""By what a step of a canary is judged while it bakes."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, NumberAsText, Says, StatusModel, rule, rules

# As a Decimal, and of any sign; without a sentence of its own, which costs too much in a list of lists (see api.schema).
Threshold = Annotated[
    str,
    StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$", max_length=32),
    NumberAsText(),
]
Quantile = Annotated[str, StringConstraints(pattern=r"^0\.[0-9]{1,4}$", max_length=6)]
MetricName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=63),
    Says("write a name of letters, digits, '_', '.' and '-', for example Refusals"),
]
USUAL_QUANTILE = "0.99"
ExamData = Annotated[
    str,
    StringConstraints(
        pattern=r"^(pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+|builtin://[a-z0-9][-a-z0-9]*)$",
        max_length=512,
    ),
]
Share = Annotated[
    str,
    StringConstraints(pattern=r"^0(\.[0-9]{1,4})?$", max_length=6),
    NumberAsText(),
    Says('write a share below 1 in quotes, for example "0.02"'),
]
USUAL_SAMPLES = 200


class AnalysisMetric(ApiModel):
    """One thing that is measured of the new revision, and when it is well."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.max), has(self.min), has(self.maxIncreasePercent), has(self.maxDrop)].exists_one(limit, limit)",
                "write exactly one of max, min, maxIncreasePercent and maxDrop; two limits of one thing are two metrics",
            ),
            rule(
                "self.type == 'Accuracy' ? has(self.data) && (has(self.min) || has(self.maxDrop)) : "
                "!has(self.data) && !has(self.samples) && !has(self.maxDrop)",
                "type Accuracy needs data, and min or maxDrop; no other type has data, samples and maxDrop",
            ),
            rule(
                "self.type == 'PromQL' ? has(self.query) && has(self.name) : !has(self.query) && !has(self.name)",
                "type PromQL needs query and name, which no other type has",
            ),
            rule(
                "!has(self.quantile) || self.type == 'Latency' || self.type == 'TimeToFirstToken'",
                "quantile is for type Latency and TimeToFirstToken: leave it out, or write it into the query",
                fieldPath=".quantile",
            ),
            rule(
                "!has(self.min) || self.type == 'PromQL' || self.type == 'Accuracy'",
                "write max in place of min: fewer errors and less time are no failure",
                fieldPath=".min",
            ),
            rule(
                "!has(self.min) || self.type != 'Accuracy' || (double(self.min) >= 0.0 && double(self.min) <= 1.0)",
                'the min of an Accuracy is a share of right answers, 0 to 1: write "0.9" for 90 %',
                fieldPath=".min",
            ),
            rule(
                "!has(self.max) || self.type != 'ErrorRate' || double(self.max) < 1.0",
                'the max of an ErrorRate is a share of all answers, below 1: write "0.05" for 5 %',
                fieldPath=".max",
            ),
            rule(
                "!has(self.query) || !has(self.maxIncreasePercent) || self.query.contains('$revision')",
                "maxIncreasePercent compares two revisions: write $revision into the query, for example "
                'deepseek_revision="$revision"',
                fieldPath=".query",
            ),
        )
    )

    type: Literal["ErrorRate", "Latency", "TimeToFirstToken", "PromQL", "Accuracy"] = Field(
        description="ErrorRate: share of answers to requests with status 5xx, 0 to 1. Latency: seconds until a request's last token. TimeToFirstToken: seconds until its first. PromQL: what the query yields. Accuracy: share of held-out prompts, 0 to 1, that a Job gets answered exactly as they are to be, once in each step. Example: ErrorRate.",
    )
    quantile: Quantile | None = Field(
        default=None,
        description=f'Of Latency and TimeToFirstToken, the share of requests that are at most as slow, a quoted decimal. Absent: "{USUAL_QUANTILE}".',
    )
    name: MetricName | None = Field(
        default=None, description="How status and events call the value of a PromQL query. Example: Refusals."
    )
    query: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="PromQL expression; of several series the worst counts. $revision, $namespace, $serving and $window (such as 300s) stand for their values. Needs the chart's value prometheus.queriesOf for the namespace. Example: "
        'sum(rate(refusals_total{deepseek_revision="$revision"}[$window])).',
    )
    maximum: Threshold | None = Field(
        default=None,
        alias="max",
        description='The value must not be above this, in its own unit: a share, or seconds; a decimal, in quotes where it has a fraction. Example: "0.01".',
    )
    minimum: Threshold | None = Field(
        default=None,
        alias="min",
        description='The value of a PromQL query, or an Accuracy, must not be below this, a decimal, in quotes where it has a fraction. Example: "0.9".',
    )
    max_increase_percent: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="The value must not be above that of the stable revision by more than so many percent (0..1000); needs minimumSamples requests to that one too. From a stable value of 0 any increase is more. Example: 20.",
    )
    max_drop: Share | None = Field(
        default=None,
        description='An Accuracy must not be below that of the stable revision, which is examined too, by more than this share, a decimal below 1, in quotes where it has a fraction. Example: "0.02".',
    )
    data: ExamData | None = Field(
        default=None,
        description="Held-out prompts of an Accuracy: pvc://<claim>/<file or folder> of {prompt, completion} lines, or builtin://<task>. Example: pvc://corpora/heldout.jsonl.",
    )
    samples: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        default=None,
        description=f"Prompts of an Accuracy that are asked, the first ones of the data (1..10000). Absent: {USUAL_SAMPLES}.",
    )


class Analysis(ApiModel):
    """What a step must keep while it bakes; a failure limit that is reached rolls back."""

    interval_seconds: Annotated[int, Field(ge=10, le=3600)] = Field(
        default=60, description="Seconds between two judgements, the first one after as many (10..3600). Default 60."
    )
    window_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=300,
        description="Seconds over which each value is measured, at least two intervals of Prometheus' scrape (10..86400). Default 300.",
    )
    failure_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3,
        description="Failed judgements of one step that roll back, in a row or not; 1: the first one (1..100). Default 3.",
    )
    minimum_samples: Annotated[int, Field(ge=0, le=1000000)] = Field(
        default=100,
        description="Requests to the new revision in the window below which nothing is concluded; 0: they are not counted. Default 100.",
    )
    metrics: list[AnalysisMetric] = Field(
        min_length=1,
        max_length=8,
        description="What is measured. One that fails makes the judgement Fail; else one without data makes it Inconclusive.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class MetricStatus(StatusModel):
    """What one metric came to."""

    name: str = Field(default="", description="What was measured. Example: LatencyP99.")
    verdict: str = Field(default="", description="Pass, Fail or Inconclusive.")
    value: str | None = Field(
        default=None, description="The worst of its series, in its own unit; absent without data. Example: 1.42."
    )
    threshold: str | None = Field(
        default=None, description="What it must keep, a relative limit worked out; absent while that is not known."
    )
    baseline: str | None = Field(
        default=None, description="The stable revision's value, where the limit is relative to it."
    )
    samples: int | None = Field(
        default=None,
        description="Requests in the window, or prompts of an exam that were answered; absent where they are not counted.",
    )
    window_seconds: int = Field(default=0, description="Seconds over which it was measured; 0 of an exam.")
    message: str = Field(default="", description="All of it as a sentence, with what is missing.")


class ExamStatus(StatusModel):
    """One revision's exam, of the present step: recorded before its Job is made."""

    revision: str = Field(default="", description="Who is examined. Example: 975abe8e9a.")
    data: str = Field(default="", description="By what. Example: pvc://corpora/heldout.jsonl.")
    samples: int = Field(default=0, description="Prompts that are asked.")
    phase: str = Field(
        default="",
        description="Running; BackingOff: it failed, and is tried again after notBefore; Complete; Failed: it is not tried again.",
    )
    attempt: int = Field(default=0, description="The present try, from 1.")
    job: str = Field(default="", description="Name of its Job, which is kept until the step is over.")
    job_uid: str = Field(default="", alias="jobUID", description="uid of that Job, once it was seen.")
    not_before: str | None = Field(default=None, description="When it is tried again, RFC 3339.")
    accuracy: str | None = Field(
        default=None, description="Share of right answers, a decimal from 0 to 1; absent without a mark."
    )
    answered: int | None = Field(default=None, description="Prompts that were answered.")
    message: str = Field(default="", description="Why the last try left no mark.")


class AnalysisStatus(StatusModel):
    """What the judgements of the present step came to."""

    verdict: str = Field(default="", description="The last one: Pass, Fail or Inconclusive. Empty before the first.")
    failures: int = Field(default=0, description="Failed judgements of this step until now.")
    judged_at: str | None = Field(default=None, description="When it was judged last, RFC 3339.")
    conclusive_at: str | None = Field(default=None, description="When a judgement last passed or failed, RFC 3339.")
    metrics: list[MetricStatus] = Field(
        default_factory=list,
        max_length=8,
        description="The last judgement, by metric.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    @property
    def deciding(self) -> str:
        """The numbers of those metrics that decided it."""
        return "; ".join(metric.message for metric in self.metrics if metric.verdict == self.verdict)
