"""The operator installed, upgraded, rolled back, taken away and installed again under a training and a serving.

Neither pod of theirs may notice: the one trains on, the other answers on, and the operator that comes takes both over.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.written import builtin, hyperparameters, manifest, pods_of, scaling, tiny, tune
from tests.main_job.serving import Load, provide_files, wait_available
from tests.support import bed as beds
from tests.support.kubectl import Kubectl, until
from tests.support.release import NAME, NAMESPACE, Release
from tests.support.watched import Watched

pytestmark = pytest.mark.timeout(900)

NEXT = (*beds.VALUES, "podLabels.release=next", "logFormat=json", "replicas=2")
ENDLESS = 1_000_000
ON = 10
"""Steps, and answers, after which something goes on."""


@pytest.fixture
def release(bed: Kubectl) -> Iterator[Release]:
    release = beds.release(bed)
    yield release
    release.install(*beds.VALUES)


class Lives:
    """A training and an autoscaled serving under load."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        provide_files(kubectl, "load-files", [])
        kubectl.apply(tune())
        kubectl.apply(manifest("served", engine=builtin(), autoscaling=scaling(2, 2, 30)))
        kubectl.apply(json.dumps(tiny("train", hyperparameters=hyperparameters(ENDLESS))))
        self.training = Watched(kubectl, "train")
        url = wait_available(kubectl, "served", timeout_s=300)["status"]["url"]
        self.load = Load(kubectl, url, "served", beds.RUNTIME_IMAGE, clients=6, seconds=1200)
        until("two replicas serve", lambda: self._ready() == 2, timeout_s=300)
        self.training.until_step(1, ON, timeout_s=180)
        self._began = self.pods()

    def _ready(self) -> int:
        return int((self._kubectl.get("deepseekserving", "served") or {})["status"].get("readyReplicas", 0))

    def pods(self) -> dict[str, list[int]]:
        """Pods of both by uid, with the restarts of their containers."""
        found = [*pods_of(self._kubectl, "served"), *self._kubectl.list("pods", self.training.selector)]
        return {
            pod["metadata"]["uid"]: [c["restartCount"] for c in pod["status"]["containerStatuses"]] for pod in found
        }

    def go_on(self, after: str) -> None:
        """Both make progress from now, by the pods that they had before."""
        step, answered = max(self.training.losses(1)), self.load.answered
        self.training.until_step(1, step + ON, timeout_s=180)
        until(f"{after}: answers", lambda: self.load.answered >= answered + ON, timeout_s=120)
        assert self.pods() == self._began, after
        assert (self.load.failed, self.load.refused) == (0, 0), after

    def close(self) -> None:
        self.load.stop()
        self.training.close()


@pytest.fixture
def lives(kubectl: Kubectl) -> Iterator[Lives]:
    lives = Lives(kubectl)
    yield lives
    lives.close()


def test_neither_a_training_nor_a_serving_notices_that_the_operator_is_upgraded_rolled_back_and_taken_away(
    kubectl: Kubectl, release: Release, lives: Lives
) -> None:
    release.install(*NEXT)
    assert operators(kubectl) == [2, {"release": "next"}]
    lives.go_on("upgraded")
    release.roll_back()
    assert operators(kubectl) == [1, {}]
    lives.go_on("rolled back")
    release.uninstall()
    assert kubectl.within(NAMESPACE).get("deployment", NAME) is None
    kubectl.run("patch", "deepseektraining", "train", "--type=merge", '--patch={"spec":{"suspend":true}}')
    lives.go_on("taken away")
    release.install(*beds.VALUES)
    stopped = lives.training.until("it is suspended", lambda status: status.get("phase") == "Suspended", timeout_s=120)
    assert stopped["lastCheckpoint"]["step"] >= max(lives.training.losses(1)), "it saved what it had"
    assert (stopped["attempt"]["number"], stopped.get("restarts", 0)) == (1, 0)
    assert (lives.load.failed, lives.load.refused) == (0, 0)


def operators(kubectl: Kubectl) -> list[Any]:
    """How many replicas the operator has, and what only the upgrade adds to their labels."""
    found = kubectl.within(NAMESPACE).json("get", "deployment", NAME)
    labels = found["spec"]["template"]["metadata"]["labels"]
    return [found["spec"]["replicas"], {name: labels[name] for name in ("release",) if name in labels}]
