"""One serving that may sleep, in a hostile cluster; see tests/support/sleep_machine.py. And evenings in which, of all that may
happen, just what a certain fault needs does."""

import pytest

from deepseek_operator.controller.reconcile import MOST_ROUNDS
from tests.support.canary_machine import CANARIES
from tests.support.search import search
from tests.support.serving_machine import MODELS
from tests.support.sleep_machine import EVENING, SleepMachine

TestSleepMachine = SleepMachine.TestCase
TestSleepMachine.settings = search(4, steps=14)

EVENINGS = {
    "a request runs for long": ([(1, 200)], [], 0),
    "short ones come all the time": ([(turn, 0) for turn in range(1, EVENING, 5)], [], 4),
    "one comes as it is told to the gate, which is late": ([(turn, 40) for turn in (12, 13, 14, 15, 16, 17)], [], 4),
    "the store knows no number": ([(4, 200)], [(3, "NaN", "in_flight")], 0),
    "the store says less than nothing": ([(4, 200)], [(3, "negative", "in_flight")], 0),
    "the store says nothing of answers": ([(9, 0)], [(8, "absurd", "ended")], 0),
    "the store forgets a replica": ([(4, 200)], [(3, "absent", "reporting")], 0),
    "the store is down": ([(4, 40), (20, 0)], [(5, "down", "in_flight"), (25, "the truth", "in_flight")], 0),
    "nobody comes, and somebody does": ([(25, 3)], [], 4),
}


@pytest.mark.deep
@pytest.mark.parametrize("name", EVENINGS)
def test_an_evening(name: str) -> None:
    asks, lies, lag = EVENINGS[name]
    machine = SleepMachine()
    machine.the_first_day(MODELS[0], CANARIES[0], lag, MOST_ROUNDS, asks, lies)
    machine.teardown()


@pytest.mark.deep
@pytest.mark.parametrize("turns", [2, 8])
def test_a_version_is_tried_after_an_evening(turns: int) -> None:
    """Asleep, since so long; at once, and not at the next request."""
    machine = SleepMachine()
    machine.the_first_day(MODELS[0], CANARIES[0], 0, MOST_ROUNDS, [], [])
    machine.edit_the_engine(concurrency=9, then="od" * turns)
    machine.all_have_their_turns(turns=EVENING, works=True, hears=True, then="")
    machine.teardown()
