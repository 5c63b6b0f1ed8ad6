"""The gate's real process under the chart's rights at a real API server: keys come and go by the command within 5 s."""

import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from examples.local_cluster import kubeconfig, programs
from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.support.fault_proxy import FaultProxy, NoAnswer
from tests.support.gate import OPERATOR, GateProcess, models_map, told
from tests.support.output import output_of

pytestmark = pytest.mark.timeout(240)

CHART = OPERATOR.parent / "charts" / "deepseek-operator"
REVOKED_WITHIN_S = 5.0
PLURALS = {
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Deployment": "deployments",
    "Service": "services",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "NetworkPolicy": "networkpolicies",
}


def rendered(system: str, *namespaces: str) -> list[Manifest]:
    """What the chart makes for the gate, but what other projects define."""
    values = ["gate.enabled=true", f"gate.namespaces={{{','.join(namespaces)}}}", "networkPolicy.enabled=true"]
    sets = [argument for value in (*values, f"fullnameOverride={system}") for argument in ("--set", value)]
    text = output_of(
        [programs.built("helm"), "template", system, str(CHART), "-n", system, "-s", "templates/gate.yaml", *sets]
    )
    return [one for one in yaml.safe_load_all(text) if one and one["kind"] in PLURALS]


class Stage:
    """A gate for one namespace, asked as Envoy asks; its API server can go away."""

    def __init__(self, cluster: Cluster, folder: Path, system: str, namespace: str) -> None:
        self.cluster, self.folder, self.system, self.namespace = cluster, folder, system, namespace
        self.user = kubeconfig.with_certificate(
            folder / "user.kubeconfig", cluster.url, cluster.ca, cluster.admin_certificate, cluster.admin_key, namespace
        )
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        account = f"/api/v1/namespaces/{system}/serviceaccounts/{system}-gate"
        self.token = folder / "token"
        self.token.write_text(cluster.api.create(f"{account}/token", request)["status"]["token"])
        self.proxy = FaultProxy(cluster.url, ssl.create_default_context(cafile=str(cluster.ca)), lambda: None).start()
        self.gate = GateProcess(folder, self.proxy.url, self.token, cluster.ca, [namespace])

    def key(self, *arguments: str) -> str:
        """`deepseek-operator key …`: its standard output."""
        command = [sys.executable, "-m", "deepseek_operator", "key", *arguments, "--kubeconfig", str(self.user)]
        done = subprocess.run(command, cwd=OPERATOR, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def ask(self, key: str, model: str = "chat") -> int:
        """The status for a request with that key."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "a prompt"}]}).encode()
        return told(self.gate.url("/v1/chat/completions", self.namespace), body, headers)[0]

    def becomes(self, key: str, status: int) -> float:
        """Seconds until the key is answered so."""
        begun = time.monotonic()
        wait_for(f"{status}", lambda: self.ask(key) == status, timeout_s=30)
        return time.monotonic() - begun


@contextmanager
def staged(cluster: Cluster, folder: Path, namespace: str) -> Iterator[Stage]:
    """The chart's rights, and models of the namespace; the gate isn't started yet."""
    system = f"{namespace}-gw"
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    for manifest in rendered(system, namespace):
        if manifest["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            cluster.api.apply(_path(manifest), manifest)
    models = models_map(namespace=namespace)
    del models["metadata"]["uid"], models["metadata"]["resourceVersion"], models["metadata"]["creationTimestamp"]
    cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", models)
    stage = Stage(cluster, folder, system, namespace)
    try:
        yield stage
    finally:
        stage.proxy.stop()


def _path(manifest: Manifest) -> str:
    group, metadata = manifest["apiVersion"], manifest["metadata"]
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    return f"{root}/namespaces/{metadata['namespace']}/{PLURALS[manifest['kind']]}/{metadata['name']}"


@pytest.fixture
def stage(api_server: Cluster, tmp_path: Path, namespace: str) -> Iterator[Stage]:
    with staged(api_server, tmp_path, namespace) as stage:
        yield stage


def test_a_key_made_by_the_command_opens_what_it_is_for_until_it_is_revoked(stage: Stage) -> None:
    with stage.gate:
        wait_for("the gate is ready", lambda: stage.gate.health("/readyz")[0] == 200, timeout_s=30)
        assert stage.ask("sk-ds-guessed") == 401
        alice = stage.key("new", "alice", "--serving", "chat")
        bob = stage.key("new", "bob", "--serving", "r1", "--expires", "never", "-n", stage.namespace)
        assert re.fullmatch("sk-ds-[0-9A-Za-z]{43}", alice)
        assert stage.becomes(alice, 200) < REVOKED_WITHIN_S
        assert stage.becomes(bob, 403) < REVOKED_WITHIN_S
        assert stage.ask(bob, "reasoner") == 200
        assert stage.ask(bob, "unknown") == 404
        listing = stage.key("list")
        assert [line.split()[:2] for line in listing.splitlines()[1:]] == [["alice", "chat"], ["bob", "r1"]]
        stage.key("revoke", "alice")
        assert stage.becomes(alice, 401) < REVOKED_WITHIN_S
        assert stage.ask(bob, "reasoner") == 200
        stored = json.dumps(stage.cluster.api.get(f"/api/v1/namespaces/{stage.namespace}/configmaps"))
    said = stage.gate.log.read_text() + stored + listing
    assert all(secret not in said for secret in (alice, bob, "sk-ds-guessed", "a prompt"))


def test_names_are_taken_once_and_what_is_not_there_can_not_be_revoked(stage: Stage) -> None:
    stage.key("new", "alice", "--serving", "chat")
    with pytest.raises(AssertionError, match="there is a key alice"):
        stage.key("new", "alice", "--serving", "*")
    with pytest.raises(AssertionError, match="there is no key carol"):
        stage.key("revoke", "carol")
    stage.key("revoke", "alice")
    stage.key("new", "alice", "--serving", "*")


def test_a_key_of_another_config_map_counts_and_is_revoked_by_its_name(stage: Stage) -> None:
    """As a repository brings it: `-o yaml`, under a name of the repository's own."""
    made = yaml.safe_load(stage.key("new", "carol", "--serving", "*", "-o", "yaml", "-n", stage.namespace))
    made["metadata"]["name"] = "keys-of-carol"
    path = f"/api/v1/namespaces/{stage.namespace}/configmaps"
    stage.cluster.api.create(path, made)
    assert "keys-of-carol" in stage.key("list")
    stage.key("revoke", "carol")
    assert not stage.cluster.api.get(f"{path}/keys-of-carol").get("data")


@pytest.mark.parametrize("is_silent", [False, True], ids=["gone", "silent"])
def test_without_the_api_server_it_keeps_what_it_knows_and_takes_up_what_was_missed(
    stage: Stage, is_silent: bool
) -> None:
    alice = stage.key("new", "alice", "--serving", "chat")
    with stage.gate:
        stage.becomes(alice, 200)
        if is_silent:
            stage.proxy.answer = lambda asked: NoAnswer.SILENCE
        else:
            stage.proxy.refuse()
        wait_for("it is told", lambda: "no list from the API server" in stage.gate.log.read_text(), timeout_s=30)
        stage.key("revoke", "alice")
        assert stage.ask(alice) == 200
        assert stage.gate.health("/readyz")[0] == 200
        stage.proxy.answer = lambda asked: None
        stage.proxy.listen()
        assert stage.becomes(alice, 401) < REVOKED_WITHIN_S


def test_what_was_never_read_lets_nobody_in(stage: Stage) -> None:
    alice = stage.key("new", "alice", "--serving", "*")
    stage.proxy.refuse()
    with stage.gate:
        assert stage.ask(alice) == 429
        assert stage.gate.health("/readyz")[0] == 503
        assert stage.gate.health("/healthz")[0] == 200
        stage.proxy.listen()
        stage.becomes(alice, 200)
        assert stage.gate.health("/readyz")[0] == 200


def test_a_token_that_the_kubelet_renews_is_taken_up(stage: Stage) -> None:
    alice = stage.key("new", "alice", "--serving", "chat")
    good = stage.token.read_text()
    stage.token.write_text("expired")
    with stage.gate:
        wait_for("it is told", lambda: "answers 401" in stage.gate.log.read_text(), timeout_s=30)
        assert stage.ask(alice) == 429
        stage.token.write_text(good)
        stage.becomes(alice, 200)


def test_two_hundred_that_wait_mark_the_lease_again_and_again_and_all_go_on(stage: Stage) -> None:
    """The test stands for the operator: it has made the Lease, sees each mark, and says when a replica is ready."""
    api, namespace = stage.cluster.api, stage.namespace
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    api.create(leases, {"metadata": {"name": "chat-serve"}})

    def says(ready: int) -> None:
        models = {"models": {"chat": {"serving": "chat", "ready": ready, "holdSeconds": 300}}}
        patch = {"data": {"models.json": json.dumps(models)}}
        api.patch(f"/api/v1/namespaces/{namespace}/configmaps/deepseek-models", patch)

    def marked() -> str | None:
        found: str | None = (api.get(f"{leases}/chat-serve").get("spec") or {}).get("renewTime")
        return found

    with stage.gate:
        alice = stage.key("new", "alice", "--serving", "chat")
        assert stage.becomes(alice, 200) < REVOKED_WITHIN_S
        assert marked() is None
        says(ready=0)
        time.sleep(REVOKED_WITHIN_S)
        with ThreadPoolExecutor(200) as clients:
            begun = time.monotonic()
            asked = [clients.submit(stage.ask, alice) for _ in range(200)]
            wait_for("a mark", lambda: marked() is not None, timeout_s=10)
            assert time.monotonic() - begun < 2
            first = marked()
            wait_for("another mark", lambda: marked() != first, timeout_s=10)
            assert not any(one.done() for one in asked)
            says(ready=1)
            woken = time.monotonic()
            assert {one.result(30) for one in asked} == {200}
            assert time.monotonic() - woken < 2
        lease = api.get(f"{leases}/chat-serve")
        assert lease["metadata"]["annotations"]["deepseek-operator.io/waiting"] == "200"


def test_the_gate_may_list_config_maps_and_mark_leases_of_its_namespaces_and_nothing_else(stage: Stage) -> None:
    def may(verb: str, resource: str, namespace: str) -> bool:
        group = "coordination.k8s.io" if resource == "leases" else ""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{stage.system}:{stage.system}-gate",
                "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace},
            },
        }
        answer = stage.cluster.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    wait_for("the rights count", lambda: may("list", "configmaps", stage.namespace), timeout_s=30)
    refused = [
        ("list", "secrets", stage.namespace),
        ("get", "configmaps", stage.namespace),
        ("patch", "configmaps", stage.namespace),
        ("list", "pods", stage.namespace),
        ("list", "configmaps", "default"),
        ("list", "configmaps", stage.system),
        *((verb, "leases", stage.namespace) for verb in ("get", "list", "create", "update", "delete")),
        ("patch", "leases", "default"),
        ("patch", "leases", stage.system),
        ("patch", "leases", "kube-system"),
    ]
    assert may("patch", "leases", stage.namespace)
    assert [asked for asked in refused if may(*asked)] == []


def test_what_the_chart_makes_is_taken_and_its_pod_admitted_where_pods_are_restricted(
    api_server: Cluster, namespace: str
) -> None:
    labels = {f"pod-security.kubernetes.io/{name}": word for name, word in {"enforce": "restricted"}.items()}
    api_server.api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    made = rendered(namespace, namespace)
    assert {one["kind"] for one in made} == set(PLURALS)
    for manifest in made:
        api_server.api.apply(_path(manifest), manifest)
    (template,) = (one["spec"]["template"] for one in made if one["kind"] == "Deployment")
    pod = {"metadata": {**template["metadata"], "generateName": "gate-"}, "spec": template["spec"]}
    api_server.api.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")
    pod["spec"]["containers"][0]["securityContext"] = {}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        api_server.api.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")
    (service,) = (one for one in made if one["kind"] == "Service")
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
