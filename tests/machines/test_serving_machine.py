"""Lives of one serving in a hostile cluster; `tests/support/serving_machine.py` says what must hold in them."""

from tests.support.search import search
from tests.support.serving_machine import ServingMachine

TestServingMachine = ServingMachine.TestCase
TestServingMachine.settings = search(16, steps=20)
