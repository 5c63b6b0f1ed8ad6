"""Where a canary run stands, and how many replicas each revision may have meanwhile: a pure state machine.

    Idle → Preparing → Baking → the next step, or Paused → … → Completed | RolledBack
                ↘ Held, where nothing can be concluded, until it can or a person decides
    of a comparison: … the last step → Comparing → Compared, and a person decides → Completed | RolledBack

Every position is recorded before it is used. The steps are those that the run began with; another target ends it, and the
stable revision stays the one that it began with. The stable revision keeps all its replicas until the last step is over:
the target's come on top.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

from deepseek_operator.domain.policy.analysis import Outcome
from deepseek_operator.domain.policy.rollout import NONE, Replicas, next_step


class Phase(StrEnum):
    """What a run does now."""

    PREPARING = "Preparing"
    BAKING = "Baking"
    PAUSED = "Paused"
    HELD = "Held"
    SUSPENDED = "Suspended"
    COMPARING = "Comparing"
    COMPARED = "Compared"
    COMPLETED = "Completed"
    ROLLED_BACK = "RolledBack"


CLOSED = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK})
"""How a run ends."""

COMPARISON = timedelta(seconds=120)
"""How long the numbers of a comparison are waited for: a store answers two queries at a time, each within ten seconds."""


@dataclass(frozen=True)
class Step:
    """One step: so many replicas, or that percentage of the wanted ones, whichever is more; then it bakes."""

    replicas: int
    weight: int
    bake: timedelta
    pause: bool

    def capacity(self, wanted: int) -> int:
        """Replicas of the target at this step, at least one and at most as many as are wanted; none where none is."""
        return min(wanted, max(1, self.replicas, ceil(wanted * self.weight / 100)))


@dataclass(frozen=True)
class Steps:
    """What a run goes by, from its beginning to its end.

    Attributes:
        rolls_back: what becomes of a run of which nothing can be concluded: it is rolled back, or else held.
        stall: how long a step may take until the target serves, and gets requests, as it says, before that is so.
        compares: the last step is followed by a comparison, and no promotion but a person's.
    """

    steps: tuple[Step, ...]
    rolls_back: bool
    stall: timedelta
    compares: bool = False


@dataclass(frozen=True)
class Run:
    """One canary run, as it is recorded.

    Attributes:
        number: counts the runs of this serving.
        stable: what served when it began, and serves on.
        target: the revision that is tried.
        index: of the step, from 0.
        entered_at: when the phase began.
        promoted: the last wish to promote that was carried out.
        why: of Held and RolledBack, as a sentence.
        began_at: when the target first had the replicas of a step; None before.
    """

    number: int
    stable: str
    target: str
    steps: Steps
    phase: Phase
    index: int
    entered_at: datetime
    promoted: str = ""
    why: str = ""
    began_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """True until it is completed or rolled back."""
        return self.phase not in CLOSED

    @property
    def step(self) -> Step:
        """The step that it is at, or ended at."""
        return self.steps.steps[self.index]


@dataclass(frozen=True)
class Analysed:
    """What the analysis of the present step has come to.

    Attributes:
        outcome: of the last judgement; None before the first.
        is_over: it has failed as often as ends the step.
        told: the numbers that decided it, for people.
        is_examined: an exam goes on, whose mark is waited for as long as for replicas.
    """

    outcome: Outcome | None = None
    is_over: bool = False
    told: str = ""
    is_examined: bool = False


@dataclass(frozen=True)
class Facts:
    """What a run depends on now.

    Attributes:
        asked: the revision that the spec asks for; empty while that is not known or can't start.
        stable: the one that was fully rolled out last; empty before the first.
        is_kept: the stable one can be made again.
        steps: of the spec; None without a canary.
        wanted: replicas that shall serve; 0 while suspended.
        running: what runs, by revision, oldest first.
        at: now.
        instead: the revision that an annotation runs in place of the spec's; None without.
        aborted: a revision that an annotation says to go back from; empty without.
        promote: the revision of a wish to promote, and the wish; empty without.
        paused: the revision that an annotation keeps at its step.
        analysed: what the analysis of the step says; None of a step that has none.
        unrouted: why requests do not come yet as the step says, although its replicas serve; empty once they do.
        compared: all that a comparison asked was answered.
    """

    asked: str
    stable: str
    is_kept: bool
    steps: Steps | None
    wanted: int
    running: Mapping[str, Replicas]
    at: datetime
    instead: str | None = None
    aborted: str = ""
    promote: tuple[str, str] = ("", "")
    paused: str = ""
    analysed: Analysed | None = None
    unrouted: str = ""
    compared: bool = False


def advance(run: Run | None, now: Facts) -> Run | None:
    """The run as it is to be recorded: the same one where nothing has changed; None: there is none.

    A closed one stays while the spec asks for its target: a target that was rolled back is not tried again.
    """
    if run is None or not run.is_open:
        return _begun(run, now)
    if now.instead is not None:
        return _undone(run, now.instead, now)
    if now.aborted == run.target:
        return _entered(run, Phase.ROLLED_BACK, now, "that was asked for by annotation")
    if now.asked and now.asked != run.target:
        return _begun(run, now)
    if now.wanted == 0 and run.phase not in (Phase.COMPARING, Phase.COMPARED):
        return run if run.phase is Phase.SUSPENDED else _entered(run, Phase.SUSPENDED, now)
    if not now.is_kept:
        return _entered(run, Phase.COMPLETED, now, f"nothing is left of revision {run.stable}")
    is_promoted = now.promote[0] == run.target and now.promote[1] != run.promoted
    if is_promoted and run.phase is not Phase.COMPARING:
        return _next(replace(run, promoted=now.promote[1]), now)
    if run.entered_at > now.at:
        return replace(run, entered_at=now.at)  # A clock went back.
    return _onward(run, now)


def _begun(last: Run | None, now: Facts) -> Run | None:
    """A new run where one is due; the last one while it is about what the spec asks for."""
    if not now.asked:
        return last
    if last is not None and last.target == now.asked:
        undone = last.phase is Phase.COMPLETED and now.instead is not None
        return _undone(last, str(now.instead), now) if undone else last
    if now.instead is not None:
        return last
    stable = last.stable if last is not None and last.is_open else now.stable
    if now.steps is None or not stable or now.asked == stable or not now.is_kept or now.wanted == 0:
        return None
    number = last.number + 1 if last is not None else 1
    return Run(number, stable, now.asked, now.steps, Phase.PREPARING, 0, now.at, promoted=now.promote[1])


def _onward(run: Run, now: Facts) -> Run:
    current, capacity = now.running.get(run.target, NONE), run.step.capacity(now.wanted)
    elapsed, is_full = now.at - run.entered_at, current.serving >= capacity
    analysed = now.analysed
    match run.phase:
        case Phase.BAKING | Phase.HELD if analysed is not None and analysed.is_over:
            return _entered(run, Phase.ROLLED_BACK, now, analysed.told)
        case Phase.HELD if analysed is not None and analysed.outcome is Outcome.INCONCLUSIVE:
            return run  # Until there are numbers; then it bakes again.
        case Phase.SUSPENDED:
            return _entered(run, Phase.PREPARING, now)
        case Phase.COMPARING if now.compared or elapsed >= COMPARISON:
            return _entered(run, Phase.COMPARED, now)
        case Phase.PREPARING | Phase.HELD if is_full and not now.unrouted:
            return _entered(run, Phase.BAKING, now)
        case Phase.PREPARING if elapsed >= run.steps.stall:
            after = f"after {int(run.steps.stall.total_seconds())} s"
            short = f"{current.serving} of its {capacity} replicas serve"
            return _inconclusive(run, f"{now.unrouted if is_full else short} {after}", now)
        case Phase.BAKING | Phase.PAUSED if current.serving == 0:
            return _entered(run, Phase.PREPARING, now)
        case Phase.BAKING if elapsed >= run.step.bake and now.paused != run.target:
            return _judged(run, elapsed, now)
    return run


def _judged(run: Run, elapsed: timedelta, now: Facts) -> Run:
    """A step that has baked for its time: only a judgement that passed lets it go on, where there are any."""
    of = now.analysed
    if of is None or of.outcome is Outcome.PASS:
        return _done(run, now)
    is_late = elapsed >= run.step.bake + run.steps.stall
    if of.outcome is Outcome.INCONCLUSIVE and (is_late or not (run.steps.rolls_back or of.is_examined)):
        return _inconclusive(run, of.told, now)
    return run


def _done(run: Run, now: Facts) -> Run:
    return _entered(run, Phase.PAUSED, now) if run.step.pause else _next(run, now)


def _next(run: Run, now: Facts) -> Run:
    if run.index + 1 == len(run.steps.steps):
        is_asked = run.steps.compares and run.phase is not Phase.COMPARED
        return _entered(run, Phase.COMPARING if is_asked else Phase.COMPLETED, now)
    return _entered(replace(run, index=run.index + 1), Phase.PREPARING, now)


def _inconclusive(run: Run, why: str, now: Facts) -> Run:
    if run.steps.rolls_back:
        return _entered(run, Phase.ROLLED_BACK, now, why)
    return _entered(run, Phase.HELD, now, why)


def _undone(run: Run, instead: str, now: Facts) -> Run:
    """Rolled back to the revision that a person named: it is what serves from now on, annotation or not."""
    why = f"revision {instead} was asked for by annotation"
    return _entered(replace(run, stable=instead), Phase.ROLLED_BACK, now, why)


def _entered(run: Run, phase: Phase, now: Facts, why: str = "") -> Run:
    began_at = now.at if phase is Phase.BAKING and run.began_at is None else run.began_at
    return replace(run, phase=phase, entered_at=now.at, why=why, began_at=began_at)


def waits(run: Run, now: datetime) -> timedelta | None:
    """Time until the run must be looked at although nothing happens; None where only something that happens moves it."""
    match run.phase:
        case Phase.PREPARING:
            limit = run.steps.stall
        case Phase.BAKING:
            limit = run.step.bake
        case Phase.COMPARING:
            limit = COMPARISON
        case _:
            return None
    left = run.entered_at + limit - now
    return left if left > timedelta(0) else None


def replicas_of(run: Run, wanted: int, running: Mapping[str, Replicas]) -> dict[str, int]:
    """Replicas to specify for each revision during an open run, those of stable and target included.

    What the target has beyond its step goes only while as many as are wanted serve without it. Once it is compared it has
    none: nobody knows when a person decides.
    """
    if run.phase is Phase.COMPARED:
        return {run.target: 0, **restored(wanted, run.stable, running)}
    others = {name: replicas for name, replicas in running.items() if name != run.target}
    step = restored(wanted, run.stable, others)
    left = sum(min(others.get(name, NONE).serving, count) for name, count in step.items())
    capacity = run.step.capacity(wanted)
    kept = min(running.get(run.target, NONE).specified, max(0, wanted - left))
    return {**step, run.target: max(capacity, kept)}


def restored(wanted: int, stable: str, running: Mapping[str, Replicas]) -> dict[str, int]:
    """Replicas to specify for each revision on the way back to the stable one, which is known to work: it has all that are
    wanted, others go as its replicas serve, and none of them is ever given more."""
    step = next_step("RollingUpdate", wanted, stable, running)
    others = {name: min(count, running[name].specified) for name, count in step.items() if name != stable}
    return {**others, stable: wanted}
