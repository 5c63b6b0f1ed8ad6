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
from deepseek_operator.kinds.serving.believed import believed
from deepseek_operator.kinds.serving.sources import adapter_digest, reference_digest
from tests.campaign.drawn import forged, schema_of
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE, a_serving

Status = dict[str, Any]
FOLDER = "pvc://models/v2"
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
    "another claim than the spec names": {"resolved": {"claimName": "nvidia.com", "subPath": "v2"}},
    "another folder than the spec names": {"resolved": {"claimName": "models", "subPath": "v1"}},
    "a training where the spec names a claim": {"resolved": {"claimName": "models", "subPath": "v2", "training": "a"}},
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
    assert life.status.resolved is not None
    assert life.status.resolved.folder == FOLDER
    assert FOLDER.removeprefix("pvc://") in str(life.serving()["status"]["summary"]["model"])


@pytest.mark.parametrize(("forgery", "scene"), zip(FORGERIES, cycle(SCENES), strict=False))
def test_a_forged_record_of_a_serving_comes_to_rest(forgery: str, scene: str) -> None:
    life = SCENES[scene]()
    whole = stored(life)
    keeps_digest = {key: {**whole.get("record", {}).get(key, {})} for key in ("resolved", "plan")}
    comes_to_rest(life, {**whole, "record": keeps_digest, **FORGERIES[forgery]})


@pytest.mark.deep
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


SOURCE: Status = {"source": {"uri": FOLDER}}
TRAINED: Status = {"fromTraining": {"name": "tune", "checkpoint": "Latest"}}
AS_WRITTEN: Status = {"claimName": "models", "subPath": "v2"}
RESOLVED: tuple[tuple[Status, Status, bool], ...] = (
    (SOURCE, AS_WRITTEN, True),
    (SOURCE, {**AS_WRITTEN, "claimName": "others"}, False),
    (SOURCE, {**AS_WRITTEN, "subPath": "v1"}, False),
    (SOURCE, {**AS_WRITTEN, "subPath": ""}, False),
    (SOURCE, {**AS_WRITTEN, "training": "tune"}, False),
    (SOURCE, {**AS_WRITTEN, "step": 7}, False),
    (TRAINED, {**AS_WRITTEN, "training": "tune", "step": 7}, True),
    (TRAINED, {**AS_WRITTEN, "training": "other", "step": 7}, False),
    (TRAINED, AS_WRITTEN, False),
    (TRAINED, {"claimName": "models/a", "subPath": "v2", "training": "tune"}, False),
)


@pytest.mark.parametrize(("reference", "forged", "is_believed"), RESOLVED)
def test_a_model_is_believed_where_its_reference_can_have_led_to_it(
    reference: Status, forged: Status, is_believed: bool
) -> None:
    owner = DeepSeekServing.model_validate(a_serving(model=reference))
    resolved = {**forged, "reference": reference_digest(owner.spec.model)}
    found = believed(DeepSeekServing.model_validate(a_serving(model=reference, status={"resolved": resolved})))
    assert (found.status.resolved is not None) is is_believed
    other = {**resolved, "reference": "of another spec"}
    found = believed(DeepSeekServing.model_validate(a_serving(model=reference, status={"resolved": other})))
    is_place = "/" not in forged["claimName"]
    assert (found.status.resolved is not None) is is_place, "of what was asked for before nothing is known"


@pytest.mark.parametrize(("reference", "forged", "is_believed"), RESOLVED)
def test_an_adapter_is_believed_where_its_reference_can_have_led_to_it(
    reference: Status, forged: Status, is_believed: bool
) -> None:
    adapters = [{"name": "legal", **reference}]
    (wanted,) = DeepSeekServing.model_validate(a_serving(adapters=adapters)).spec.adapters
    adapter = {**forged, "reference": adapter_digest(wanted), "name": "legal", "kind": "LoRA", "rank": 8}
    model = {**AS_WRITTEN, "reference": "of another spec", "adapters": [adapter]}
    serving = a_serving(status={"resolved": model}, adapters=adapters)
    found = believed(DeepSeekServing.model_validate(serving)).status.resolved
    assert found is not None
    assert bool(found.adapters) is is_believed
