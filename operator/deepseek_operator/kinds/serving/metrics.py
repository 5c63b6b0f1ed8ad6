"""What the operator tells a metrics store of servings, from their statuses.

Requests, tokens and latencies are the engines' own, scraped from the replicas; these are how many replicas there are, what
the autoscaler makes of the load, and where a rollout stands.
"""

from collections.abc import Callable, Iterable

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.scaling import SignalStatus
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus, RevisionStatus, ScalingStatus, ServingStatus
from deepseek_operator.core.metrics import Metric, Number, Read, Row, moment, number, observed, read_off

PREFIX = "deepseek_operator_serving_"


def _info(owner: DeepSeekServing) -> Iterable[Row]:
    yield (owner.spec.model.name or "", owner.spec.engine.type), 1.0


def _running(read: Callable[[RevisionStatus], float]) -> Callable[[DeepSeekServing], Iterable[Row]]:
    """A row for the revision that is wanted and for each other that still runs."""

    def rows(owner: DeepSeekServing) -> Iterable[Row]:
        status = owner.status
        found = (*((status.current,) if status.current is not None else ()), *status.previous)
        return (((revision.name,), read(revision)) for revision in found)

    return rows


def _kept(owner: DeepSeekServing) -> Iterable[Row]:
    released = owner.status.stable
    for revision in owner.status.revisions:
        yield (revision.name, revision.model, "true" if revision.name == released else "false"), 1.0


def _weights(owner: DeepSeekServing) -> Iterable[Row]:
    told = ((revision.name, revision.weight) for revision in owner.status.revisions)
    return (((name,), weight / 100) for name, weight in told if weight is not None)


def _claim(owner: DeepSeekServing) -> Iterable[Row]:
    resolved = owner.status.resolved
    names = {resolved.claim_name, *(one.claim_name for one in resolved.adapters or ())} if resolved is not None else ()
    return (((name,), 1.0) for name in sorted(names))


def _adapters(owner: DeepSeekServing) -> Iterable[Row]:
    resolved = owner.status.resolved
    adapters = (resolved.adapters or ()) if resolved is not None else ()
    return (((one.name, one.kind, one.training or ""), 1.0) for one in adapters)


def _run(owner: DeepSeekServing) -> Iterable[Row]:
    run = owner.status.canary
    return (((run.phase, run.target, run.stable), 1.0),) if run is not None else ()


def _exams(owner: DeepSeekServing) -> Iterable[Row]:
    run = owner.status.canary
    for exam in run.exams if run is not None else ():
        role = "released" if run is not None and exam.revision == run.stable else "tried"
        yield from (((exam.revision, exam.data, role), value) for _, value in number(exam.accuracy))


def _judged(owner: DeepSeekServing) -> Iterable[Row]:
    run = owner.status.canary
    analysis = run.analysis if run is not None else None
    for told in analysis.metrics if analysis is not None else ():
        yield from (((told.name,), value) for _, value in number(told.value))


def _signals(read: Callable[[SignalStatus], Number]) -> Callable[[DeepSeekServing], Iterable[Row]]:
    """A row for each signal of which that is known."""

    def rows(owner: DeepSeekServing) -> Iterable[Row]:
        scaling = owner.status.autoscaling
        for signal in scaling.signals if scaling is not None else ():
            yield from (((signal.type,), value) for _, value in number(read(signal)))

    return rows


def _sleep(owner: DeepSeekServing) -> Iterable[Row]:
    sleep = owner.status.sleep
    return (((sleep.phase,), 1.0),) if sleep is not None else ()


_owner: Read[DeepSeekServing] = read_off(PREFIX, lambda owner: owner)
_status: Read[ServingStatus] = read_off(PREFIX, lambda owner: owner.status)
_canary: Read[CanaryStatus] = read_off(PREFIX, lambda owner: owner.status.canary)
_scaler: Read[ScalingStatus] = read_off(PREFIX, lambda owner: owner.status.autoscaling)

METRICS: tuple[Metric, ...] = (
    Metric(
        f"{PREFIX}info",
        "1, with the model and the engine; model is empty where none is named.",
        _info,
        ("model", "engine"),
    ),
    *observed(PREFIX),
    _owner(
        "replicas_wanted", "spec.replicas, which an autoscaler writes where there is one.", lambda o: o.spec.replicas
    ),
    _status("replicas", "Replicas made for spec.replicas, without a rollout's surplus.", lambda at: at.replicas),
    _status("replicas_ready", "Replicas that answer.", lambda at: at.ready_replicas),
    _status(
        "stalls_total",
        "Replicas that engine.watchdog restarted because they had work and made no tokens.",
        lambda at: at.watchdog.restarts if at.watchdog is not None else None,
    ),
    Metric(
        f"{PREFIX}revision_replicas",
        "Pods of each revision that runs.",
        _running(lambda revision: float(revision.replicas)),
        ("revision",),
    ),
    Metric(
        f"{PREFIX}revision_replicas_ready",
        "Those of them that answer.",
        _running(lambda revision: float(revision.ready)),
        ("revision",),
    ),
    Metric(
        f"{PREFIX}revision_replicas_loading",
        "Those of them that do not answer yet, or no longer.",
        _running(lambda revision: float(max(0, revision.replicas - revision.ready))),
        ("revision",),
    ),
    Metric(
        f"{PREFIX}revision_info",
        "1 for each kept revision, with what it serves, and whether it was the last to be fully rolled out.",
        _kept,
        ("revision", "model", "released"),
    ),
    Metric(
        f"{PREFIX}revision_weight_ratio",
        "Each kept revision's part of the requests by the gateway, 0 to 1.",
        _weights,
        ("revision",),
    ),
    Metric(f"{PREFIX}claim_info", "1 for each claim that is mounted.", _claim, ("persistentvolumeclaim",)),
    Metric(
        f"{PREFIX}adapter_info",
        "1 for each adapter, with the training that it came from.",
        _adapters,
        ("adapter", "kind", "training"),
    ),
    Metric(
        f"{PREFIX}canary_phase",
        "1 under the phase of the canary run, or of the last one: target is the revision that is tried, stable the one that it is beside.",
        _run,
        ("phase", "target", "stable"),
    ),
    _canary(
        "canary_phase_timestamp_seconds",
        "When that phase began, seconds since 1970.",
        lambda run: moment(run.entered_at),
    ),
    _canary("canary_step", "Its step, from 1.", lambda run: run.step),
    _canary("canary_steps", "Its steps in all.", lambda run: run.steps),
    _canary(
        "canary_weight_ratio",
        "Part of the requests that its step has, 0 to 1.",
        lambda run: run.weight / 100 if run.weight is not None else None,
    ),
    _canary(
        "canary_failed_judgements",
        "Failed judgements of its step until now.",
        lambda run: run.analysis.failures if run.analysis is not None else None,
    ),
    Metric(
        f"{PREFIX}canary_measured",
        "What each metric of the step's analysis came to last, in its own unit.",
        _judged,
        ("measure",),
    ),
    Metric(
        f"{PREFIX}exam_accuracy_ratio",
        "Share of right answers in an exam of the canary's step, 0 to 1; role: tried, or released for what it is beside.",
        _exams,
        ("revision", "data", "role"),
    ),
    _scaler(
        "replicas_minimum",
        "Never fewer replicas now, by autoscaling and its schedules; none while it sleeps or is suspended.",
        lambda scaler: scaler.floor,
    ),
    _scaler(
        "replicas_maximum",
        "Never more replicas now, by autoscaling and its schedules; none while it sleeps or is suspended.",
        lambda scaler: scaler.ceiling,
    ),
    _scaler(
        "autoscaler_active",
        "1 while the autoscaler gets its numbers; 0: it sees nothing, and what runs is held.",
        lambda scaler: float(scaler.active),
    ),
    _scaler("autoscaler_replicas_wanted", "Replicas that the autoscaler wants.", lambda scaler: scaler.desired),
    Metric(
        f"{PREFIX}signal_value",
        "What each signal of the autoscaler came to, in the unit of its target, when its wish last changed.",
        _signals(lambda signal: signal.value),
        ("signal",),
    ),
    Metric(f"{PREFIX}signal_target", "What is aimed at.", _signals(lambda signal: signal.target), ("signal",)),
    Metric(
        f"{PREFIX}signal_replicas_wanted",
        "Replicas that each signal wants; none where it does not say.",
        _signals(lambda signal: signal.wanted),
        ("signal",),
    ),
    Metric(
        f"{PREFIX}signal_holds",
        "1 while a signal does not say how many it wants, and what runs is kept; else 0.",
        _signals(lambda signal: float(signal.wanted is None)),
        ("signal",),
    ),
    Metric(f"{PREFIX}sleep_phase", "1 under the present phase between one replica and none.", _sleep, ("phase",)),
    _status(
        "sleep_phase_timestamp_seconds",
        "When that phase began, seconds since 1970.",
        lambda at: moment(at.sleep.since) if at.sleep is not None else None,
    ),
)
