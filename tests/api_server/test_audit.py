"""Who did what, by the audit policy of the examples: two people, the operator, and a log that names each and no secret."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.kubectl import find_program, until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.our_kinds import serving_our_kinds
from tests.support.output import output_of

pytestmark = pytest.mark.timeout(240)
POLICY = Path(__file__).parents[2] / "examples/audit/policy.yaml"
LIMIT_S = 90.0
TEAM, SYSTEM = "team", "deepseek-system"
NAMED = "system:serviceaccount:deepseek-system:deepseek-operator"
OPERATOR = f"system:serviceaccount:{SYSTEM}:{SYSTEM}"
"""As the release of these tests is called; the policy names the usual one."""
SECRET = "sk-of-nobody"
SERVINGS = COLLECTIONS["DeepSeekServing"].format(TEAM)
VERBS = "deepseek-operator.io"
ROLLOUT = {"canary": {"steps": [{"weight": 50, "pause": True, "bakeSeconds": 0}]}}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server with the example's policy, and its controllers."""
    text = POLICY.read_text()
    assert text.count(NAMED) == 1
    policy = yaml.safe_load(text.replace(NAMED, OPERATOR))
    home = tmp_path_factory.mktemp("watched")
    yield from serving_our_kinds(home, frozenset({"controller-manager"}), audit=policy)


class Person:
    """Somebody with rights in the namespace, who types."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        self._config = cluster.user_kubeconfig(name, ("people",), folder / name)

    def types(self, *arguments: str) -> None:
        output_of([find_program("kubectl"), "--kubeconfig", str(self._config), "-n", TEAM, *arguments])


def may_edit(api: Api) -> None:
    """The people, in the namespace."""
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    binding = {
        "metadata": {"name": "people"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "people"},
        "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "people"}],
    }
    api.create(f"/apis/{rbac}/v1/namespaces/{TEAM}/roles", {"metadata": {"name": "people"}, "rules": [rule]})
    api.create(f"/apis/{rbac}/v1/namespaces/{TEAM}/rolebindings", binding)


def status(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"{SERVINGS}/x").get("status", {})
    return found


def lives(api: Api, alice: Person, bob: Person, folder: Path) -> tuple[str, str]:
    """Two versions of a serving: created and promoted by alice, edited and rolled back by bob; their revisions."""
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    api.create(COLLECTIONS["PersistentVolumeClaim"].format(TEAM), {"metadata": {"name": "models"}, "spec": claim})
    spec = {"model": {"source": {"uri": "pvc://models/v1"}}, "replicas": 1, "rollout": ROLLOUT}
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": "x"}}
    written = folder / "serving.json"
    written.write_text(json.dumps({**head, "spec": spec}))
    alice.types("create", "-f", str(written))
    first = str(until("it serves", lambda: status(api).get("stable"), timeout_s=LIMIT_S))
    bob.types("patch", "dss", "x", "--type=merge", "-p", '{"spec": {"engine": {"maxConcurrency": 8}}}')
    until("it is tried", lambda: status(api).get("canary", {}).get("phase") == "Paused", timeout_s=LIMIT_S)
    second = str(status(api)["canary"]["target"])
    alice.types("annotate", "dss", "x", f"{VERBS}/promote={second}/1")
    until("it is promoted", lambda: status(api).get("stable") == second, timeout_s=LIMIT_S)
    bob.types("annotate", "dss", "x", f"{VERBS}/rollback={first}")
    until("it is rolled back", lambda: status(api).get("stable") == first, timeout_s=LIMIT_S)
    return first, second


def lines(cluster: Cluster) -> list[Manifest]:
    return [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]


def verbs(line: Manifest) -> dict[str, str]:
    """Annotations of ours that the request wrote."""
    written = line.get("requestObject", {}).get("metadata", {}).get("annotations") or {}
    return {key: value for key, value in written.items() if key.startswith(VERBS)}


def did(line: Manifest) -> tuple[str, str, str, str, dict[str, str]]:
    of = line["objectRef"]
    return line["user"]["username"], line["verb"], of["resource"], of["name"], verbs(line)


def test_the_log_names_who_created_edited_promoted_and_rolled_back_and_what_the_operator_made_of_it(
    watched: Cluster, tmp_path: Path
) -> None:
    api = watched.api
    for name in (TEAM, SYSTEM):
        api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    wait_for_account(api, TEAM)
    may_edit(api)
    alice, bob = Person(watched, "alice", tmp_path), Person(watched, "bob", tmp_path)
    alice.types("create", "secret", "generic", "token", f"--from-literal=key={SECRET}")
    alice.types("create", "configmap", "keys", f"--from-literal=key={SECRET}")
    operator = OperatorProcess(watched, tmp_path, SYSTEM, TEAM)
    with FakeNode(api, TEAM, TEAM), operator:
        first, second = lives(api, alice, bob, tmp_path)
    assert operator.exits == []
    written = lines(watched)
    people = [line for line in written if line["user"]["username"] in ("alice", "bob")]
    assert [did(line) for line in people] == [
        ("alice", "create", "secrets", "token", {}),
        ("alice", "create", "configmaps", "keys", {}),
        ("alice", "create", "deepseekservings", "x", {}),
        ("bob", "patch", "deepseekservings", "x", {}),
        ("alice", "patch", "deepseekservings", "x", {f"{VERBS}/promote": f"{second}/1"}),
        ("bob", "patch", "deepseekservings", "x", {f"{VERBS}/rollback": first}),
    ]
    assert people[2]["requestObject"]["spec"]["model"] == {"source": {"uri": "pvc://models/v1"}}
    assert people[3]["requestObject"] == {"spec": {"engine": {"maxConcurrency": 8}}}
    made = {(line["verb"], line["objectRef"]["resource"]) for line in written if line["user"]["username"] == OPERATOR}
    assert {resource for _, resource in made} >= {"deployments", "services", "controllerrevisions"}
    assert not [line for line in written if line["objectRef"].get("subresource") == "status"]
    assert not [line for line in written if line["verb"] in ("get", "list", "watch")]
    assert SECRET not in watched.audit_log.read_text()
