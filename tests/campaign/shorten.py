"""Leaves operations out of a story for as long as it still ends in an alarm."""

from collections.abc import Sequence
from pathlib import Path

from tests.campaign.play import Outcome, Rules, play


def shortened(folder: Path, seed: int, numbers: Sequence[int], rules: Rules) -> Outcome:
    """The shortest story found; halves are left out first, then smaller parts, single operations at last."""
    best = play(folder / "whole", seed, numbers, rules)
    part, tries = max(1, len(best.numbers) // 2), 0
    while best.alarms and not rules.stopped.is_set():
        place, is_shorter = 0, False
        while place < len(best.numbers):
            rest = [*best.numbers[:place], *best.numbers[place + part :]]
            tries += 1
            outcome = play(folder / f"try-{tries}", seed, rest, rules) if rest else None
            if outcome is not None and outcome.alarms:
                best, is_shorter = outcome, True
                print(f"{len(best.numbers)} operations are enough", flush=True)
            else:
                place += part
        if part == 1 and not is_shorter:
            break
        part = max(1, part // 2)
    return best
