"""An A/B test by a header through a real Envoy, compared by a real Prometheus: it promotes nobody, a person does."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.gateway.fleet import LOOK_S, Fleet
from tests.gateway.load import Load, ask, completion, version_of
from tests.gateway.servings import LIMIT_S, condition, events
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(600)

HEADER = {"X-Variant": "new"}
BAKE_S = 60
SLOWER_S = 0.3
"""What version 2 takes for an answer, where version 1 takes 0.02 s; both are told in histograms from 0.25 s up."""
COMPARED = {
    "canary": {
        "match": {"header": {"name": "x-variant", "value": "new"}},
        "steps": [{"replicas": 1, "bakeSeconds": BAKE_S}],
    }
}


@pytest.fixture(scope="module")
def address(engines: Kubectl) -> str:
    return gateway_bed.address(engines)


@pytest.fixture(scope="module")
def fleet(engines: Kubectl, address: str) -> Iterator[Fleet]:
    """Two replicas of version 1, which answer."""
    made = Fleet(engines, "compared", fixed={"replicas": 2, "rollout": COMPARED})
    made.apply(1)
    made.answers(address)
    yield made
    engines.run("delete", "deepseekserving", "compared")


def answered_by(fleet: Fleet, address: str, headers: dict[str, str]) -> str:
    """The version that one request comes to; empty while it is not answered."""
    answer = ask(address, fleet.host, "/v1/completions", completion(), headers)
    return version_of(answer) if answer.status == 200 else ""


def test_only_who_carries_the_header_meets_the_new_version_and_a_person_decides_by_the_numbers(
    fleet: Fleet, address: str, say: Callable[[str], None]
) -> None:
    first = str(fleet.status()["stable"])
    with Load(address, fleet.host, 2, 0.05) as everybody:
        fleet.apply(2, env={"ENGINE_SECONDS": str(SLOWER_S)})
        target = str(fleet.reaches("Baking")["target"])
        until("the header leads there", lambda: answered_by(fleet, address, HEADER) == "v2", timeout_s=30)
        with Load(address, fleet.host, 2, 0.05, HEADER) as chosen:
            until("many have asked", lambda: chosen.statuses[200] > 100, timeout_s=BAKE_S, every_s=LOOK_S)
            assert fleet.run()["phase"] == "Baking", "the step must not be over before it is looked at"
        for other in ({}, {"X-Variant": "newer"}, {"X-Variant": "NEW"}, {"X-Variants": "new"}):
            assert answered_by(fleet, address, other) == "v1", other
        run = fleet.reaches("Compared", "RolledBack", "Held", "Completed")
        until("the header leads nowhere else", lambda: answered_by(fleet, address, HEADER) == "v1", timeout_s=60)
        until("the new version's replicas are gone", lambda: pods_of(fleet, target) == 0, timeout_s=LIMIT_S)
        ends = dict(everybody.versions)
        say(f"compared: {json.dumps(run['comparison'])}")
        assert run["phase"] == "Compared"
        assert (fleet.status()["stable"], fleet.weights()) == (first, {first: 100})
        assert condition(fleet.kubectl, fleet.name, "Ready")[0] == "True"
        assert condition(fleet.kubectl, fleet.name, "Reconciling")[1] == "CanaryCompared"
        told = events(fleet.kubectl, fleet.name)
        say(f"told: {told['CanaryCompared']}")
        assert target in told["CanaryCompared"]
        old, new = run["comparison"]["revisions"]
        assert_compared(old, new, first, target, chosen)
        fleet.annotate("promote", target)
        until("it is promoted", lambda: fleet.status().get("stable") == target, timeout_s=LIMIT_S, every_s=LOOK_S)
        fleet.is_("Available")
        until("it answers everybody", lambda: answered_by(fleet, address, {}) == "v2", timeout_s=60)
    say(f"of everybody {dict(everybody.versions)}, by the header {dict(chosen.versions)}; failed: {everybody.failures}")
    assert ends.keys() == {"v1"}, "without the header nobody met the new version before it was promoted"
    assert chosen.versions.keys() == {"v2"}
    assert chosen.failures == []
    assert everybody.failures == []
    assert fleet.weights() == {target: 100}


def pods_of(fleet: Fleet, revision: str) -> int:
    selector = f"deepseek-operator.io/serving={fleet.name},deepseek-operator.io/revision={revision}"
    return len(fleet.kubectl.list("pods", selector))


def assert_compared(old: dict[str, Any], new: dict[str, Any], first: str, target: str, chosen: Load) -> None:
    """The numbers are those of what was asked: Prometheus reads every 2 s, and rounds a window at both ends."""
    assert (old["revision"], new["revision"]) == (first, target)
    asked = sum(chosen.statuses.values())
    assert 0.7 * asked <= new["requests"] <= 1.3 * asked, (new, asked)
    assert old["requests"] > 100
    assert (float(old["errorRate"]), float(new["errorRate"])) == (0, 0)
    assert new["errorRateInterval"].startswith("0..")
    assert float(old["latencyP50Seconds"]) < 0.25 < float(new["latencyP50Seconds"])
