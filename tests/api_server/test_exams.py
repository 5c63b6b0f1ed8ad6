"""Exams of a canary on a real API server under the chart's rights: the real Job controller runs them, a fake kubelet leaves
their marks, and whatever becomes of a Job or of the operator, there is one at a time and none is left.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import KILLED, OperatorProcess
from tests.support.tried import LIMIT_S, Tried

pytestmark = pytest.mark.timeout(240)
METRIC = {"type": "Accuracy", "data": "pvc://models/heldout.jsonl", "samples": 50, "maxDrop": "0.02"}
ANALYSIS = {"intervalSeconds": 10, "failureLimit": 1, "metrics": [METRIC]}
ROLLOUT: dict[str, Any] = {"canary": {"steps": [{"weight": 50, "bakeSeconds": 1, "analysis": ANALYSIS}]}}


@dataclass
class Bed:
    """One serving, its operator, and the node that its pods run on.

    Attributes:
        first: the revision that is stable.
    """

    tried: Tried
    node: FakeNode
    operator: OperatorProcess
    first: str = ""
    made: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """A second version is asked for, and both are examined."""
        self.first = self.tried.begin()
        self.tried.edit(spec={"engine": {"maxConcurrency": 8}})
        until("both are examined", lambda: len(self.asked()) == 2, timeout_s=LIMIT_S)

    def jobs(self) -> list[Manifest]:
        items: list[Manifest] = self.tried.api.get(self.tried.path("Job"))["items"]
        self.made |= {item["metadata"]["uid"] for item in items}
        return items

    def asked(self) -> dict[bool, Manifest]:
        """Pods that examine now, by whether they examine the stable revision."""
        pods = self.node.pods("deepseek-operator.io/role=examiner")
        return {self.first in _url(pod): pod for pod in pods if pod["status"].get("phase") == "Running"}

    def marks(self, new: float, stable: float) -> None:
        for is_stable, pod in self.asked().items():
            metrics = {"accuracy": stable if is_stable else new, "samples": 50}
            self.node.end(pod, 0, json.dumps({"formatVersion": 1, "result": "Complete", "metrics": metrics}))

    def ends(self, phase: str) -> None:
        """The run ends so, and nothing is left of its exams."""
        self.tried.reaches(phase, 1)
        until("no Job is left", lambda: not self.jobs(), timeout_s=LIMIT_S)
        until("no pod is left", lambda: not self.node.pods("deepseek-operator.io/role=examiner"), timeout_s=LIMIT_S)


def _url(pod: Manifest) -> str:
    return str(next(e["value"] for e in pod["spec"]["containers"][0]["env"] if e["name"] == "DEEPSEEK_EXAM_URL"))


@pytest.fixture
def bed(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Bed]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    operator = OperatorProcess(controllers, tmp_path, system, namespace)
    with FakeNode(controllers.api, namespace, namespace) as node, operator:
        yield Bed(Tried(controllers.api, namespace, ROLLOUT), node, operator)
    assert set(operator.exits) <= {KILLED}


def test_a_version_that_is_right_as_often_takes_the_place_of_the_one_before(bed: Bed) -> None:
    bed.begin()
    bed.jobs()
    bed.operator.kill()
    bed.marks(new=0.94, stable=0.95)
    bed.ends("Completed")
    assert len(bed.made) == 2, "the process that died made two, and the next one none"
    (metric,) = bed.tried.run()["analysis"]["metrics"]
    assert metric["message"] == "Accuracy 0.94, at least 0.93 (0.02 below stable's 0.95), of 50 prompts"


def test_a_version_that_is_right_less_often_goes_back(bed: Bed) -> None:
    bed.begin()
    bed.marks(new=0.9, stable=0.95)
    bed.ends("RolledBack")
    assert bed.tried.status()["stable"] == bed.first
    assert "Accuracy 0.9, at least 0.93" in bed.tried.run()["message"]


def test_an_exam_that_is_evicted_or_fails_is_tried_again_and_judges_nobody(bed: Bed) -> None:
    bed.begin()
    for is_stable, pod in bed.asked().items():
        if is_stable:
            bed.node.evict(pod)
        else:
            bed.node.end(pod, 1, "the server was gone")
    until("it is told", lambda: [e["phase"] for e in bed.tried.run()["exams"]] == ["BackingOff"] * 2, timeout_s=LIMIT_S)
    until("both are examined again", lambda: len(bed.asked()) == 2, timeout_s=LIMIT_S)
    assert [exam["attempt"] for exam in bed.tried.run()["exams"]] == [2, 2]
    bed.marks(new=0.95, stable=0.95)
    bed.ends("Completed")


def test_a_quota_without_room_for_the_pods_is_told_and_the_run_waits(bed: Bed) -> None:
    path = f"/api/v1/namespaces/{bed.tried.namespace}/resourcequotas"
    bed.first = bed.tried.begin()
    bed.tried.api.create(path, {"metadata": {"name": "little"}, "spec": {"hard": {"limits.memory": "512Mi"}}})
    bed.tried.edit(spec={"engine": {"maxConcurrency": 8, "resources": {"memory": "64Mi"}}})

    def told() -> bool:
        said = [one for one in bed.tried.status().get("conditions", ()) if one["type"] == "Reconciling"]
        return [(one["reason"], "an exam waits: " in one["message"]) for one in said] == [("WaitingForQuota", True)]

    until("it is told", told, timeout_s=LIMIT_S)
    bed.tried.api.delete(f"{path}/little")
    until("both are examined", lambda: len(bed.asked()) == 2, timeout_s=LIMIT_S)
    bed.marks(new=1.0, stable=1.0)
    bed.ends("Completed")
