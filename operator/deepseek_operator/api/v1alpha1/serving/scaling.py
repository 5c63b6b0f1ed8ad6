"""By which signals replicas come and go."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, DnsLabel, OneOf, Says, StatusModel, rule, rules
from deepseek_operator.api.v1alpha1.common.programs import is_none, is_one, joined
from deepseek_operator.api.v1alpha1.serving.analysis import USUAL_QUANTILE, Quantile
from deepseek_operator.domain.policy.windows import DAYS, Window, next_change
from deepseek_operator.domain.programs.engines.loads import (
    LOADS,
    PROMQL,
    QUANTILES,
    USUAL_TARGETS,
    Class,
    of_class,
    tells,
)
from deepseek_operator.domain.programs.engines.table import offered

DEMAND, SATURATION = of_class(Class.DEMAND), of_class(Class.SATURATION)
MOST_SIGNALS = 8


class ScalingSignal(ApiModel):
    """What replicas are counted by."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"has(self.target) || {is_one('self.type', USUAL_TARGETS)}",
                f"write target: of the signals only {joined(USUAL_TARGETS, 'and')} have a usual one",
                fieldPath=".target",
            ),
            rule(
                f"!has(self.target) || self.target <= 100 || {is_none('self.type', SATURATION)}",
                f"the target of {joined(SATURATION, 'and')} is in percent: write 1 to 100, for example 70",
                fieldPath=".target",
            ),
            rule(
                f"!has(self.quantile) || {is_one('self.type', QUANTILES)}",
                f"quantile is for type {joined(QUANTILES, 'and')}: leave it out",
                fieldPath=".quantile",
            ),
            rule(
                f"has(self.query) == (self.type == '{PROMQL}')",
                f"type {PROMQL} needs query, which no other type has",
                fieldPath=".query",
            ),
        )
    )

    type: Annotated[str, OneOf(tuple(LOADS))] = Field(
        default="InFlight",
        description="InFlight: requests running plus waiting. RequestRate: requests a second that come. TokensPerSecond: tokens a second that are generated. PromQL: what the query yields. These are shared by the replicas, and followed both ways. "
        "TimeToFirstToken, InterToken, EndToEnd: milliseconds until a request's first token, between two tokens, until its last. KVCache, DeviceUtilization: percent of the KV cache in use, and of the time that devices are busy, mean of all replicas. These only add replicas, step by step, and hold. Default InFlight.",
    )
    target: Annotated[int, Field(ge=1, le=1000000)] | None = Field(
        default=None,
        description="What is aimed at: per replica (InFlight, RequestRate, TokensPerSecond, PromQL), in milliseconds, or in percent. Absent: "
        + ", ".join(f"{target} for {load}" for load, target in USUAL_TARGETS.items())
        + "; the others have none. Example: 8.",
    )
    quantile: Quantile | None = Field(
        default=None,
        description=f'Of a time, the share of requests (InterToken: of tokens) that are at most as slow, a quoted decimal. Absent: "{USUAL_QUANTILE}".',
    )
    query: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="Of type PromQL: an expression of one number, over all replicas. $namespace, $serving and $window (120s) stand for their values. Needs the chart's value prometheus.queriesOf for the namespace. Example: "
        'sum(queue_depth{namespace="$namespace",queue="$serving"}).',
    )

    @property
    def aim(self) -> int:
        """The target, or the usual one. What was stored before there was a rule, without any, counts as the largest."""
        return self.target or USUAL_TARGETS.get(self.type, 1_000_000)

    @property
    def share(self) -> str:
        """The quantile, or the usual one."""
        return self.quantile or USUAL_QUANTILE


class SignalStatus(StatusModel):
    """What one signal says."""

    type: str = Field(default="", description="Which one. Example: TimeToFirstToken.")
    value: str | None = Field(
        default=None,
        description="In the unit of its target, over all replicas, when its wish last changed; absent without data. Example: 612.",
    )
    target: str = Field(default="", description="What is aimed at. Example: 500.")
    wanted: int | None = Field(
        default=None, description="Replicas that it wants; absent where it doesn't say, and what runs is kept."
    )
    message: str = Field(default="", description="What keeps it from a number, or from a higher one.")


IDLE_SECONDS = 900
HOLD_SECONDS = 240
"""Less than the 300 s after which Envoy ends a stream without a byte where nobody says otherwise."""


class Wake(ApiModel):
    """When the last replica goes, and how requests wait for the first."""

    idle_seconds: Annotated[int, Field(ge=30, le=604800)] = Field(
        default=IDLE_SECONDS,
        description=f"Seconds without a request after which no replica runs, as Prometheus must say. Default {IDLE_SECONDS}.",
    )
    hold_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=HOLD_SECONDS,
        description=f"Seconds that a request waits at the gate for a replica, at most: longer than the model takes to load. Default {HOLD_SECONDS}.",
    )


ClockTime = Annotated[
    str,
    StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5),
    Says('write a time of day in quotes, for example "08:00"'),
]
ZoneName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64),
    Says("write a zone of the IANA database, for example Europe/Berlin"),
]
MOST_SCHEDULES = 16
HPA, KEDA = "HPA", "KEDA"
BACKENDS = (HPA, KEDA)


class Schedule(ApiModel):
    """Bounds of the replicas for a time of some days of the week."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas of a schedule must be at most its maxReplicas",
            )
        )
    )

    name: DnsLabel = Field(description="How it is told in the status. Example: office-hours.")
    days: list[Annotated[str, OneOf(DAYS)]] = Field(
        default_factory=lambda: list(DAYS),
        min_length=1,
        max_length=7,
        description="Days of the week on which it begins: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Absent: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    begins: ClockTime = Field(alias="from", description='When it begins, by the clocks of the zone. Example: "08:00".')
    ends: ClockTime = Field(
        alias="to",
        description='When it ends: on the next day where this is not later than `from`, so that "00:00" is midnight and from "22:00" to "06:00" a night. Example: "19:00".',
    )
    zone: ZoneName = Field(
        description="Whose clocks, by the name in the IANA database; changes of clocks are followed. Example: Europe/Berlin."
    )
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="Never fewer in this time, whatever the load is. Example: 4."
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Never more in this time, in place of autoscaling.maxReplicas. Absent: that one. Example: 12.",
    )

    @property
    def window(self) -> Window:
        """When it is in force."""
        return Window(frozenset(self.days), time.fromisoformat(self.begins), time.fromisoformat(self.ends), self.zone)


@dataclass(frozen=True)
class Bounds:
    """Within which replicas come and go at a moment.

    Attributes:
        least: fewest replicas while it is awake.
        most: most replicas.
        schedules: names of those in force.
        next_change: when one begins or ends next; None: never.
    """

    least: int
    most: int
    schedules: tuple[str, ...] = ()
    next_change: datetime | None = None


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler over this resource's scale subresource, made by the operator or by KEDA."""

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="Never fewer. 0: none without requests, which needs gateway.auth; see wake. Default 1.",
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Never more. Example: 8.")
    signals: list[ScalingSignal] = Field(
        min_length=1,
        max_length=MOST_SIGNALS,
        description="The largest wish wins. One at least of InFlight, RequestRate, TokensPerSecond and PromQL.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    scale_down_stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=300,
        description="Seconds over which the highest wish counts before replicas are taken away. Default 300.",
    )
    wake: Wake | None = Field(
        default=None,
        description="Of minReplicas: 0, when the last replica goes and how requests wait for the first. Absent: the defaults.",
    )
    backend: Annotated[str, OneOf(BACKENDS)] = Field(
        default=HPA,
        description="Who makes the HorizontalPodAutoscaler: HPA, the operator; KEDA, by a ScaledObject, where KEDA has external.metrics.k8s.io of the cluster. Default HPA.",
    )
    schedules: list[Schedule] = Field(
        default_factory=list,
        max_length=MOST_SCHEDULES,
        description="Other bounds for times of the week. Of several in force the largest minReplicas and the largest maxReplicas count. Absent: none.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )

    @property
    def sleep(self) -> Wake | None:
        """How it goes to zero and back; None where it never does."""
        return None if self.min_replicas else self.wake or Wake()

    @property
    def highest(self) -> int:
        """Most replicas at any time."""
        return max([self.max_replicas, *(one.max_replicas or 0 for one in self.schedules)])

    def bounds(self, now: datetime) -> Bounds:
        """Within which replicas come and go now. While it is awake one runs: between none and one only the operator decides."""
        in_force = [one for one in self.schedules if one.window.is_open(now)]
        most = max((one.max_replicas or self.max_replicas for one in in_force), default=self.max_replicas)
        least = max([1, self.min_replicas, *(one.min_replicas for one in in_force)])
        names = tuple(one.name for one in in_force)
        # What was stored before its rule may cross; a ceiling is what a person pays for.
        return Bounds(min(least, most), most, names, next_change((one.window for one in self.schedules), now))

    @property
    def unknown_zones(self) -> tuple[str, ...]:
        """Zones of schedules that nobody knows, in order."""
        return tuple(dict.fromkeys(one.zone for one in self.schedules if not one.window.is_known))


def unobtainable() -> Iterator[dict[str, str]]:
    """Rules on a serving: which engines can't be scaled at all, and of each signal that not every other tells, which do."""
    silent = [entry.type for entry in offered() if not any(tells(entry, None, load) for load in LOADS)]
    others = [entry for entry in offered() if entry.type not in silent]
    if silent:
        yield rule(
            f"!has(self.autoscaling) || {is_none('self.engine.type', silent)}",
            f"engine.type {joined(silent, 'and')} can't tell what runs and waits, by which replicas come and go: write replicas and "
            f"leave autoscaling out, or engine.type {joined([entry.type for entry in others], 'or')}",
            fieldPath=".autoscaling",
        )
    for load in LOADS:
        able = [entry.type for entry in others if tells(entry, None, load)]
        lacking = [entry.type for entry in others if not tells(entry, None, load)]
        if lacking:
            yield rule(
                f"!has(self.autoscaling) || {is_none('self.engine.type', lacking)} || "
                f"!self.autoscaling.signals.exists(s, s.type == '{load}')",
                f"engine.type {joined(lacking, 'and')} can't tell {load}: {joined(able, 'or')} can",
                fieldPath=".autoscaling.signals",
            )
