"""Which transitions are told as events: the cause of the conditions, an update, the count, a revision rolled out."""

from collections.abc import Iterator
from typing import Literal

from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus, ServingStatus
from deepseek_operator.core.conditions import find, headline
from deepseek_operator.core.kind import Event
from deepseek_operator.domain.policy.canary import CLOSED, Phase
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.benched import told_of_bench
from deepseek_operator.kinds.serving.canary import told_count, told_share
from deepseek_operator.kinds.serving.grpc_status import GRPC_READY
from deepseek_operator.kinds.serving.rivals import SOLE_AUTOSCALER
from deepseek_operator.kinds.serving.rollback import ROLLED_BACK
from deepseek_operator.kinds.serving.route_status import CACHE_READY, KEY_READY, MODELS_READY, POLICY_READY, ROUTE_READY
from deepseek_operator.kinds.serving.stalls import fresh_stalls
from deepseek_operator.kinds.serving.update import UPDATE_AVAILABLE
from deepseek_operator.kinds.serving.verbs import PROMOTE
from deepseek_operator.workloads.batch.evicting import evictions
from deepseek_operator.workloads.withdrawn import HOST_ACCESS_WITHDRAWN

_WARNINGS = frozenset(
    reason.name
    for reason in (
        reasons.TRAINING_FAILED,
        reasons.NOT_EXPORTED,
        reasons.BASE_MISMATCH,
        reasons.WAITING_FOR_CLAIM,
        reasons.SOURCE_NOT_FOUND,
        reasons.SOURCE_REFUSED,
        reasons.SOURCE_NOT_ALLOWED,
        reasons.SOURCE_CORRUPT,
        reasons.SOURCE_UNAVAILABLE,
        reasons.CLAIM_FULL,
        reasons.FETCH_FAILED,
        reasons.CLAIM_NOT_SHARED,
        reasons.DOES_NOT_FIT,
        reasons.NEEDS_MULTIPLE_NODES,
        reasons.UNKNOWN_PROFILE,
        reasons.HOST_ACCESS_NOT_ALLOWED,
        reasons.UNSUPPORTED,
        reasons.WAITING_FOR_CAPACITY,
        reasons.WAITING_FOR_QUOTA,
        reasons.IMAGE_PULL_FAILED,
        reasons.ENGINE_FAILING,
        reasons.MODEL_NOT_FOUND,
        reasons.CONFIGURATION_MISSING,
        reasons.VOLUME_NOT_MOUNTED,
        reasons.INIT_CONTAINER_FAILED,
        reasons.METRICS_UNAVAILABLE,
        reasons.NAME_CONFLICT,
        reasons.AUTOSCALER_OFF,
        reasons.UNKNOWN_ZONE,
        reasons.ANOTHER_AUTOSCALER,
        reasons.KEDA_NOT_ENABLED,
        reasons.NO_AUTOSCALER,
        reasons.FORBIDDEN,
        reasons.REJECTED,
        reasons.UNKNOWN_REVISION,
        reasons.CANARY_HELD,
        reasons.CANARY_REJECTED,
        reasons.TOO_LARGE,
        reasons.INTERNAL_ERROR,
        reasons.WAITING_FOR_API,
        reasons.ROUTE_REFUSED,
        reasons.POLICY_REFUSED,
        reasons.POLICY_WITHOUT_EFFECT,
        reasons.GATE_NOT_ENABLED,
        reasons.MODEL_TAKEN,
        reasons.KEY_NOT_FOUND,
        reasons.KEY_WITHOUT_EFFECT,
    )
)
_NOTE_LENGTH = 1024


def events(before: ServingStatus, after: ServingStatus) -> tuple[Event, ...]:
    """One event per transition, in the order in which they are read."""
    return tuple(_transitions(before, after))


def _transitions(before: ServingStatus, after: ServingStatus) -> Iterator[Event]:
    was, is_now = headline(before.conditions), headline(after.conditions)
    if is_now is not None and (was is None or was.reason != is_now.reason):
        yield _told(is_now, "Reconcile")
    offered = find(after.conditions, UPDATE_AVAILABLE)
    if offered is not None and find(before.conditions, UPDATE_AVAILABLE) is None:
        yield Event("Normal", offered.reason, "Reconcile", offered.message[:_NOTE_LENGTH])
    yield from _promotion(before.canary, after.canary)
    yield from _canary(before.canary, after.canary)
    yield from _analysis(before.canary, after.canary)
    yield from _rollback(find(before.conditions, ROLLED_BACK), find(after.conditions, ROLLED_BACK))
    rival = find(after.conditions, SOLE_AUTOSCALER)
    if rival is not None and find(before.conditions, SOLE_AUTOSCALER) is None:
        yield _told(rival, "Scale")
    lost = find(after.conditions, HOST_ACCESS_WITHDRAWN)
    if lost is not None and find(before.conditions, HOST_ACCESS_WITHDRAWN) is None:
        yield Event("Warning", lost.reason, "Reconcile", lost.message[:_NOTE_LENGTH])
    for type_ in (ROUTE_READY, POLICY_READY, MODELS_READY, CACHE_READY, KEY_READY, GRPC_READY):
        found, old = find(after.conditions, type_), find(before.conditions, type_)
        if found is not None and found.status != "Unknown" and (old is None or old.reason != found.reason):
            yield _told(found, "Route")
    yield from evictions(before.sources, after.sources)
    for stall in fresh_stalls(before.watchdog, after.watchdog):
        yield Event("Warning", "EngineStalled", "Watch", f"{stall.pod} was restarted: {stall.message}"[:_NOTE_LENGTH])
    if after.bench is not None and (before.bench is None or before.bench.at != after.bench.at):
        yield Event("Normal", "Benched", "Bench", told_of_bench(after.bench)[:_NOTE_LENGTH])
    if after.running_replicas is not None and before.running_replicas != after.running_replicas:
        count = f"from {before.running_replicas} " if before.running_replicas is not None else ""
        yield Event("Normal", "ReplicasSet", "Scale", f"{count}to {told_count(after.running_replicas)}")
    if after.stable and before.stable != after.stable:
        yield Event("Normal", "RolledOut", "RollOut", f"revision {after.stable} is fully rolled out")


def _rollback(was: Condition | None, is_now: Condition | None) -> Iterator[Event]:
    """What became of the annotation for a rollback, and that the spec is followed again."""
    if is_now is not None and (was is None or was.reason != is_now.reason):
        yield _told(is_now, "RollBack")
    if was is not None and was.status == "True" and is_now is None:
        yield Event("Normal", "RollbackEnded", "RollBack", "the revision that the spec asks for is followed again")


def _told(condition: Condition, action: str) -> Event:
    type_: Literal["Normal", "Warning"] = "Warning" if condition.reason in _WARNINGS else "Normal"
    return Event(type_, condition.reason, action, condition.message[:_NOTE_LENGTH])


def _analysis(was: CanaryStatus | None, is_now: CanaryStatus | None) -> Iterator[Event]:
    """Each failed judgement of a step with its numbers, and when it begins to pass or to say nothing."""
    told = is_now.analysis if is_now is not None else None
    if is_now is None or told is None:
        return
    same = was is not None and (was.run, was.step) == (is_now.run, is_now.step)
    known = was.analysis if was is not None and same else None
    note = f"run {is_now.run}, step {is_now.step}: {told.deciding}"[:_NOTE_LENGTH]
    if told.failures > (known.failures if known is not None else 0):
        yield Event("Warning", "AnalysisFailed", "Analyse", note)
    elif told.verdict != (known.verdict if known is not None else "") and told.verdict != "Fail":
        type_: Literal["Normal", "Warning"] = "Normal" if told.verdict == "Pass" else "Warning"
        yield Event(type_, f"Analysis{'Passed' if told.verdict == 'Pass' else told.verdict}", "Analyse", note)


def _promotion(was: CanaryStatus | None, is_now: CanaryStatus | None) -> Iterator[Event]:
    """That somebody promoted a step. Who it was, the API server's audit log alone knows."""
    if was is None or is_now is None or was.run != is_now.run or is_now.promoted in ("", was.promoted):
        return
    asked = f"that was asked for by annotation {PROMOTE}={is_now.promoted}"
    yield _tells("CanaryPromoteAsked", f"run {is_now.run}: step {was.step} of revision {was.target} is over, {asked}")


def _canary(was: CanaryStatus | None, is_now: CanaryStatus | None) -> Iterator[Event]:
    """The story of a run: it began, each step, how it ended."""
    if is_now is None or (
        was is not None and (was.run, was.step, was.phase) == (is_now.run, is_now.step, is_now.phase)
    ):
        if was is not None and is_now is None and was.phase not in CLOSED:
            yield _tells("CanarySuperseded", f"run {was.run} ends: the spec asks for {was.stable} again")
        return
    begins = was is None or was.run != is_now.run
    if was is not None and begins and was.phase not in CLOSED:
        yield _tells(
            "CanarySuperseded", f"run {was.run} of revision {was.target} ends: the spec asks for {is_now.target}"
        )
    share = told_share(is_now.weight, is_now.replicas)
    if begins:
        yield _tells("CanaryStarted", f"run {is_now.run}: revision {is_now.target} is tried beside {is_now.stable}")
    if begins or (was is not None and was.step != is_now.step):
        yield _tells("CanaryStep", f"run {is_now.run}: step {is_now.step} of {is_now.steps} at {share}")
    if is_now.phase == Phase.COMPLETED:
        yield _tells("CanaryPromoted", f"run {is_now.run}: revision {is_now.target} takes the place of {is_now.stable}")
    if is_now.phase == Phase.ROLLED_BACK:
        note = f"run {is_now.run}: back to revision {is_now.stable}, since {is_now.target} was rolled back: {is_now.message}"
        yield Event("Warning", "CanaryRolledBack", "Canary", note[:_NOTE_LENGTH])


def _tells(reason: str, note: str) -> Event:
    return Event("Normal", reason, "Canary", note[:_NOTE_LENGTH])
