"""A namespace that lets no pod of a training in: the API server's own words reach the training.

Real API server and Job controller. One operator watches one namespace, in which the cases are tried one after the other.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(180)
LIMIT_S = 30.0
V1 = "/api/v1/namespaces/{}"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
SPEC: dict[str, Any] = {
    "model": {"custom": {"model_type": "deepseek_v3"}},
    "datasets": [{"source": {"uri": "builtin://uppercase"}}],
    "hyperparameters": {"maxSteps": 10},
    "trainer": {"resources": {"cpu": "1", "memory": "2Gi"}},
}


@pytest.fixture
def tenant(controllers: Cluster, tmp_path: Path, namespace: str) -> Iterator["Tenant"]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    with OperatorProcess(controllers, tmp_path, system, namespace) as operator:
        yield Tenant(controllers, namespace)
    assert operator.exits == []


class Tenant:
    """A user of one namespace, and its administrator."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.api = cluster.api
        self.namespace = namespace

    def trainings(self) -> str:
        return f"/apis/deepseek-operator.io/v1alpha1/namespaces/{self.namespace}/deepseektrainings"

    def make(self, kind: str, manifest: Manifest) -> str:
        """Creates an object of the namespace; its path."""
        path = f"{V1.format(self.namespace)}/{kind}"
        self.api.create(path, manifest)
        return f"{path}/{manifest['metadata']['name']}"

    def told(self, name: str) -> tuple[str, str, str]:
        """phase, reason and message of the condition Reconciling."""
        status = self.api.get(f"{self.trainings()}/{name}").get("status", {})
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        found = conditions.get("Reconciling", {})
        return status.get("phase", ""), found.get("reason", ""), found.get("message", "")

    def try_one(self, name: str, reason: str, words: str, **spec: Any) -> None:
        """A new training is told `reason` with `words`, as a Warning event too; then it goes."""
        manifest = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekTraining"}
        self.api.create(self.trainings(), {**manifest, "metadata": {"name": name}, "spec": {**SPEC, **spec}})
        until(f"{name} is {reason}", lambda: self.told(name)[1] == reason, timeout_s=LIMIT_S, every_s=0.2)
        phase, _, message = self.told(name)
        assert (phase, words in message) == ("Pending", True), message

        def warned() -> bool:
            events = self.api.get(f"{V1.format(self.namespace)}/events")["items"]
            mine = [e for e in events if (e["involvedObject"]["name"], e["reason"]) == (name, reason)]
            return [(e["type"], words in e["message"], bool(e["lastTimestamp"])) for e in mine] == [
                ("Warning", True, True)
            ]

        until(f"{name} is warned of", warned, timeout_s=LIMIT_S, every_s=0.2)
        self.api.delete(f"{self.trainings()}/{name}")


def test_whatever_keeps_its_pods_away_is_quoted(tenant: Tenant) -> None:
    def counted(path: str) -> None:
        until("the quota counts", lambda: tenant.api.get(path).get("status", {}).get("used"), timeout_s=LIMIT_S)

    quota = tenant.make("resourcequotas", {"metadata": {"name": "team"}, "spec": {"hard": {"limits.cpu": "100"}}})
    counted(quota)
    tenant.try_one("obligatory", "WaitingForQuota", "must specify limits.cpu")
    tenant.api.delete(quota)

    quota = tenant.make("resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"requests.memory": "1Gi"}}})
    counted(quota)
    tenant.try_one("large", "WaitingForQuota", "exceeded quota: few")
    tenant.api.delete(quota)

    limits = {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]}
    limit = tenant.make("limitranges", {"metadata": {"name": "small"}, "spec": limits})
    tenant.try_one("limited", "WaitingForQuota", "maximum memory usage per Container is 1Gi")
    tenant.api.delete(limit)

    tenant.try_one(
        "unprivileged", "Forbidden", "no PriorityClass with name", trainer={"pod": {"priorityClassName": "nosuch"}}
    )


def test_a_policy_that_denies_pods_is_quoted(tenant: Tenant) -> None:
    name = f"no-pods-{tenant.namespace}"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "false", "message": "no GPUs at night"}],
    }
    version = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    tenant.api.create(POLICIES, {**version, "kind": "ValidatingAdmissionPolicy", "spec": spec})
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}}}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": selector}
    tenant.api.create(BINDINGS, {**version, "kind": "ValidatingAdmissionPolicyBinding", "spec": bound})
    try:
        probe: dict[str, Any] = {"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}

        def denied() -> bool:
            try:
                tenant.api.create(f"{V1.format(tenant.namespace)}/pods", probe, dryRun="All")
            except Exception as error:
                return "no GPUs at night" in str(error)
            return False

        until("the policy counts", denied, timeout_s=LIMIT_S, every_s=0.2)
        tenant.try_one("night", "Forbidden", "no GPUs at night")
    finally:
        tenant.api.delete(f"{BINDINGS}/{name}")
        tenant.api.delete(f"{POLICIES}/{name}")
