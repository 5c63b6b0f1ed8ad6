"""What is asked of the metrics store, and the replicas that the answers want.

Beside the value of each signal stand a few numbers that all of them are guarded by: how many replicas report, how old the
oldest of their reports is, and whether they are those that reported a window ago. The store remembers that; every process of
the operator comes to the same wish, and a restart forgets nothing. An absent series is a replica that does not report, never
one without load, and a sum over fewer replicas than serve is only a lower bound.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.scaling import ScalingSignal
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Wanted
from deepseek_operator.core.seen import NoData, Sample, SignalWish, Unavailable
from deepseek_operator.core.seen import Signal as Told
from deepseek_operator.domain.devices.profiles import DeviceMetrics, UnknownProfile
from deepseek_operator.domain.policy.scaling import (
    Fleet,
    Wish,
    by_demand,
    by_latency,
    by_saturation,
    decided,
)
from deepseek_operator.domain.policy.zero import Phase
from deepseek_operator.domain.programs.engines.loads import (
    DEVICE_UTILIZATION,
    IN_FLIGHT,
    KV_CACHE,
    LOADS,
    PROMQL,
    QUANTILES,
    REQUEST_RATE,
    TOKENS_PER_SECOND,
    Class,
    tells,
)
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal

REPORTING, AGE = "replicas_reporting", "age"
SAME, BEFORE = "replicas_that_stayed", "replicas_before"
SAMPLES, LASTING, DEVICES_OF = "requests", "lasting", "replicas"
WINDOW_S = 120
"""Over which rates, quantiles and shares are taken: four scrapes of a usual interval, two of a slow one."""
LASTING_S = 1800
"""Over which a latency must be low before a replica goes by it."""
OLDEST_S = 120
"""Age of a report from which on it tells nothing of now. Prometheus itself repeats one for five minutes."""
_MILLISECONDS = 1000


def rests(owner: DeepSeekServing) -> bool:
    """No replica of it is to run, whatever the load."""
    sleep = owner.status.sleep
    return owner.spec.suspend or (sleep is not None and sleep.phase == Phase.ASLEEP)


def queries(owner: DeepSeekServing, configuration: Configuration) -> tuple[tuple[str, str], ...]:
    """Names and PromQL expressions, each of one number; none without autoscaling, and while it rests."""
    is_scaled = owner.spec.autoscaling is not None and not rests(owner)
    return tuple(_Asked(owner, configuration).all()) if is_scaled else ()


def presumed(
    owner: DeepSeekServing, configuration: Configuration, answer: NoData | Unavailable
) -> tuple[SignalWish, ...]:
    """What the signals say where every query has this answer, of a serving that has no replica which could report; none of
    others, and where something is recorded already."""
    before = owner.status.autoscaling
    is_told = before is not None and bool(before.signals)
    if owner.spec.autoscaling is None or rests(owner) or owner.status.replicas or is_told:
        return ()
    asked = (REPORTING, AGE, *(signal.type for signal in owner.spec.autoscaling.signals))
    return wanted(owner, configuration, dict.fromkeys(asked, answer)).wishes


def series(owner: DeepSeekServing, name: str, **labels: str) -> str:
    """The series of that name that pods of this serving tell, as PromQL selects them; the name may bring labels of its own."""
    metric, _, own = name.removesuffix("}").partition("{")
    which = {"namespace": owner.metadata.namespace, "deepseek_serving": owner.metadata.name, **labels}
    matchers = ",".join(f"{label}={_quoted(value)}" for label, value in which.items())
    return f"{metric}{{{own},{matchers}}}" if own else f"{metric}{{{matchers}}}"


def quantile_of(buckets: str, quantile: str, window: str) -> str:
    """The value of a histogram that this share of the observations in the window does not exceed."""
    return f"histogram_quantile({quantile}, sum by (le) (rate({buckets}[{window}])))"


def _quoted(value: str) -> str:
    """A PromQL string literal. Names are DNS labels, but a query must not depend on who has checked that."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@dataclass(frozen=True)
class _Asked:
    """The expressions of one serving."""

    owner: DeepSeekServing
    configuration: Configuration

    def all(self) -> Iterator[tuple[str, str]]:
        if Signal.RUNNING not in self._names:
            return
        running = self._of(Signal.RUNNING)
        pods = f"count by (pod) ({running})"
        yield REPORTING, f"count({pods})"
        yield AGE, f"time() - min(timestamp({running}))"
        if any(LOADS[signal.type] is not Class.DEMAND for signal in self._signals):
            before = f"count by (pod) ({running} offset {_WINDOW})"
            yield SAME, f"count({pods} and {before})"
            yield BEFORE, f"count({before})"
        for signal in self._signals:
            if self.unobtainable(signal.type) is None:
                yield from self._asked(signal)

    def _asked(self, signal: ScalingSignal) -> Iterator[tuple[str, str]]:
        match signal.type:
            case load if load == IN_FLIGHT:
                yield load, f"sum({self._of(Signal.RUNNING)}) + sum({self._of(Signal.WAITING)})"
            case load if load == REQUEST_RATE:
                yield load, self._arrivals()
            case load if load == TOKENS_PER_SECOND:
                yield load, self._unless_idle(f"sum(rate({self._of(Signal.GENERATION_TOKENS)}[{_WINDOW}]))")
            case load if load == KV_CACHE:
                yield load, f"100 * avg(avg_over_time({self._of(Signal.KV_USAGE)}[{_WINDOW}]))"
            case load if load == PROMQL:
                yield load, self._filled(signal.query or "")
            case load if load == DEVICE_UTILIZATION:
                assert self.device is not None
                busy = self._busy(self.device)
                yield load, f"{100 if self.device.is_share else 1} * avg({busy})"
                yield _part(load, DEVICES_OF), f"count(count by (pod) ({busy}))"
            case load:
                name = self._names[QUANTILES[load]]
                buckets, count = (series(self.owner, f"{name}_{part}") for part in ("bucket", "count"))
                yield load, f"{_MILLISECONDS} * {quantile_of(buckets, signal.share, _WINDOW)}"
                yield _part(load, LASTING), f"{_MILLISECONDS} * {quantile_of(buckets, signal.share, f'{LASTING_S}s')}"
                yield _part(load, SAMPLES), self._unless_idle(f"sum(increase({count}[{_WINDOW}]))")

    def _arrivals(self) -> str:
        """Requests that came, a second: those that were answered, whatever with, and those that are in flight more than before.

        Engines count answers alone. These never exceed what the replicas can do, and would hide what waits.
        """
        answered = self._unless_idle(f"sum(increase({self._of(Signal.ANSWERS)}[{_WINDOW}]))")
        more = (f"sum(delta({self._of(signal)}[{_WINDOW}]))" for signal in (Signal.RUNNING, Signal.WAITING))
        return f"clamp_min({answered} + {' + '.join(more)}, 0) / {WINDOW_S}"

    def _busy(self, metrics: DeviceMetrics) -> str:
        """The share of time that devices of this serving's pods were busy, a series for each device."""
        found = (self._of_devices(metrics, exported) for exported in (False, True))
        return " or ".join(found)

    def _of_devices(self, metrics: DeviceMetrics, exported: bool) -> str:
        """`exported`: as of a scrape without honorLabels, whose target has a namespace and a pod of its own: the exporter's."""
        before = _OF_TARGETS if exported else ()
        namespace, pod = (
            f"exported_{label}" if label in before else label for label in (metrics.namespace_label, metrics.pod_label)
        )
        which = f"{metrics.utilization}{{{namespace}={_quoted(self.owner.metadata.namespace)}}}"
        busy = f"avg_over_time({which}[{_WINDOW}])"
        named = busy if pod == "pod" else f'label_replace({busy}, "pod", "$1", "{pod}", "(.+)")'
        return f"({named} and on (pod) {self._of(Signal.RUNNING)})"

    def _filled(self, query: str) -> str:
        """Names are DNS labels and can't end a string in PromQL."""
        meta = self.owner.metadata
        words = {"namespace": meta.namespace, "serving": meta.name, "window": _WINDOW}
        return _WORD.sub(lambda word: words[word[1]], query)

    @property
    def may_query(self) -> bool:
        """An administrator lets this namespace write queries."""
        return self.configuration.may_query(self.owner.metadata.namespace)

    @property
    def device(self) -> DeviceMetrics | None:
        """What the devices' exporter tells; None where their busy time is not known of the profile, or that of none."""
        accelerator = self.owner.spec.accelerator
        if accelerator is None or accelerator.profile is None:
            return None
        try:
            metrics = self.configuration.profiles.resolve(accelerator.profile).metrics
        except UnknownProfile:
            return None
        return metrics if metrics is not None and metrics.utilization is not None else None

    def unobtainable(self, load: str) -> str | None:
        """Why this signal can't be had at all, and what to do; None where it can."""
        if load == PROMQL and not self.may_query:
            namespace = self.owner.metadata.namespace
            return (
                f"an administrator must let namespace {namespace} write queries: the chart's value prometheus.queriesOf"
            )
        if load == DEVICE_UTILIZATION and self.device is None:
            return "accelerator.profile names no metric of busy devices: let an administrator write metrics.utilization into it"
        engine = self.owner.spec.engine
        if not tells(ENGINES[engine.type], engine.version, load):
            return f"engine.type {engine.type} does not tell it"
        return None

    def _unless_idle(self, counted: str) -> str:
        """What was counted; none where there is no counter yet and nothing ran either. A counter that an engine lacks is none."""
        idle = f"sum(max_over_time({self._of(Signal.RUNNING)}[{_WINDOW}])) == 0"
        return f"({counted} or ({idle}))"

    def _of(self, signal: Signal) -> str:
        return series(self.owner, self._names[signal])

    @cached_property
    def _names(self) -> Mapping[Signal, str]:
        engine = self.owner.spec.engine
        return ENGINES[engine.type].metric_names(engine.version)

    @cached_property
    def _signals(self) -> tuple[ScalingSignal, ...]:
        autoscaling = self.owner.spec.autoscaling
        return tuple(autoscaling.signals) if autoscaling is not None else ()


_WINDOW = f"{WINDOW_S}s"
_WORD = re.compile(r"\$(namespace|serving|window)\b")
_OF_TARGETS = frozenset({"namespace", "pod", "container"})
"""Labels that a PodMonitor or a ServiceMonitor gives to what it scrapes."""


def _part(load: str, part: str) -> str:
    return f"{load}.{part}"


def wanted(owner: DeepSeekServing, configuration: Configuration, samples: Mapping[str, Told]) -> Wanted:
    """Replicas that the load wants, in [1, the most of all times], and what each signal says.

    No number of replicas when the samples do not say: the autoscaler then holds, and never takes a replica away for want of
    data.
    """
    autoscaling = owner.spec.autoscaling
    if autoscaling is None:
        return Wanted(None)
    fleet, maximum = _fleet(owner, samples), autoscaling.highest
    asked = _Asked(owner, configuration)
    wishes = [
        (
            signal,
            Wish(None, why) if (why := asked.unobtainable(signal.type)) else _wish(signal, samples, fleet, maximum),
        )
        for signal in autoscaling.signals
    ]
    told = tuple(
        SignalWish(signal.type, _value(samples.get(signal.type)), float(signal.aim), wish.replicas, wish.why)
        for signal, wish in wishes
    )
    return Wanted(decided([wish for _, wish in wishes], fleet.running if fleet is not None else 0), told)


def _fleet(owner: DeepSeekServing, samples: Mapping[str, Told]) -> Fleet | None:
    """None where nobody reports, or what was reported is old."""
    reporting, age = _value(samples.get(REPORTING)), _value(samples.get(AGE))
    if reporting is None or age is None or not 0 <= age <= OLDEST_S:
        return None
    running = owner.status.running_replicas or 0
    serving = owner.status.ready_replicas
    stay = {_value(samples.get(SAME)), _value(samples.get(BEFORE)), reporting, float(serving)} == {float(running)}
    return Fleet(serving, running, reporting, stay)


def _wish(signal: ScalingSignal, samples: Mapping[str, Told], fleet: Fleet | None, maximum: int) -> Wish:
    missing = [answer for name in (REPORTING, AGE, signal.type) if isinstance(answer := samples.get(name), Unavailable)]
    if missing:
        return Wish(None, _steady(missing[0].reason))
    if fleet is None:
        is_old = _value(samples.get(AGE)) is not None
        return Wish(None, f"what replicas report is older than {OLDEST_S} s" if is_old else "no replica reports")
    value, target = _value(samples.get(signal.type)), float(signal.aim)
    match LOADS[signal.type]:
        case Class.LATENCY:
            lasting, count = (_value(samples.get(_part(signal.type, part))) for part in (LASTING, SAMPLES))
            return by_latency(_number(value), _number(lasting), _number(count), target, maximum, fleet)
        case Class.SATURATION:
            if value is None:
                return _NOTHING
            if (
                signal.type == DEVICE_UTILIZATION
                and _value(samples.get(_part(signal.type, DEVICES_OF))) != fleet.reporting
            ):
                return Wish(None, "not of every replica that reports does the devices' exporter tell")
            return by_saturation(value, target, maximum, fleet)
        case Class.DEMAND:
            return by_demand(value, target, maximum, fleet) if value is not None else _NOTHING


_NOTHING = Wish(None, "Prometheus has no number")
_ADDRESS = re.compile(r"0x[0-9a-f]+")


def _steady(reason: str) -> str:
    """A cause without the addresses of Python's objects in it, which differ from try to try."""
    return _ADDRESS.sub("…", reason)[:256]


def _number(value: float | None) -> float:
    return value if value is not None else float("nan")


def _value(told: Told | None) -> float | None:
    return told.value if isinstance(told, Sample) else None
