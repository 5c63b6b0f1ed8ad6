"""Whatever somebody writes into the status of a training, it comes to rest within a few passes, and no second gang runs."""

from collections.abc import Callable
from copy import deepcopy
from itertools import cycle
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import CLAIM, JOB, POD, uid_of
from deepseek_operator.kinds.training.names import training_claim, training_job
from deepseek_operator.workloads.pod.state import is_active
from tests.campaign.drawn import forged, schema_of
from tests.support.trainings import NAME, NAMESPACE, Life, claim

Status = dict[str, Any]
ROUNDS = 12
SEEDS, BLOCKS = 20, 4
LAST = 999_999_999


def begun() -> Life:
    volume = {"volume": {"accessMode": "ReadWriteMany"}}
    return Life().begin(checkpoints=volume, failurePolicy={"maxRestarts": 9})


SCENES: dict[str, Callable[[], Life]] = {
    "new": begun,
    "runs": lambda: begun().running().crash().later(700).running(),
    "waits": lambda: begun().running().crash(),
    "suspended": lambda: begun().running().edit(lambda spec: spec.update(suspend=True)).gone(),
    "complete": lambda: begun().running().complete(),
}
FORGERIES: dict[str, Status] = {
    "a Job without a name": {"attempt": {"number": 5}},
    "a Job that does not exist": {"attempt": {"number": 2, "job": "nightly"}},
    "a Job of another's name": {"attempt": {"number": 2, "job": "t-train-other-7", "jobUID": "1"}},
    "a Job in another namespace": {"attempt": {"number": 1, "job": "../../kube-system/jobs/a"}},
    "no number": {"attempt": {"number": 0}},
    "a number below none": {"attempt": {"number": -3, "job": "t-train--3"}},
    "the last number": {"attempt": {"number": LAST, "verdict": "Crash"}},
    "more than the last number": {"attempt": {"number": 2**31}},
    "stopping without a Job": {"attempt": {"number": 3, "stopping": "Suspended"}, "phase": "Stopping"},
    "failures without a Job": {"attempt": {"number": 3, "failures": [{"pod": "a", "cause": "Error"}]}},
    "a verdict without a Job": {"attempt": {"number": 3, "verdict": "Disruption"}},
    "a phase that is none": {"phase": "Dancing", "attempt": None},
    "a history of nobody": {"history": [{"number": LAST, "job": "web"}, {"number": -1, "verdict": "Crash"}]},
    "ancestors of nobody": {"ancestry": [{"attempt": 2**40, "jobUID": "x"}, {"attempt": 0}]},
    "no claim": {"volume": {}},
    "a claim of no name": {"volume": {"claimName": "../a?b", "uid": "1", "made": True}},
    "a folder in the place of a claim's name": {"volume": {"claimName": "night/a", "uid": "1"}},
    "a claim without its uid": {"volume": {"claimName": "night", "made": True}},
    "another's claim": {"volume": {"claimName": "night", "uid": "night", "made": True}},
    "an origin of no name": {"origin": {"claimName": "/", "subPath": "../..", "step": 1}},
    "a plan of nothing": {"plan": {"refused": "a/..", "gpus": -1}},
    "a plan with warnings of no words": {
        "plan": {"gpus": 1, "warnings": ["/a", "0", "", "é: a"]},
        "phase": "Failed",
        "result": "Failed",
    },
    "all at once": {
        "attempt": {"number": 7, "job": "web", "stopping": "SpecChanged"},
        "volume": {"claimName": "%2e%2e"},
        "history": [{"number": 9, "job": "web"}],
        "restarts": -5,
        "notBefore": "soon",
    },
}


def comes_to_rest(life: Life, forged: Status) -> None:
    """The status is forged; nothing is written any more after `ROUNDS`, and pods of one Job at most run at any time."""
    night = uid_of(life.cluster.put(claim("night")))
    text = {key: part for key, part in forged.items() if part is not None}
    if (text.get("volume") or {}).get("uid") == "night":
        text = {**text, "volume": {**text["volume"], "uid": night}}
    life.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live.update(status=text))
    quiet, rounds = 0, 0
    while quiet < 2:
        rounds, before = rounds + 1, len(life.cluster.writes)
        life.turn()
        life.world.reap_all()
        life.turn()
        gangs = {job_uid_of(pod) for pod in life.cluster.all(POD) if is_active(pod)}
        assert len(gangs) <= 1
        life.running().later(61)
        quiet = quiet + 1 if len(life.cluster.writes) == before else 0
        assert rounds < ROUNDS, life.cluster.writes[before:]
    assert life.told[1] not in ("InternalError", ""), life.message
    meta = life.owner.metadata
    assert [item["metadata"].get("ownerReferences") for item in life.cluster.all(CLAIM) if uid_of(item) == night] == [
        None
    ]
    assert life.owner.status.volume is None or life.owner.status.volume.claim_name == training_claim(NAME, meta.uid)
    attempt = life.owner.status.attempt
    assert attempt is None or attempt.job == training_job(NAME, meta.uid, attempt.number)
    assert len(life.cluster.all(JOB)) <= 2


def stored(life: Life) -> Status:
    status: Status = deepcopy(life.cluster.read(TRAINING, NAMESPACE, NAME)["status"])  # type: ignore[index]
    return status


@pytest.mark.parametrize(("forgery", "scene"), zip(FORGERIES, cycle(("new", "runs", "waits")), strict=False))
def test_a_forged_record_of_a_training_comes_to_rest(forgery: str, scene: str) -> None:
    life = SCENES[scene]()
    forged, whole = FORGERIES[forgery], stored(life)
    record = {key: part for key, part in whole.get("record", {}).items() if key not in forged}
    comes_to_rest(life, {**whole, "record": record, **forged})


@pytest.mark.parametrize("scene", ["runs", "waits", "complete"])
def test_a_claim_whose_record_is_taken_away_is_still_one_that_was_written_to(scene: str) -> None:
    """Or it would go with the training, and the checkpoints with it."""
    life = SCENES[scene]()
    whole = stored(life)
    record = {key: part for key, part in whole["record"].items() if key != "volume"}
    forged = {key: part for key, part in whole.items() if key != "volume"} | {"record": record}
    life.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live.update(status=forged))
    life.turn()
    assert [item["metadata"].get("ownerReferences") for item in life.cluster.all(CLAIM)] == [None]
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    life.gone()
    assert len(life.cluster.all(CLAIM)) == 1


@pytest.mark.deep
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_drawn_status_of_a_training_comes_to_rest(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        random = Random(f"forged {seed}")
        life = SCENES[random.choice(tuple(SCENES))]()
        status = forged(random, stored(life), schema_of("DeepSeekTraining", "status"))
        whole = {**life.cluster.read(TRAINING, NAMESPACE, NAME), "status": status}  # type: ignore[dict-item]
        try:
            DeepSeekTraining.model_validate(whole)
        except ValidationError:
            continue  # The API server does not let it in.
        comes_to_rest(life, status)
