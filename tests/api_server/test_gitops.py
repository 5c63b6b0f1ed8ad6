"""What lies in Git is applied as Argo CD and Flux do, server-side under a manager's name, while the operator works: the same
apply tried again changes nothing, whatever the operator, the autoscaler and people have written since.
"""

from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from examples.local_cluster import programs
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.argocd import acted, merge_patch
from tests.support.canonical import COLLECTIONS
from tests.support.examples import documents, resource
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "examples" / "gitops" / "models"
WITHIN_S = 120
HOUR = {"AUDIT_INTERVAL_SECONDS": "1", "RESYNC_INTERVAL_SECONDS": "1", "SIGNAL_INTERVAL_SECONDS": "1"}
AUDITS, PASSES = 60, 7
"""What the operator does by itself within an hour: an audit each minute, a pass over each object each ten minutes or sooner."""
HOUR_WITHIN_S = 400
"""A minute, on a machine that has nothing else to do."""
CLAIM: Manifest = {
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


class Repository:
    """The manifests of Git, and what a synchronisation of them would change now."""

    def __init__(self, api: Api, namespace: str, operator: OperatorProcess) -> None:
        self.api = api
        self.operator = operator
        self._namespace = namespace
        training, serving = (resource(MODELS / f"{name}.yaml") for name in ("training", "serving"))
        # Nothing trains on this node: a folder of a claim is served in place of the export.
        serving["spec"]["model"] = {"source": {"uri": "pvc://models/v1"}}
        self.manifests = (training, serving)

    def path(self, manifest: Manifest) -> str:
        return f"{COLLECTIONS[manifest['kind']].format(self._namespace)}/{manifest['metadata']['name']}"

    def live(self, manifest: Manifest) -> Manifest:
        return self.api.get(self.path(manifest))

    def sync(self, manifest: Manifest, **query: str) -> Manifest:
        return self.api.apply(self.path(manifest), manifest, fieldManager="argocd-controller", **query)

    def difference(self, manifest: Manifest) -> dict[str, Any]:
        """Server-side diff: the live object against what the server would make of the manifest."""
        predicted, live = self.sync(manifest, dryRun="All"), self.live(manifest)
        for one in (predicted, live):
            del one["metadata"]["managedFields"]
        return merge_patch(live, predicted)

    def live_an_hour(self) -> None:
        """Returns when the operator has done all that it does by itself within an hour; its intervals are seconds."""
        audits, passes = self._audits(), self._passes()

        def is_over() -> bool:
            went = {controller: count - passes[controller] for controller, count in self._passes().items()}
            return self._audits() - audits >= AUDITS and min(went.values()) >= PASSES

        until("an hour is over", is_over, timeout_s=HOUR_WITHIN_S, every_s=1)

    def _audits(self) -> int:
        """Lists of the trainings' metadata so far, of which each audit makes one."""
        asked = list(self.operator.proxy.asked)
        return sum("PartialObjectMetadata" in one.accept and one.last == "deepseektrainings" for one in asked)

    def _passes(self) -> dict[str, float]:
        """So far, by kind."""
        with urlopen(f"http://127.0.0.1:{self.operator.environment['METRICS_PORT']}/metrics", timeout=30) as answer:
            families = {one.name: one for one in text_string_to_metric_families(answer.read().decode())}
        found: dict[str, float] = {}
        for sample in families["controller_runtime_reconcile"].samples:
            if sample.name.endswith("_total"):
                found[sample.labels["controller"]] = found.get(sample.labels["controller"], 0) + sample.value
        return found

    def act(self, manifest: Manifest, action: str) -> None:
        """As Argo CD's server does: the difference that the script makes, as a merge patch."""
        live = self.live(manifest)
        self.api.patch(self.path(manifest), merge_patch(live, acted(live, action)))


@pytest.fixture
def repository(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Repository]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    controllers.api.create(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", CLAIM)
    settings = {**HOUR, "METRICS_PORT": str(free_port())}
    operator = OperatorProcess(controllers, tmp_path, system, namespace, settings)
    with FakeNode(controllers.api, namespace, namespace), operator:
        yield Repository(controllers.api, namespace, operator)
    assert operator.exits == []


def test_nothing_drifts_from_git_while_the_operator_the_autoscaler_and_people_work(repository: Repository) -> None:
    training, serving = repository.manifests

    def is_in(manifest: Manifest, phase: str) -> None:
        def reached() -> bool:
            return (repository.live(manifest).get("status") or {}).get("phase") == phase

        until(f"{manifest['kind']} is {phase}", reached, timeout_s=WITHIN_S)

    for manifest in repository.manifests:
        repository.sync(manifest)
    is_in(training, "Running")
    is_in(serving, "Available")
    assert [repository.difference(manifest) for manifest in repository.manifests] == [{}, {}]

    scale = {"spec": {"replicas": 2}}
    repository.api.patch(f"{repository.path(serving)}/scale", scale, fieldManager="kube-controller-manager")
    repository.act(training, "suspend")
    is_in(training, "Suspended")
    assert [repository.difference(manifest) for manifest in repository.manifests] == [{}, {}]
    repository.sync(training)
    assert repository.live(training)["spec"]["suspend"] is True, "Git says nothing of it"
    repository.act(training, "resume")
    is_in(training, "Running")
    repository.live_an_hour()
    assert [repository.difference(manifest) for manifest in repository.manifests] == [{}, {}]


@pytest.mark.parametrize("path", ["argocd/apps/operator.yaml"])
def test_the_chart_of_the_example_is_the_same_at_every_rendering(path: str, tmp_path: Path) -> None:
    (application,) = documents(ROOT / "examples" / "gitops" / path)
    source, values = application["spec"]["source"], tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(source["helm"]["valuesObject"]))
    command = [programs.built("helm"), "template", source["helm"]["releaseName"], str(ROOT / source["path"])]
    texts = [
        run([*command, "--values", str(values)], capture_output=True, text=True, check=True, timeout=60).stdout
        for _ in range(2)
    ]
    assert texts[0] == texts[1]
    assert "kind: APIService" in texts[0]
