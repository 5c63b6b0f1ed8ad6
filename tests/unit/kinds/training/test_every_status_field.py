"""Every field of `status`: over a handful of lives each is written at least once with something other than its default.

What the pods say has the form of the contract between operator and pods, and no more than that.
"""

import json

from deepseek_operator.adapters.memory import Change
from deepseek_operator.api.record import gathered, paths
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from tests.support.leaves import leaves, schema_leaves
from tests.support.told import SAID
from tests.support.trainings import NAME, Life, claim, ended

LAST_WORDS = {
    "formatVersion": 1,
    "result": "Complete",
    "step": 100,
    "firstStep": 1,
    "incarnation": "i",
    "latest": {"step": 100},
    "best": {"step": 30, "metric": "accuracy", "value": 0.75},
    "exports": [30, 100],
    "loss": 0.25,
    "metrics": {"evalLoss": 0.3, "accuracy": 0.9},
}

ALWAYS_ONE = {"status.record.plan.degrees.pipeline"}
"""Shared with servings; for trainings sharded data parallelism has come out ahead of stages wherever anything fits."""


class Written:
    """Leaf paths of the statuses of some lives: all that are stored, and those that hold more than their default."""

    def __init__(self) -> None:
        self.stored: set[str] = set()
        self.told: set[str] = set()

    def watch(self, life: Life) -> Life:
        life.cluster.listeners.append(self._note)
        return life

    def _note(self, change: Change) -> None:
        is_ours = change.resource == TRAINING and change.manifest["metadata"]["name"] == NAME
        if is_ours and (status := change.manifest.get("status")):
            told = TrainingStatus.model_validate(status).model_dump(mode="json", by_alias=True, exclude_defaults=True)
            self.told |= set(leaves(gathered(told, paths(TrainingStatus)), "status"))
            self.stored |= set(leaves(status, "status"))


def completes(life: Life) -> None:
    """It runs, tells how far it is, and exports."""
    life.begin().running()
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = SAID
    life.later(30).complete(json.dumps(LAST_WORDS))


def crashes_and_fails(life: Life) -> None:
    """It crashes after a checkpoint, backs off, resumes, and crashes once too often."""
    message = json.dumps({**LAST_WORDS, "result": "Failed", "message": "boom", "latest": {"step": 10}, "exports": []})
    life.begin(failurePolicy={"maxRestarts": 1}).running().crash(message=message)
    life.later(10).running().crash()


def fetches_its_model(life: Life) -> None:
    """A try fails, and the next one brings it."""
    life.cluster.put(claim("models"))
    life.begin(model={"source": {"uri": "hf://a/b@main", "claimName": "models"}})
    brought = {
        "folder": "sources/hf/a--b/1",
        "revision": "1",
        "digest": f"sha256:{'0' * 64}",
        "bytes": 1,
        "readBytesPerSecond": 5,
        "evicted": ["hf/c--d/2 (1.0 GiB)"],
    }
    for code, said in ((69, {"message": "it does not answer"}), (0, {"source": brought})):
        fetch = {"done": 1, "total": 2}
        life.operator.progress.answers[life.pods()[0]["metadata"]["name"]] = {"formatVersion": 1, "fetch": fetch}
        life.running().later(31)
        life.world.end(life.pods()[0], code, json.dumps(said))
        life.turn().later(60)


def is_evicted(life: Life) -> None:
    life.begin(nodes={"count": 1}).running().world.evict(life.pod(0))
    life.gone()


def finds_no_room(life: Life) -> None:
    life.begin(nodes={"count": 1}).running().crash(code=73)


def is_suspended(life: Life) -> None:
    life.begin().running().edit(lambda spec: spec.update(suspend=True)).gone()


def is_sized(life: Life, model: str = "deepseek-v2", nodes: int = 16) -> None:
    """A program of the user's own, so that every kind of parallelism is open."""
    life.cluster.put(claim("models"))
    life.begin(
        model={"name": model, "source": {"uri": "pvc://models/m"}},
        trainer={"type": "custom", "command": ["torchrun"]},
        accelerator={"profile": "a100-80", "perNode": 8},
        nodes={"count": nodes},
    )


def is_another_trainers(life: Life) -> None:
    """The operator writes its command, and records what it must be told."""
    life.cluster.put(claim("models"))
    life.begin(
        model={"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}},
        trainer={"type": "ms-swift", "image": "swift:1"},
        accelerator={"profile": "a100-80", "perNode": 8},
        checkpoints={"everySteps": 10},
        datasets=[{"source": {"uri": "pvc://models/data.jsonl"}}],
        hyperparameters={"maxSteps": 10, "globalBatchSize": 64},
        nodes={"count": 2},
    )


def is_tight(life: Life) -> None:
    is_sized(life, "deepseek-r1-distill-llama-70b", 2)


def goes_on(life: Life) -> None:
    life.cluster.put(claim("mine"))
    ended(life.cluster, "elder", "mine")
    life.cluster.edit(TRAINING, "team", "elder", lambda live: live["spec"]["checkpoints"]["volume"].update(subPath="a"))
    life.begin(checkpoints={"resume": {"from": {"training": "elder"}}}, hyperparameters={"moreSteps": 5})


def is_refused(life: Life) -> None:
    life.begin(accelerator={"profile": "nvidia-h1000"})


def test_every_status_field_is_written_in_some_life() -> None:
    written = Written()
    lives = (
        completes,
        crashes_and_fails,
        fetches_its_model,
        is_evicted,
        finds_no_room,
        is_suspended,
        is_sized,
        is_tight,
        is_another_trainers,
        goes_on,
        is_refused,
    )
    for live in lives:
        live(written.watch(Life()))
    schema = schema_leaves(TRAINING.plural, "status")
    assert written.stored <= schema
    assert written.told | ALWAYS_ONE == schema
    assert written.stored - written.told >= ALWAYS_ONE
