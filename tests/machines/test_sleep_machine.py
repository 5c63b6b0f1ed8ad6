"""One serving that may sleep, in a hostile cluster; see tests/support/sleep_machine.py."""

from tests.support.search import search
from tests.support.sleep_machine import SleepMachine

TestSleepMachine = SleepMachine.TestCase
TestSleepMachine.settings = search(examples=5, steps=16)
