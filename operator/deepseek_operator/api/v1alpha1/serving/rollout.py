"""How a new version replaces the old one."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Says, rule, rules
from deepseek_operator.api.v1alpha1.serving.analysis import Analysis

_FORMER = {"Surge": "RollingUpdate", "Replace": "Recreate"}
"""What stored objects say that were written before the strategies had the names of a Deployment's."""


def _renamed(value: Any) -> Any:
    return _FORMER.get(value, value) if isinstance(value, str) else value


class CanaryStep(ApiModel):
    """A share of the replicas that the new version has for a while."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("has(self.replicas) || has(self.weight)", "write weight or replicas of each step"))
    )

    replicas: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Replicas of the new version, never more than are wanted. Beside weight the larger number counts. Example: 1.",
    )
    weight: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="Replicas of the new version as a percentage of the wanted ones, rounded up; behind a gateway also its percentage of the requests. Example: 25.",
    )
    bake_seconds: Annotated[int, Field(ge=0, le=604800)] = Field(
        default=300,
        description="Seconds for which the step lasts once its replicas serve (0..604800). Default 300.",
    )
    analysis: Analysis | None = Field(
        default=None,
        description="By what it is judged while it lasts: it goes on once the last judgement passed, and goes back by itself after failureLimit of them failed. Absent: time alone decides.",
    )
    pause: bool = Field(
        default=False,
        description="True: afterwards it waits for the annotation deepseek-operator.io/promote: <revision>. Default false.",
    )


HeaderName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", max_length=64),
    Says("write the name of a header: letters, digits and '-', for example x-variant"),
]
HeaderValue = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=256),
    Says("write printable ASCII without spaces around it, for example new"),
]


class HeaderMatch(ApiModel):
    """Requests that carry this header go to the new version, and no others."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!self.name.matches('(?i)^x-deepseek-')",
                "a header that begins with x-deepseek- is the gate's own, and taken from clients' requests: write another name",
                fieldPath=".name",
            )
        )
    )

    name: HeaderName = Field(description="Its name, in any case. Example: x-variant.")
    value: HeaderValue = Field(description="Its value, the whole of it. Example: new.")


class Match(ApiModel):
    """Which requests go to the new version in all steps."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.header) != has(self.percent)", "write exactly one of match.header and match.percent")
        )
    )

    header: HeaderMatch | None = Field(
        default=None,
        description="Those that carry a header, by the gateway. Inside the cluster requests follow the replicas.",
    )
    percent: Annotated[int, Field(ge=1, le=99)] | None = Field(
        default=None,
        description="That part of all requests; without a gateway that part of the replicas, which requests follow. Example: 20.",
    )


class Canary(ApiModel):
    """A new version is tried beside the old one, which keeps all its replicas until the last step is over."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.match) || !has(self.match.percent) || self.steps.all(step, !has(step.weight))",
                "match.percent is the part of the requests in every step: write replicas of each step in place of weight",
                fieldPath=".steps",
            )
        )
    )

    steps: list[CanaryStep] = Field(
        min_length=1,
        max_length=10,
        description="One after the other; a run keeps those that it began with. Example: [{weight: 25}].",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    match: Match | None = Field(
        default=None,
        description="Makes the run an A/B test: when the last step is over both versions are compared in status.canary.comparison, the old one alone serves on, and a person promotes or rolls back by annotation. Absent: the new version takes the old one's place.",
    )
    on_inconclusive: Literal["Hold", "Rollback"] = Field(
        default="Hold",
        description="What becomes of a new version of which nothing can be concluded, since its replicas don't get ready, the gateway does not take its weight, or its metrics say nothing: Hold: both stay as they are. Rollback: the old one alone. Default Hold.",
    )
    stall_seconds: Annotated[int, Field(ge=30, le=604800)] = Field(
        default=1800,
        description="Seconds that a step may take to get its replicas ready, and behind a gateway its weight taken, before that is so (30..604800). Default 1800.",
    )


class Rollout(ApiModel):
    """How a new version replaces the old one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.canary) || self.strategy == 'RollingUpdate'",
                "rollout.canary runs two versions side by side, which strategy Recreate rules out: write RollingUpdate, or "
                "leave canary out",
                fieldPath=".canary",
            )
        )
    )

    strategy: Annotated[Literal["RollingUpdate", "Recreate"], BeforeValidator(_renamed)] = Field(
        default="RollingUpdate",
        description="RollingUpdate: one new replica more, then one old one less; needs free accelerators for one. Recreate: all old ones stop first. Default RollingUpdate.",
    )
    keep_revisions: Annotated[int, Field(ge=3, le=10)] = Field(
        default=5,
        description="Newest revisions that are kept to go back to by name (3..10), besides those in use. Default 5.",
    )
    canary: Canary | None = Field(
        default=None,
        description="Tries a new version beside the old one, step by step. Absent: it replaces the old one at once.",
    )
