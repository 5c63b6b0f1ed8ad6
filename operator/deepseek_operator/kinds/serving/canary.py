"""The canary run of a serving: from its record to what it depends on, and back, and what is told of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import Analysis, AnalysisStatus, ExamStatus
from deepseek_operator.api.v1alpha1.serving.rollout import Canary, HeaderMatch
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus, ComparedRevision, ComparisonStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.canary import Analysed, Facts, Phase, Run, Step, Steps
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.revision import template_of
from deepseek_operator.kinds.serving.rollback import rolled_back
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK, verb

PLAN_DRIFT = "PlanDrift"
JUDGED = (Phase.BAKING, Phase.HELD)
"""Phases in which a step is judged."""
COMPLETE = "Complete"
"""Phase of an exam that has its mark."""


def recorded(
    run: Run | None,
    owner: DeepSeekServing,
    judged: AnalysisStatus | None = None,
    examined: Sequence[ExamStatus] | None = None,
    compared: ComparisonStatus | None = None,
) -> CanaryStatus | None:
    """The run as the status has it. `judged`, `examined`: its step's analysis and exams, of one that is judged now;
    `compared`: what came of a comparison that is over now."""
    if run is None:
        return None
    before, canary = owner.status.canary, owner.spec.rollout.canary
    same = before is not None and (before.run, before.step) == (run.number, run.index + 1)
    kept = before.analysis if same and before is not None else None
    begun = before is not None and before.run == run.number
    pinned = before.pinned if begun and before is not None else _pinned(canary)
    return CanaryStatus(
        run=run.number,
        phase=run.phase.value,
        step=run.index + 1,
        steps=len(run.steps.steps),
        weight=run.step.weight or None,
        replicas=run.step.replicas or None,
        stable=run.stable,
        target=run.target,
        entered_at=rfc3339(run.entered_at),
        message=run.why,
        analysis=(judged if same and judged is not None else kept),
        exams=_exams(run, before.exams if examined is None else examined) if same and before is not None else [],
        began_at=rfc3339(run.began_at) if run.began_at is not None else None,
        comparison=_comparison(run, before if begun else None, compared),
        promoted=run.promoted,
        pinned=pinned,
    )


def _comparison(run: Run, before: CanaryStatus | None, compared: ComparisonStatus | None) -> ComparisonStatus | None:
    """Made as the run gets to be compared, and kept from then on."""
    kept = before.comparison if before is not None else None
    return compared if kept is None and run.phase is Phase.COMPARED else kept


def _exams(run: Run, known: Sequence[ExamStatus]) -> list[ExamStatus]:
    """Those of the step: marks stay until it is over, what goes on or failed only as long as it is judged."""
    return [exam for exam in known if exam.phase == COMPLETE or run.phase in JUDGED]


def _pinned(canary: Canary | None) -> str:
    """Not in ASCII alone: the longest one, with its queries, must be within the status' bound in any script."""
    if canary is None:
        return ""
    return json.dumps(canary.to_wire(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def run_of(status: CanaryStatus | None) -> Run | None:
    """The run that is recorded; None where there is none, or what is there can't be one."""
    if status is None:
        return None
    entered = parse_time(status.entered_at)
    try:
        steps = steps_of(read(status.pinned))
        phase = Phase(status.phase)
    except ValueError:
        return None
    if entered is None or not 1 <= status.step <= len(steps.steps) or status.target == status.stable:
        return None
    at = status.step - 1
    began = parse_time(status.began_at)
    return Run(
        status.run, status.stable, status.target, steps, phase, at, entered, status.promoted, status.message, began
    )


def analysis_of(status: CanaryStatus) -> Analysis | None:
    """By what the step is judged at which the recorded run is, which `run_of` has found; None where by nothing."""
    return read(status.pinned).steps[status.step - 1].analysis


@lru_cache(maxsize=64)
def read(pinned: str) -> Canary:
    """`rollout.canary` as a run has pinned it, in JSON. Raises ValueError: it is none.

    Up to 92 kB, which each pass wants several times, its needs and its decision apart: parsed once for the runs that go on.
    """
    return Canary.model_validate_json(pinned)


def header_of(status: CanaryStatus | None, run: Run | None) -> HeaderMatch | None:
    """The header by which requests are told apart in `run`; None without, or while another run is recorded."""
    if status is None or run is None or status.run != run.number:
        return None
    match = read(status.pinned).match
    return match.header if match is not None else None


def steps_of(canary: Canary) -> Steps:
    """What a run goes by. A percentage of the requests is the weight of every step."""
    percent = canary.match.percent if canary.match is not None else None
    steps = (
        Step(step.replicas or 0, percent or step.weight or 0, timedelta(seconds=step.bake_seconds), step.pause)
        for step in canary.steps
    )
    stall = timedelta(seconds=canary.stall_seconds)
    return Steps(tuple(steps), canary.on_inconclusive == "Rollback", stall, compares=canary.match is not None)


def facts(
    seen: Seen[DeepSeekServing],
    asked: str,
    startable: bool,
    wanted: int,
    running: Mapping[str, Replicas],
    run: Run | None,
    analysed: Analysed | None = None,
    unrouted: str = "",
    compared: bool = False,
) -> Facts:
    """What a run depends on. `startable`: nothing stands in the way of the revision that is asked for. `run`: as recorded."""
    owner = seen.owner
    canary = owner.spec.rollout.canary if owner.spec.rollout.strategy == "RollingUpdate" else None
    stable = owner.status.stable or _served_before(owner, asked, running)
    begun = run.stable if run is not None and run.is_open else stable
    back, promote, pause = (verb(owner, name) for name in (ROLLBACK, PROMOTE, PAUSE))
    is_new = back is not None and back.token != owner.status.spent_rollback
    return Facts(
        asked=asked if startable else "",
        stable=stable,
        is_kept=bool(begun) and template_of(seen, begun) is not None,
        steps=steps_of(canary) if canary is not None else None,
        wanted=wanted,
        running=running,
        at=whole_second(seen.now),
        instead=rolled_back(seen, asked),
        aborted=back.revision if back is not None and is_new else "",
        promote=(promote.revision, promote.token) if promote is not None else ("", ""),
        paused=pause.revision if pause is not None else "",
        analysed=analysed,
        unrouted=unrouted,
        compared=compared,
    )


def whole_second(moment: datetime) -> datetime:
    """As it is recorded."""
    return moment.replace(microsecond=0)


def _served_before(owner: DeepSeekServing, asked: str, running: Mapping[str, Replicas]) -> str:
    """What is taken for stable where the whole status is gone: of the revisions that serve, the one that most replicas
    do. A serving that was never observed has none."""
    if owner.status.observed_generation >= 0:
        return ""
    serving = {name: replicas.serving for name, replicas in running.items() if name != asked and replicas.serving}
    return max(serving, key=lambda name: serving[name], default="")


def has_drifted(owner: DeepSeekServing) -> bool:
    """The spec's canary is not the one that the recorded run goes by."""
    status = owner.status.canary
    return status is not None and status.pinned != _pinned(owner.spec.rollout.canary)


def is_rejected(run: Run | None, asked: str) -> bool:
    """The spec asks for a revision that was rolled back, and gets the stable one."""
    return run is not None and run.phase is Phase.ROLLED_BACK and run.target == asked


def drift(owner: DeepSeekServing, run: Run | None) -> tuple[Verdict, ...]:
    """The condition that a run goes on by other steps than the spec has now."""
    if run is None or not run.is_open or not has_drifted(owner):
        return ()
    message = (
        f"canary run {run.number} goes on by the {len(run.steps.steps)} steps that it began with: rollout.canary is for the "
        f"next one. {reasons.CANARY_EDITED.advice}"
    )
    return (Verdict(PLAN_DRIFT, "True", reasons.CANARY_EDITED.name, message),)


def movement(
    owner: DeepSeekServing,
    run: Run,
    wanted: int,
    running: Mapping[str, Replicas],
    unrouted: str = "",
    compared: ComparisonStatus | None = None,
) -> tuple[Reason, str]:
    """Where an open run is, as the reason and the sentence of a condition. `unrouted`: as `Facts` has it. `compared`: what
    came of a comparison that is over now."""
    current, capacity = running.get(run.target), run.step.capacity(wanted)
    ready = current.serving if current is not None else 0
    at = f"{told_step(run)}: {ready} of {capacity} replicas of {run.target} serve beside {run.stable}"
    meta = owner.metadata
    annotate = f"kubectl annotate dss {meta.name} -n {meta.namespace} --overwrite"
    go_on = f"{annotate} {PROMOTE}={run.target}/{run.index + 1}"
    pause = verb(owner, PAUSE)
    if pause is not None and pause.revision == run.target and run.phase in (Phase.PREPARING, Phase.BAKING):
        return (
            reasons.CANARY_PAUSED,
            f"{at}; it is kept at its step by annotation{_judged(owner)}. To go on: {annotate} {PAUSE}-",
        )
    match run.phase:
        case Phase.PAUSED:
            return reasons.CANARY_PAUSED, f"{at}; it waits for a person. To go on: {go_on}"
        case Phase.HELD:
            back = f"{annotate} {ROLLBACK}={run.stable}"
            return reasons.CANARY_HELD, f"{at}; it is held: {run.why}. To go on: {go_on}; to go back: {back}"
        case Phase.COMPARING:
            return reasons.CANARY, f"{at}; its steps are over, and both are compared"
        case Phase.COMPARED:
            back = f"{annotate} {ROLLBACK}={run.stable}"
            told = f"canary run {run.number} is over, and {run.stable} serves alone: {told_comparison(compared or _known(owner))}"
            return reasons.CANARY_COMPARED, f"{told}. To promote {run.target}: {go_on}; to reject it: {back}"
        case Phase.BAKING:
            until = rfc3339(run.entered_at + run.step.bake)
            return reasons.CANARY, f"{at}; it bakes until {until}{_judged(owner)}"
        case Phase.PREPARING if unrouted and ready >= capacity:
            return reasons.CANARY, f"{at}; it bakes as soon as requests come so: {unrouted} yet"
    return reasons.CANARY, at


def _known(owner: DeepSeekServing) -> ComparisonStatus | None:
    return owner.status.canary.comparison if owner.status.canary is not None else None


def told_comparison(table: ComparisonStatus | None) -> str:
    """The comparison in a sentence: each revision with what is known of it."""
    if table is None:
        return "nothing is known of it"
    told = "; ".join(f"{one.revision}: {', '.join(_numbers(one)) or 'no numbers'}" for one in table.revisions)
    return f"{told} ({table.message})" if table.message else told


def _numbers(one: ComparedRevision) -> Iterator[str]:
    if one.requests is not None:
        yield f"{one.requests} requests"
    for words, value in (
        ("errors", one.error_rate),
        ("P50", one.latency_p50 and f"{one.latency_p50} s"),
        ("P99", one.latency_p99 and f"{one.latency_p99} s"),
        ("first token P50", one.first_token_p50 and f"{one.first_token_p50} s"),
        ("first token P99", one.first_token_p99 and f"{one.first_token_p99} s"),
        ("accuracy", one.accuracy),
    ):
        if value is not None:
            yield f"{words} {value}"


def _judged(owner: DeepSeekServing) -> str:
    """The last judgement of the step in a sentence; empty before there is one."""
    told = owner.status.canary.analysis if owner.status.canary is not None else None
    return f"; {told.verdict}: {told.deciding}" if told is not None else ""


def told_step(run: Run) -> str:
    """`canary run 3, step 2 of 3 at 50 %`."""
    share = told_share(run.step.weight, run.step.replicas)
    return f"canary run {run.number}, step {run.index + 1} of {len(run.steps.steps)} at {share}"


def told_share(weight: int | None, replicas: int | None) -> str:
    """`50 % or 2 replicas`: what a step has of both."""
    return " or ".join([*([f"{weight} %"] if weight else []), *([told_count(replicas)] if replicas else [])])


def told_count(replicas: int) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{replicas} replica" if replicas == 1 else f"{replicas} replicas"
