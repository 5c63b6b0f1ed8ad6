"""Plays one story: operations with faults between them, and after every few a calm in which everything is judged."""

import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event

from deepseek_operator.api.record import spread
from deepseek_operator.domain.policy.canary import Phase
from tests.campaign.acts import ACTS
from tests.campaign.bed import Bed, Problem, bed
from tests.campaign.faults import FAULTS
from tests.campaign.oracle import Oracle

CALM_EVERY = 10
FAULT_SHARE = 0.6
"""How often an operation comes with a fault before it."""
SETTLE_S = 150.0
"""Within this time of the last fault all must be well. Most of it is for a busy machine: two thirds are never needed."""
QUIET_S = 6.0
"""Longer than an audit (every two seconds here) takes to find what a deaf watch hid: only then nothing is to come."""
LONGEST_PAUSE_S = 1.5
MOVING = (Phase.PREPARING, Phase.BAKING, Phase.HELD, Phase.COMPARING)
"""Phases of a canary run that time alone may end, or whose numbers are asked for again."""


@dataclass(frozen=True)
class Rules:
    """`left_out` are names of acts and faults that don't happen. `source` is the operator that is tried, None for ours."""

    left_out: frozenset[str]
    stopped: Event
    settle_s: float = SETTLE_S
    source: Path | None = None


@dataclass
class Outcome:
    """How a story went. `alarms` is empty when all was well at every calm; `is_broken`: the campaign itself failed."""

    seed: int
    numbers: list[int] = field(default_factory=list)
    faults: int = 0
    refusals: int = 0
    trace: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    memory_mib: float = 0.0
    exits: list[int] = field(default_factory=list)
    is_broken: bool = False

    @property
    def operations(self) -> int:
        """How many were played."""
        return len(self.numbers)

    def told(self) -> str:
        """For people: one line when all is well, else what happened since the last calm, and how to see it again."""
        head = (
            f"seed {self.seed}: {self.operations} operations ({self.refusals} refused), {self.faults} faults, "
            f"{len(self.exits)} exits, longest calm {self.longest_s:.0f} s, at most {self.memory_mib:.0f} MiB"
        )
        if not self.alarms:
            return f"{head}, no alarm"
        again = f"again: tests/run campaign --replay {self.seed}:{ranges(self.numbers)}"
        shorter = f"shorter: tests/run campaign --shorten {self.seed}:{ranges(self.numbers)}"
        return "\n".join([head, *self.trace, *(f"ALARM {alarm}" for alarm in self.alarms), again, shorter])


def play(folder: Path, seed: int, numbers: Sequence[int], rules: Rules) -> Outcome:
    """Plays these operations of a seed; ends at the first calm that raises an alarm, or when it is stopped."""
    folder.mkdir()
    outcome = Outcome(seed)
    try:
        _play(folder, outcome, numbers, rules)
    except Exception as error:  # The other seeds go on, and this one is told with what it did.
        outcome.is_broken = True
        outcome.alarms.append(f"the campaign itself failed: {type(error).__name__} {error}")
        (folder / "failure.log").write_text(traceback.format_exc())
    (folder / "outcome.log").write_text(outcome.told() + "\n")
    return outcome


def _play(folder: Path, outcome: Outcome, numbers: Sequence[int], rules: Rules) -> None:
    seed, left_out = outcome.seed, rules.left_out
    with (folder / "trace.log").open("w") as log, bed(folder, seed, 1 + seed % 2, rules.source) as made:
        oracle = Oracle(made)

        def tell(line: str) -> None:
            outcome.trace.append(line)
            log.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            log.flush()

        for number in numbers:
            if rules.stopped.is_set():
                break
            outcome.numbers.append(number)
            random = Random(f"{seed}/{number}")
            if (fault := _fault(made, random, left_out)) is not None:
                tell(f"{number}. fault: {fault}")
                outcome.faults += 1
            said = _operation(made, random, left_out)
            outcome.refusals += "refused" in said
            tell(f"{number}. {said}")
            time.sleep(random.uniform(0, LONGEST_PAUSE_S))
            if number % CALM_EVERY == 0 or number == numbers[-1]:
                _calm(made, oracle, outcome, rules.settle_s)
                tell(f"calm after {number}: {outcome.alarms or 'no alarm'}")
                if outcome.alarms:
                    break
                outcome.trace = []
        for replica in made.replicas:
            outcome.exits += replica.process.exits


def _fault(made: Bed, random: Random, left_out: frozenset[str]) -> str | None:
    """Drawn whether it happens or not: what is left out changes nothing of the rest."""
    happens = random.random() < FAULT_SHARE
    (fault,) = random.choices([fault for _, fault in FAULTS], [weight for weight, _ in FAULTS])
    seed = random.random()
    if not happens or fault.__name__ in left_out:
        return None
    try:
        return fault(made.faults, Random(seed))
    except Problem as error:
        return f"{fault.__name__}, in part: {type(error).__name__} {error}"


def _operation(made: Bed, random: Random, left_out: frozenset[str]) -> str:
    """One that finds something to act on; the API server may be the one that suffers just now."""
    for act in random.choices([act for _, act in ACTS], [weight for weight, _ in ACTS], k=20):
        if act.__name__ in left_out:
            continue
        try:
            said = act(made, random)
        except Problem as error:
            said = f"{act.__name__}: {type(error).__name__} {error}"
        if said is not None:
            return said
    return "nothing to act on"


def _calm(made: Bed, oracle: Oracle, outcome: Outcome, settle_s: float) -> None:
    """Nothing disturbs any more: everything must become well, stay so, and be the same to a process that knows nothing."""
    made.faults.end()
    for node in made.nodes.values():
        node.lingers = False
    began = time.monotonic()
    made.restore()
    wrong = _settled(made, oracle, began + settle_s)
    outcome.longest_s = max(outcome.longest_s, time.monotonic() - began)
    if not wrong:
        outcome.memory_mib = max(outcome.memory_mib, *(replica.memory_mib for replica in made.replicas))
        made.witness.trust(oracle.floors())
        before, may_move = made.writes(), _may_move(made)
        made.fresh_process()
        again = _settled(made, oracle, time.monotonic() + settle_s)
        wrong = [f"after a restart: {complaint}" for complaint in again]
        written = [w for r in made.replicas for w in r.process.proxy.writes][before:]
        if written and not may_move and not _may_move(made):
            wrong.append(f"a fresh process writes though all was well: {[f'{w.verb} {w.path}' for w in written[:5]]}")
    outcome.alarms += [*wrong, *oracle.processes(), *made.witness.alarms]


def _may_move(made: Bed) -> bool:
    """A training waits for a time that may come, and then says so no more; the step of a canary goes on, or is judged."""
    told = [spread(item.get("status") or {}) for item in made.owners()]
    return any(one.get("notBefore") or (one.get("canary") or {}).get("phase") in MOVING for one in told)


def _settled(made: Bed, oracle: Oracle, deadline: float) -> list[str]:
    """Waits until nothing is complained of and nothing is written for a while; what is still wrong at the deadline."""
    wrong, writes, quiet_since = ["nothing was looked at"], -1, time.monotonic()
    while time.monotonic() < deadline:
        with suppress(*Problem):
            wrong = oracle.complaints()
        now, count = time.monotonic(), made.writes()
        if wrong or count != writes:
            writes, quiet_since = count, now
        elif now - quiet_since >= QUIET_S:
            return []
        time.sleep(0.5)
    if not wrong:
        paths = [f"{w.verb} {w.path}" for r in made.replicas for w in r.process.proxy.writes[-3:]]
        return [f"it goes on writing: {paths}"]
    return wrong


def ranges(numbers: Sequence[int]) -> str:
    """`1-10,12`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
