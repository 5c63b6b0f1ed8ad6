"""Requests go to a revision that serves and to no other, through many rollouts, and no stream breaks off on the way.

GATEWAY_ROLLOUTS says how many rollouts (6 where it is not set), GATEWAY_STREAMS how many streams at once (1,000).
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import pytest

from tests.gateway.changes import Changes
from tests.gateway.fleet import LOOK_S, Fleet
from tests.gateway.load import Load
from tests.gateway.servings import LIMIT_S
from tests.gateway.streams import Streams
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until
from tests.support.parts_seen import breaches, in_order

pytestmark = pytest.mark.timeout(3000)

ROLLOUTS = int(os.environ.get("GATEWAY_ROLLOUTS", "6"))
AT_ONCE = 3
STREAMS = int(os.environ.get("GATEWAY_STREAMS", "1000"))
TWO_STEPS = {"canary": {"steps": [{"weight": 50, "bakeSeconds": 5}, {"weight": 100, "bakeSeconds": 5}]}}


@pytest.fixture(scope="module")
def address(engines: Kubectl) -> str:
    return gateway_bed.address(engines)


def swapped(engines: Kubectl, address: str, name: str, rollouts: int) -> tuple[Load, list[str]]:
    """Rolls out one version of a serving after the other under a load; what must not be, by the watches of route and pods."""
    fleet = Fleet(engines, name, fixed={"replicas": 1})
    fleet.apply(0)
    fleet.answers(address)
    revision = str(fleet.status()["stable"])
    with Changes(engines, "pods", name) as pods, Changes(engines, "httproutes", name) as routes:
        until("both watches tell", lambda: pods.events and routes.events, timeout_s=30)
        with Load(address, fleet.host, clients=2, pause_s=0.05) as load:
            for version in range(1, rollouts + 1):
                revision = fleet.rolls_out(version, revision)
        time.sleep(2)  # The last words of both watches.
    assert len(routes.events) > rollouts
    engines.run("delete", "deepseekserving", name, "--wait=false")
    return load, list(breaches(in_order(pods.events, routes.events)))


def test_a_revision_has_no_part_before_it_serves_and_none_when_its_pods_go(
    engines: Kubectl, address: str, say: Callable[[str], None]
) -> None:
    """Several servings at once, since most of a rollout is waiting."""
    began, each = time.monotonic(), ceil(ROLLOUTS / AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        names = [f"swap-{number}" for number in range(AT_ONCE)]
        done = list(pool.map(lambda name: swapped(engines, address, name, each), names))
    asked = sum((load.statuses for load, _ in done), Counter[int]())
    say(f"{each * AT_ONCE} rollouts in {time.monotonic() - began:.0f} s, answers by status: {dict(asked)}")
    assert [found for _, breaches_ in done for found in breaches_] == []
    assert [failure for load, _ in done for failure in load.failures] == []


def test_no_stream_of_a_thousand_breaks_off_in_a_canary_a_rollback_and_a_scale_down(
    engines: Kubectl, address: str, say: Callable[[str], None]
) -> None:
    fleet = Fleet(engines, "streams", fixed={"rollout": TWO_STEPS})
    fleet.apply(1, replicas=3, memory="256Mi")
    fleet.answers(address)
    first = str(fleet.status()["stable"])

    def told(what: str) -> None:
        say(f"{what}: {streams.open} open, {streams.whole} whole, {sum(streams.failures.values())} failed")

    with Streams(address, fleet.host, STREAMS) as streams:
        until("all are open", lambda: streams.open >= 0.9 * STREAMS, timeout_s=60)
        told("open")
        fleet.rolls_out(2, first, replicas=3, memory="256Mi")
        told("promoted")
        fleet.annotate("rollback", first)
        until("it is back", lambda: fleet.status().get("stable") == first, timeout_s=LIMIT_S, every_s=LOOK_S)
        fleet.is_("RolledBack")
        told("rolled back by name")
        fleet.apply(2, replicas=1, memory="256Mi")
        until("one is left", lambda: fleet.status().get("replicas") == 1, timeout_s=LIMIT_S, every_s=LOOK_S)
        fleet.is_("RolledBack")
        time.sleep(15)  # As long as a stream lasts.
        told("scaled down")
    assert dict(streams.failures) == {}
    assert streams.most >= 0.95 * STREAMS
    assert streams.whole >= 2 * STREAMS
    engines.run("delete", "deepseekserving", "streams", "--wait=false")
