"""Whatever somebody writes into the status of a serving, it comes to rest within a few passes and serves what its spec says."""

from collections.abc import Callable
from copy import deepcopy
from itertools import cycle
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.resources import DEPLOYMENT
from tests.campaign.drawn import forged, schema_of
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE

Status = dict[str, Any]
ROUNDS = 12
SEEDS, BLOCKS = 20, 4


def running() -> ServingLife:
    life = ServingLife(replicas=2)
    life.run()
    return life


def rolling() -> ServingLife:
    """The new replicas find no room yet."""
    life = running()
    life.edit(engine={"maxConcurrency": 2})
    life.run(room=2)
    return life


SCENES: dict[str, Callable[[], ServingLife]] = {
    "new": lambda: ServingLife(replicas=2),
    "available": running,
    "rolling": rolling,
}
FORGERIES: dict[str, Status] = {
    "a model of no claim": {"resolved": {"claimName": ""}},
    "a model of no name": {"resolved": {"claimName": "../a", "subPath": "../.."}},
    "a folder outside": {"resolved": {"claimName": "models", "subPath": "../other"}},
    "a revision of no name": {"current": {"name": "a/../b"}, "previous": [{"name": "?"}, {"name": ""}]},
    "revisions that never were": {"current": {"name": "abc"}, "previous": [{"name": "0123456789"}], "stable": "xyz"},
    "fewer than none": {"runningReplicas": -5, "replicas": -1, "readyReplicas": -2},
    "more than there are": {"runningReplicas": 2**31, "replicas": 2**31},
    "a plan of nothing": {"plan": {"refused": "a/..", "profile": "../x"}},
    "a phase that is none": {"phase": "Dancing", "selector": "=,=", "url": "http://elsewhere"},
    "an autoscaler that says what it can't": {"autoscaling": {"active": True, "desired": -1, "reason": "Why"}},
}


def stored(life: ServingLife) -> Status:
    return deepcopy(life.serving().get("status") or {})


def comes_to_rest(life: ServingLife, forged: Status) -> None:
    """The status is forged; nothing is written any more after `ROUNDS`, and two replicas of one revision serve."""
    life.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live.update(status=forged))
    quiet, rounds = 0, 0
    while quiet < 2:
        rounds, before = rounds + 1, len(life.cluster.writes)
        life.run(rounds=2)
        life.clock.advance(61)
        quiet = quiet + 1 if len(life.cluster.writes) == before else 0
        assert rounds < ROUNDS, life.cluster.writes[before:]
    assert (life.reason("Ready"), len(life.pods()), len(life.cluster.all(DEPLOYMENT))) == ("Available", 2, 1)


@pytest.mark.parametrize(("forgery", "scene"), zip(FORGERIES, cycle(SCENES), strict=False))
def test_a_forged_record_of_a_serving_comes_to_rest(forgery: str, scene: str) -> None:
    life = SCENES[scene]()
    whole = stored(life)
    keeps_digest = {key: {**whole.get("record", {}).get(key, {})} for key in ("resolved", "plan")}
    comes_to_rest(life, {**whole, "record": keeps_digest, **FORGERIES[forgery]})


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_drawn_status_of_a_serving_comes_to_rest(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        random = Random(f"forged {seed}")
        life = SCENES[random.choice(tuple(SCENES))]()
        status = forged(random, stored(life), schema_of("DeepSeekServing", "status"))
        try:
            DeepSeekServing.model_validate({**life.serving(), "status": status})
        except ValidationError:
            continue  # The API server does not let it in.
        comes_to_rest(life, status)
