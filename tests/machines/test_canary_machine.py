"""One serving that tries its versions, in a hostile cluster; see tests/support/canary_machine.py."""

from tests.support.canary_machine import CanaryMachine, RoutedCanaryMachine
from tests.support.search import search

TestCanaryMachine = CanaryMachine.TestCase
TestCanaryMachine.settings = search(10, steps=20)
TestRoutedCanaryMachine = RoutedCanaryMachine.TestCase
TestRoutedCanaryMachine.settings = search(8, steps=20)
