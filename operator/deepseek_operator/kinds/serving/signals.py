"""What is asked of the metrics store, and the replicas that the answers want.

Two numbers: requests in flight, and how many replicas report them. The second guards the first: an absent series is
a replica that does not report, never one without load, and a sum over fewer replicas than serve is only a lower
bound. An expression yields nothing at all (never zero) when no replica reports.
"""

from collections.abc import Mapping

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.scaling import ScalingSignal
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Sample, Signal
from deepseek_operator.domain.policy.scaling import Load, replicas_for
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal as Metric

IN_FLIGHT = "in_flight"
REPORTING = "replicas_reporting"


def queries(owner: DeepSeekServing, configuration: Configuration) -> tuple[tuple[str, str], ...]:
    """Signal names and PromQL expressions, each of one number; none without autoscaling."""
    if owner.spec.autoscaling is None:
        return ()
    engine = owner.spec.engine
    names = ENGINES[engine.type].metric_names(engine.version)
    running, waiting = series(owner, names[Metric.RUNNING]), series(owner, names[Metric.WAITING])
    return (IN_FLIGHT, f"sum({running}) + sum({waiting})"), (REPORTING, f"count(count by (pod) ({running}))")


def series(owner: DeepSeekServing, name: str, **labels: str) -> str:
    """The series of that name that pods of this serving tell, as PromQL selects them; the name may bring labels of its own."""
    metric, _, own = name.removesuffix("}").partition("{")
    which = {"namespace": owner.metadata.namespace, "deepseek_serving": owner.metadata.name, **labels}
    matchers = ",".join(f"{label}={_quoted(value)}" for label, value in which.items())
    return f"{metric}{{{own},{matchers}}}" if own else f"{metric}{{{matchers}}}"


def _quoted(value: str) -> str:
    """A PromQL string literal. Names are DNS labels, but a query must not depend on who has checked that."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def wanted(owner: DeepSeekServing, samples: Mapping[str, Signal]) -> int | None:
    """Replicas that the load wants, in [1, maxReplicas].

    None when the samples do not say: the autoscaler then holds, and never takes a replica away for want of data.
    """
    autoscaling = owner.spec.autoscaling
    if autoscaling is None:
        return None
    wishes = [_wish(owner, signal, autoscaling.max_replicas, samples) for signal in autoscaling.signals]
    known = [wish for wish in wishes if wish is not None]
    return max(known) if known and len(known) == len(wishes) else None


def _wish(owner: DeepSeekServing, signal: ScalingSignal, maximum: int, samples: Mapping[str, Signal]) -> int | None:
    in_flight, reporting = samples.get(IN_FLIGHT), samples.get(REPORTING)
    if not isinstance(in_flight, Sample) or not isinstance(reporting, Sample):
        return None
    serving, running = owner.status.ready_replicas, owner.status.running_replicas or 0
    load = Load(in_flight.value, reporting.value)
    return replicas_for(load, signal.target, maximum, serving=serving, running=running)
