"""What a fetch to a claim that is a cache is told on a real API server: all that is in use of it now, and nothing that was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.tried import CLAIM, LIMIT_S, Tried

pytestmark = pytest.mark.timeout(240)
PLACE = "s3/team-models--lite"
OLD, NEW = f"{PLACE}/{'1' * 40}", f"{PLACE}--v2/{'2' * 40}"
TRAINED = {"model": {"custom": {"model_type": "deepseek_v3"}}, "hyperparameters": {"maxSteps": 100}, "suspend": True}
DATA = f"hf/datasets--team--chats/{'3' * 40}-{'4' * 12}"


class Bed:
    """One serving of a source that is fetched, a training that reads another folder of the claim, and their pods' node."""

    def __init__(self, cluster: Cluster, namespace: str, node: FakeNode) -> None:
        self.tried, self.node, self.api = Tried(cluster.api, namespace, {}), node, cluster.api

    def make(self, kind: str, name: str, spec: dict[str, Any], **annotations: str) -> Manifest:
        version = "v1" if kind == "PersistentVolumeClaim" else "deepseek-operator.io/v1alpha1"
        metadata = {"name": name, "annotations": annotations}
        return self.api.create(
            self.tried.path(kind), {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        )

    def fetcher(self, uri: str) -> Manifest:
        """The pod that fetches it and runs."""

        def running() -> Manifest | None:
            pods = self.node.pods("deepseek-operator.io/role=fetcher")
            found = (pod for pod in pods if variable(pod, "DEEPSEEK_SOURCE_URI") == uri)
            return next((pod for pod in found if pod["status"].get("phase") == "Running"), None)

        pod: Manifest = until(f"{uri} is fetched", running, timeout_s=LIMIT_S)
        return pod

    def ends(self, pod: Manifest, code: int, **source: Any) -> None:
        said = {"formatVersion": 1, "result": "Complete" if code == 0 else "Full", "message": "over", "source": source}
        self.node.end(pod, code, json.dumps(said))

    def brings(self, uri: str, folder: str, **source: Any) -> None:
        revision = folder.rpartition("/")[2]
        told = {"folder": f"sources/{folder}", "revision": revision, "digest": f"sha256:{'0' * 64}", "bytes": 31}
        self.ends(self.fetcher(uri), 0, **told, **source)
        until("it is recorded", lambda: self.source().get("subPath") == f"sources/{folder}", timeout_s=LIMIT_S)

    def source(self) -> dict[str, Any]:
        return dict(next(iter(self.tried.status().get("sources", [])), {}))


def variable(pod: Manifest, name: str) -> str:
    env = pod["spec"]["containers"][0]["env"]
    return str(next((one.get("value", "") for one in env if one["name"] == name), ""))


@pytest.fixture
def bed(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Bed]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    with (
        FakeNode(controllers.api, namespace, namespace) as node,
        OperatorProcess(controllers, tmp_path, system, namespace),
    ):
        yield Bed(controllers, namespace, node)


def test_a_fetch_is_told_what_is_in_use_now(bed: Bed) -> None:
    claim = bed.make("PersistentVolumeClaim", "models", CLAIM, **{"deepseek-operator.io/evict": "LastUse"})
    old, new = (f"s3://team-models/{prefix}" for prefix in ("lite", "lite/v2"))
    reads = {"source": {"uri": f"pvc://models/sources/{DATA}/*.jsonl"}}
    bed.make("DeepSeekTraining", "reads", {**TRAINED, "datasets": [reads]})
    bed.make("DeepSeekServing", "x", {"model": {"source": {"uri": old, "claimName": "models"}}})
    bed.brings(old, OLD)
    until("it serves", lambda: bed.tried.status().get("stable"), timeout_s=LIMIT_S)
    bed.tried.edit(spec={"model": {"source": {"uri": new, "claimName": "models"}}})
    pod = bed.fetcher(new)
    usage = json.loads(variable(pod, "DEEPSEEK_CLAIM_USAGE"))
    assert usage["named"] == [f"{DATA}/", OLD], "the training's data, and the revision that serves and is kept"
    assert variable(pod, "DEEPSEEK_CLAIM_UID") == claim["metadata"]["uid"]
    bed.ends(pod, 73)
    until("it is full", lambda: bed.source().get("reason") == "ClaimFull", timeout_s=LIMIT_S)
    bed.api.delete(bed.tried.path("DeepSeekTraining", "reads"))
    again = bed.fetcher(new)
    assert json.loads(variable(again, "DEEPSEEK_CLAIM_USAGE"))["named"] == [OLD]
    bed.brings(new, NEW, evicted=[f"{DATA} (3.0 GiB)"])
    assert bed.source()["evicted"] == [f"{DATA} (3.0 GiB)"]

    def told() -> list[str]:
        events: list[Manifest] = bed.api.get(f"/apis/events.k8s.io/v1/namespaces/{bed.tried.namespace}/events")["items"]
        return [event["note"] for event in events if event["reason"] == "SourceEvicted"]

    notes = until("it is told", told, timeout_s=LIMIT_S)
    assert notes == [f"{DATA} (3.0 GiB) went from claim models for {new} to have room: nothing named it any more"]
