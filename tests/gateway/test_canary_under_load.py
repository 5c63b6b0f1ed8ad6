"""Canaries behind a real Gateway under a constant load, judged by a real Prometheus: promoted, rolled back, held, turned over.

No request of a version that is well fails on the way, whatever becomes of the run.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import pytest

from tests.gateway.fleet import LOOK_S, Fleet
from tests.gateway.load import Load
from tests.gateway.servings import LIMIT_S
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until
from tests.support.monitoring import Monitoring

pytestmark = pytest.mark.timeout(900)

INTERVAL_S, FAILURE_LIMIT = 10, 2
MARGIN_S = 20
"""Answers of Prometheus are awaited for at most 15 s, and a pass takes its time on a busy machine."""
ANALYSIS: dict[str, Any] = {
    "intervalSeconds": INTERVAL_S, "windowSeconds": 20, "failureLimit": FAILURE_LIMIT, "minimumSamples": 5,
    "metrics": [{"type": "ErrorRate", "max": "0.02"}, {"type": "Latency", "quantile": "0.9", "max": "1"}],
}  # fmt: skip


def judged(*weights: int, bake_s: int = 20) -> dict[str, Any]:
    """A canary of these steps."""
    return {"canary": {"steps": [{"weight": one, "bakeSeconds": bake_s, "analysis": ANALYSIS} for one in weights]}}


CLIENTS, PAUSE_S = 2, 0.05
"""Some thirty requests a second."""
PAUSED: dict[str, Any] = {"canary": {"steps": [{"weight": 50, "bakeSeconds": 1, "pause": True}]}}


@pytest.fixture(scope="module")
def address(engines: Kubectl) -> str:
    return gateway_bed.address(engines)


@pytest.fixture
def fleet(engines: Kubectl, address: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two replicas of version 1, which answer."""
    name = f"canary-{crc32(request.node.name.encode()):08x}"
    made = Fleet(engines, name, fixed={"replicas": 2})
    made.apply(1, rollout=judged(50))
    made.answers(address)
    yield made
    engines.run("delete", "deepseekserving", name, "--wait=false")


def test_a_canary_promotes_itself_and_no_request_fails(fleet: Fleet, address: str, say: Callable[[str], None]) -> None:
    first, seen = fleet.status()["stable"], set()
    with Load(address, fleet.host, CLIENTS, PAUSE_S) as load:
        fleet.apply(2, rollout=judged(10, 50, 100))

        def is_over() -> bool:
            run = fleet.run()
            if run.get("phase") == "Baking":
                seen.add((run["step"], fleet.weights().get(run["target"], 0)))
            return run.get("phase") in ("Completed", "RolledBack", "Held")

        until("the run is over", is_over, timeout_s=2 * LIMIT_S, every_s=LOOK_S)
        fleet.is_("Available")
    say(f"promoted, {sum(load.statuses.values())} requests, {len(load.failures)} failed, {sorted(seen)}")
    assert fleet.run()["phase"] == "Completed"
    assert {(1, 10), (2, 50), (3, 100)} <= seen
    assert fleet.status()["stable"] != first
    assert load.failures == []
    assert load.statuses[200] > 500


@pytest.mark.parametrize(
    "worse", [{"ENGINE_FAILS_EACH": "20"}, {"ENGINE_SECONDS": "3"}], ids=["answers 5 % errors", "is slow"]
)
def test_a_worse_version_goes_back_within_its_failure_limit_and_stays_away(
    fleet: Fleet, address: str, say: Callable[[str], None], worse: dict[str, str]
) -> None:
    first = fleet.status()["stable"]
    with Load(address, fleet.host, CLIENTS, PAUSE_S) as load:
        fleet.apply(2, rollout=judged(50, bake_s=120), env=worse)
        fleet.reaches("Baking")
        run = fleet.reaches("RolledBack", "Completed", "Held")
        until("it has no requests", lambda: fleet.weights() == {first: 100}, timeout_s=30)
        time.sleep(2 + float(worse.get("ENGINE_SECONDS", 0)))
        failed = len(load.failures)
        fleet.is_("RolledBack")
        seconds = (fleet.entered[1, "RolledBack", 1] - fleet.entered[1, "Baking", 1]).total_seconds()
        say(f"rolled back after {seconds:.0f} s, {failed} of {sum(load.statuses.values())} failed; {run['message']}")
        assert (run["phase"], run["analysis"]["failures"]) == ("RolledBack", FAILURE_LIMIT)
        assert seconds <= FAILURE_LIMIT * INTERVAL_S + MARGIN_S
        fleet.apply(2, rollout=judged(50, bake_s=120), env=worse, replicas=3)
        until("it has grown", lambda: fleet.status().get("readyReplicas") == 3, timeout_s=LIMIT_S, every_s=LOOK_S)
        fleet.is_("RolledBack")
        assert (fleet.run()["run"], fleet.weights(), fleet.status()["stable"]) == (1, {first: 100}, first)
    assert load.failures[failed:] == [], "what went back answers nothing any more"
    assert {answer.status for _, answer in load.failures} <= {500}, "the version's own errors, and no other"
    assert bool(load.failures) == ("ENGINE_FAILS_EACH" in worse)


def test_a_run_is_held_while_prometheus_is_dead_and_goes_on_when_it_is_back(
    fleet: Fleet, address: str, say: Callable[[str], None], monitoring: Monitoring
) -> None:
    with Load(address, fleet.host, CLIENTS, PAUSE_S) as load:
        fleet.apply(2, rollout=judged(50))
        fleet.reaches("Baking")
        monitoring.kill()
        run = fleet.reaches("Held", "RolledBack", "Completed")
        assert run["phase"] == "Held", run
        say(f"held: {run['message']}")
        time.sleep(3 * INTERVAL_S)
        assert fleet.run()["phase"] == "Held", "no data is no failure, however long it lasts"
        assert fleet.run()["analysis"]["failures"] == 0
        monitoring.restart()
        fleet.reaches("Completed")
        fleet.is_("Available")
    say(f"promoted, {sum(load.statuses.values())} requests, {len(load.failures)} failed")
    assert load.failures == []


def test_a_user_turns_back_and_another_version_comes_and_verbs_go_by_name_while_all_are_answered(
    fleet: Fleet, address: str, say: Callable[[str], None]
) -> None:
    first = fleet.status()["stable"]
    with Load(address, fleet.host, CLIENTS, PAUSE_S) as load:
        fleet.apply(2, rollout=PAUSED)
        tried = fleet.reaches("Paused")
        fleet.apply(1, rollout=PAUSED)
        until("it is as before", lambda: fleet.status().get("phase") == "Available", timeout_s=LIMIT_S, every_s=LOOK_S)
        assert (fleet.status()["stable"], fleet.weights()) == (first, {first: 100})
        say(f"turned back, {len(load.failures)} failed")
        fleet.apply(3, rollout=PAUSED)
        second = fleet.reaches("Paused")
        fleet.apply(4, rollout=PAUSED)
        third = fleet.reaches("Paused", after=second["run"])
        assert (third["stable"], second["stable"]) == (first, first), "the original stable one is kept"
        assert len({first, tried["target"], second["target"], third["target"]}) == 4
        say(f"a third one came, {len(load.failures)} failed")
        fleet.annotate("promote", f"{third['target']}/1")
        until(
            "it is promoted", lambda: fleet.status().get("stable") == third["target"], timeout_s=LIMIT_S, every_s=LOOK_S
        )
        fleet.is_("Available")
        fleet.annotate("rollback", first)
        until("it is back", lambda: fleet.status().get("stable") == first, timeout_s=LIMIT_S, every_s=LOOK_S)
        fleet.is_("RolledBack")
        assert fleet.weights() == {first: 100}
    say(f"back by name, {sum(load.statuses.values())} requests, {len(load.failures)} failed")
    assert load.failures == []
