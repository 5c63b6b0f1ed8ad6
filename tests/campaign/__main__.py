"""`tests/run campaign`: random operations and faults, and after every few of them the question whether all is well.

    tests/run campaign                                 a slice: three seeds, 20 operations each
    tests/run campaign --seeds 1-10 --operations 200   the whole
    tests/run campaign --replay 7:40                   seed 7 again, up to its operation 40
    tests/run campaign --replay 7:31-40                only these operations of it
    tests/run campaign --shorten 7:40                  leaves operations out for as long as the alarm stays
    tests/run campaign --leave-out watch_error,lie     without what is known to raise alarms
    tests/run campaign --plant all                     with faults in the operator that it has to find

Every operation follows from its seed and its number alone, so leaving some out changes nothing of the others. Faults fall
by chance between them: a replay is the same story, not the same second.
"""

import logging
import signal
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

from tests.campaign.faults import FAULTS
from tests.campaign.planted import PLANTED
from tests.campaign.play import SETTLE_S, Outcome, Rules, play
from tests.campaign.shorten import shortened


def main() -> int:
    """Plays, tells, and returns the exit code: 1 after an alarm."""
    parser = ArgumentParser(prog="tests/run campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,6,14", help="numbers and ranges: 1-10, or 3,7. Default 1,6,14")
    parser.add_argument("--operations", type=int, default=20, help="of each seed. Default 20")
    parser.add_argument("--at-once", type=int, default=2, help="seeds that are played at a time. Default 2")
    parser.add_argument("--replay", metavar="SEED[:N]", help="one seed; N is a last operation, or ranges of them")
    parser.add_argument("--shorten", metavar="SEED[:N]", help="finds a shorter story with an alarm")
    parser.add_argument(
        "--leave-out", default="", help="acts and faults that are not to happen, by the names of their functions"
    )
    parser.add_argument("--plant", metavar="NAME", help="a fault of planted.py in the operator, or `all`, each alone")
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds to become well. Default %(default)g")
    parser.add_argument("--without-faults", action="store_true", help="operations alone")
    given = parser.parse_args()
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # A proxy's client is killed all the time.
    sys.setrecursionlimit(10_000)  # Some of what is drawn is 600 levels deep, and is copied and compared here.
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())  # What was started is ended.
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    print(f"logs: {folder}", flush=True)
    left_out = frozenset(given.leave_out.split(",")) - {""}
    left_out |= {fault.__name__ for _, fault in FAULTS} if given.without_faults else frozenset()
    rules = Rules(left_out, stopped, given.settle)
    if given.shorten:
        seed, numbers = story_of(given.shorten, given.operations)
        return _judged([shortened(folder, seed, numbers, rules)])
    if given.plant:
        return _planted(folder, list(PLANTED) if given.plant == "all" else [given.plant], given.replay, rules)
    if given.replay:
        stories = [story_of(given.replay, given.operations)]
    else:
        stories = [(seed, range(1, given.operations + 1)) for seed in numbers_of(given.seeds)]

    def played(story: tuple[int, Sequence[int]]) -> Outcome | None:
        if rules.stopped.is_set():
            return None
        outcome = play(folder / f"seed-{story[0]}", *story, rules)
        print(outcome.told(), flush=True)
        return outcome

    with ThreadPoolExecutor(given.at_once) as pool:
        outcomes = [outcome for outcome in pool.map(played, stories) if outcome is not None]
    return _judged(outcomes) or int(rules.stopped.is_set())


def _planted(folder: Path, names: Sequence[str], story: str | None, rules: Rules) -> int:
    """Plays a story on each planted operator; 1 if one of them raised no alarm."""
    unseen = 0
    for number, name in enumerate(names):
        if rules.stopped.is_set():
            break
        place = folder / f"planted-{number}"
        seed, numbers = story_of(story or PLANTED[name].where, 0)
        outcome = play(place / "story", seed, numbers, replace(rules, source=PLANTED[name].planted(place)))
        unseen += not outcome.alarms
        last = outcome.numbers[-1] if outcome.numbers else 0
        print(
            f"{name}: {f'found after {seed}:{last}' if outcome.alarms else 'NOT FOUND'}",
            *outcome.alarms[:3],
            sep="\n  ",
        )
        sys.stdout.flush()
    return 1 if unseen else 0


def _judged(outcomes: Sequence[Outcome]) -> int:
    operations = sum(outcome.operations for outcome in outcomes)
    faults = sum(outcome.faults for outcome in outcomes)
    alarms = sum(len(outcome.alarms) for outcome in outcomes)
    print(f"{len(outcomes)} seeds, {operations} operations, {faults} faults, {alarms} alarms")
    return 1 if alarms else 0


def story_of(text: str, operations: int) -> tuple[int, Sequence[int]]:
    """`7`, `7:40` or `7:3,31-40`."""
    seed, _, which = text.partition(":")
    if not which:
        return int(seed), range(1, operations + 1)
    return int(seed), range(1, int(which) + 1) if which.isdigit() else numbers_of(which)


def numbers_of(text: str) -> list[int]:
    """`1-3,7` is 1, 2, 3, 7."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


if __name__ == "__main__":
    sys.exit(main())
