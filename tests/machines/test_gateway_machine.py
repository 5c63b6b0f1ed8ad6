"""One serving in a hostile cluster, behind a gateway whose controller looks when it likes; see tests/support/gateway_machine.py."""

from tests.support.gateway_machine import GatewayMachine
from tests.support.search import search

TestGatewayMachine = GatewayMachine.TestCase
TestGatewayMachine.settings = search(8, steps=20)
