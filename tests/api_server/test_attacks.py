"""The table of attacks, sent by a tenant with `edit` in one namespace: none comes through. No node, so no pod runs."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.local_cluster import programs
from examples.local_cluster.api import Api, ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.campaign.attacks import ATTACKS, SECRET, STRANGERS, Attack, Refused, Told, harm
from tests.support.api_objects import collection
from tests.support.canonical import COLLECTIONS
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import CHART, OperatorProcess
from tests.support.output import output_of
from tests.support.pod_escapes import ESCAPES, restricted_pod

pytestmark = pytest.mark.timeout(240)
TENANTS, VICTIM, SYSTEM, USER = "attackers", "victim", "attacks-system", "mallory"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


@pytest.fixture(scope="module")
def tenant(controllers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Api:
    """Somebody who may edit what is in one namespace, trainings and servings included, as the chart grants it."""
    admin = controllers.api
    for name in (TENANTS, VICTIM, SYSTEM):
        admin.apply(f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for role in _roles():
        admin.apply(f"{ROLES}/{role['metadata']['name']}", role)
    controllers.user_kubeconfig(USER, (), tmp_path_factory.mktemp("tenant") / USER)
    binding = {
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    }
    admin.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{TENANTS}/rolebindings", binding)
    pki = controllers.home.pki
    api = Api(controllers.url, controllers.ca, pki / f"user-{USER}.crt", pki / f"user-{USER}.key")
    wait_for(
        "the tenant's rights count", lambda: _may(api, COLLECTIONS["DeepSeekTraining"].format(TENANTS)), timeout_s=60
    )
    return api


def _roles() -> Iterator[Manifest]:
    command = [programs.built("helm"), "template", "attacks", str(CHART), "--show-only", "templates/users.yaml"]
    text = output_of(command)
    yield from (document for document in yaml.safe_load_all(text) if document)


def _may(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except ApiError:
        return False
    return True


@pytest.mark.parametrize("attack", [a for a in ATTACKS if isinstance(a.out, Refused)], ids=lambda attack: attack.name)
def test_the_server_refuses_it_and_says_why(tenant: Api, attack: Attack) -> None:
    assert isinstance(attack.out, Refused)
    with pytest.raises(ApiError) as refused:
        tenant.create(collection(attack.object, TENANTS), attack.object, dryRun="All", fieldValidation="Strict")
    assert attack.out.words in str(refused.value)


FORBIDDEN: dict[str, Callable[[Api], Any]] = {
    "a training of another namespace": lambda api: api.get(COLLECTIONS["DeepSeekTraining"].format(VICTIM)),
    "a Secret's content": lambda api: api.get(f"/api/v1/namespaces/{VICTIM}/secrets/{SECRET}"),
    "a status": lambda api: api.patch(f"{COLLECTIONS['DeepSeekServing'].format(TENANTS)}/x/status", {"status": {"plan": {}}}),
    "a revision": lambda api: api.create(COLLECTIONS["ControllerRevision"].format(TENANTS), {"metadata": {"name": "x"}, "revision": 1}),
    "the operator's Lease": lambda api: api.get(f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{SYSTEM}"),
    "external metrics": lambda api: api.get("/apis/external.metrics.k8s.io/v1beta1/namespaces/victim/x"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_tenant_may_not(tenant: Api, what: str) -> None:
    with pytest.raises(ApiError) as refused:
        FORBIDDEN[what](tenant)
    assert refused.value.code == 403


@pytest.mark.parametrize("escape", ESCAPES)
def test_the_servers_own_restricted_standard_refuses_what_counts_as_access_to_the_node(
    controllers: Cluster, tenant: Api, escape: str
) -> None:
    namespace = "restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    head = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    controllers.api.apply(f"/api/v1/namespaces/{namespace}", head)
    wait_for_account(controllers.api, namespace)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    controllers.api.create(pods, restricted_pod({}), dryRun="All")
    with pytest.raises(ApiError, match=r"violates PodSecurity|Invalid value|Forbidden"):
        controllers.api.create(pods, restricted_pod(ESCAPES[escape]), dryRun="All")


def test_what_the_server_takes_does_no_harm(controllers: Cluster, tenant: Api, tmp_path: Path) -> None:
    admin = controllers.api
    admin.apply(f"/api/v1/namespaces/{TENANTS}/persistentvolumeclaims/models", _claim("models"))
    for name in STRANGERS:
        admin.create(COLLECTIONS["Service"].format(TENANTS), _service(name))
    before = [_things(admin, VICTIM), _strangers(admin)]
    taken = [attack for attack in ATTACKS if isinstance(attack.out, Told)]
    named = [_as_sent(attack, number) for number, attack in enumerate(taken)]
    with OperatorProcess(controllers, tmp_path, SYSTEM, TENANTS) as operator:
        for sent in named:
            tenant.create(collection(sent, TENANTS), sent)
        for attack, sent in zip(taken, named, strict=True):
            path = f"{collection(sent, TENANTS)}/{sent['metadata']['name']}"
            wait_for(f"the operator judges {attack.name}", partial(_is_told, admin, path, attack), timeout_s=60)
        assert operator.exits == []
    assert [_things(admin, VICTIM), _strangers(admin)] == before
    made = [item for kind in ("Job", "Deployment", "Pod") for item in _items(admin, kind)]
    templates = [item["spec"].get("template", item) for item in made]
    assert {words for template in templates for words in harm(template)} == set()


def _as_sent(attack: Attack, number: int) -> Manifest:
    metadata = attack.object["metadata"]
    is_named = metadata["name"] == "taken"
    return {**attack.object, "metadata": {**metadata, "name": metadata["name"] if is_named else f"a{number}"}}


def _is_told(api: Api, path: str, attack: Attack) -> bool:
    assert isinstance(attack.out, Told)
    if not api.exists(path):
        return not attack.out.reason  # The garbage collector takes what names an owner that is not there.
    conditions = api.get(path).get("status", {}).get("conditions", [])
    return bool(conditions) and attack.out.reason in ["", *(condition["reason"] for condition in conditions)]


def _items(api: Api, kind: str) -> list[Manifest]:
    found: list[Manifest] = api.get(COLLECTIONS[kind].format(TENANTS))["items"]
    return found


def _things(api: Api, namespace: str) -> set[tuple[str, str, str]]:
    return {
        (kind, item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for kind, path in COLLECTIONS.items()
        for item in api.get(path.format(namespace))["items"]
    }


def _strangers(api: Api) -> list[tuple[str, str]]:
    found = (api.get(f"{COLLECTIONS['Service'].format(TENANTS)}/{name}")["metadata"] for name in STRANGERS)
    return [(one["uid"], one["resourceVersion"]) for one in found]


def _service(name: str) -> Manifest:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "another"}}}


def _claim(name: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
