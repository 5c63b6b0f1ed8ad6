"""The cache before each revision through a serving's life: when requests go through it, what it is told, and when it goes."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import (
    BUDGET,
    CONFIG_MAP,
    DEPLOYMENT,
    HTTP_ROUTE,
    POD,
    SERVICE,
    labels_of,
)
from deepseek_operator.kinds.serving.cache import CONFIGURED, REPLICAS, names_of
from deepseek_operator.kinds.serving.names import is_of_a_cache, serving_cache, serving_caches, serving_revision
from deepseek_operator.kinds.serving.routes import is_settled
from tests.support.gateways import GATE, PUBLIC, takes, told
from tests.support.serving_life import SERVICE as NAME
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE

IMAGE = "registry.example.com/nginx:1.28"
KEYS: dict[str, Any] = {**PUBLIC, "auth": {"apiKeys": True}}
CACHED: dict[str, Any] = {**KEYS, "cache": {"image": IMAGE}}
NEXT = {"maxConcurrency": 8}
OWN = ("Service", "ConfigMap", "Deployment")


def life(gateway: dict[str, Any] = CACHED, **spec: Any) -> ServingLife:
    """One whose policies and route are taken, and whose caches have been given no pod yet."""
    made = ServingLife(configuration=Configuration(gate=GATE), gateway=KEYS, **spec)
    made.run()
    for _ in range(2):
        takes(made)
    made.edit(gateway=gateway)
    takes(made)
    return made


def warm(gateway: dict[str, Any] = CACHED, **spec: Any) -> ServingLife:
    """One whose requests go through a cache."""
    made = life(gateway, **spec)
    made.run()
    takes(made)
    return made


def current(life: ServingLife) -> str:
    assert life.status.current is not None
    return life.status.current.name


def led(life: ServingLife) -> set[str]:
    """Services of the serving's that the route names."""
    return {name for name in names_of(life.stored(HTTP_ROUTE, NAME)) if name != GATE.name}


def caches(life: ServingLife) -> list[str]:
    """What there is of caches, those that are going included."""
    found = [
        f"{resource.kind}/{item['metadata']['name']}"
        for resource in (SERVICE, CONFIG_MAP, DEPLOYMENT, BUDGET)
        for item in life.cluster.all(resource, NAMESPACE)
        if is_of_a_cache("chat", item["metadata"]["name"])
    ]
    return sorted(found)


def of(*revisions: str) -> list[str]:
    """What the caches before these revisions consist of."""
    parts = [f"{kind}/{serving_cache('chat', revision)}" for revision in revisions for kind in OWN]
    return sorted([*parts, f"PodDisruptionBudget/{serving_caches('chat')}"]) if revisions else []


def replicas(life: ServingLife) -> dict[str, int]:
    """Specified for each revision."""
    found = [
        one for one in life.cluster.all(DEPLOYMENT, NAMESPACE) if not is_of_a_cache("chat", one["metadata"]["name"])
    ]
    return {one["metadata"]["name"].rpartition("-")[2]: one["spec"]["replicas"] for one in found}


def loses_its_pods(life: ServingLife, revision: str) -> None:
    """No pod of the cache is available, and the operator has heard of it."""

    def change(live: dict[str, Any]) -> None:
        live["status"] = {**live["status"], "readyReplicas": 0, "availableReplicas": 0}

    life.cluster.edit(DEPLOYMENT, NAMESPACE, serving_cache("chat", revision), change)
    life.operator.settle()


def test_without_the_field_there_is_none_and_nothing_is_said_of_one() -> None:
    made = warm(KEYS)
    assert caches(made) == []
    assert find(made.status.conditions, "CacheReady") is None


def test_requests_go_through_it_once_it_is_ready_and_not_before() -> None:
    made = life()
    revision = current(made)
    assert caches(made) == of(revision)
    assert led(made) == {serving_revision("chat", revision)}
    assert told(made, "CacheReady")[:2] == ("Unknown", "CacheNotReady")
    assert serving_cache("chat", revision) in told(made, "CacheReady")[2]
    made.run()
    assert led(made) == {serving_cache("chat", revision)}
    assert told(made, "CacheReady")[:2] == ("True", "CacheUsed")
    assert [(one.revision, one.percent) for one in made.status.gateway.weights] == [(revision, 100)]  # type: ignore[union-attr]


def test_a_cache_that_is_down_takes_no_serving_down() -> None:
    made = warm()
    revision = current(made)
    loses_its_pods(made, revision)
    assert led(made) == {serving_revision("chat", revision)}
    assert (made.reason("Ready"), told(made, "CacheReady")[1]) == ("Available", "CacheNotReady")
    made.run()
    assert led(made) == {serving_cache("chat", revision)}


def test_it_is_taken_away_once_the_gateway_has_let_it_go() -> None:
    made = warm()
    revision = current(made)
    made.edit(gateway=KEYS)
    assert led(made) == {serving_revision("chat", revision)}
    assert [one for one in caches(made) if "Budget" not in one] == [one for one in of(revision) if "Budget" not in one]
    takes(made)
    assert caches(made) == []
    assert find(made.status.conditions, "CacheReady") is None


@pytest.mark.parametrize("spec", [{"gateway": None}, {"suspend": True}])
def test_it_goes_with_what_brings_requests(spec: dict[str, Any]) -> None:
    made = warm()
    made.edit(**spec)
    for _ in range(2):
        takes(made)
        made.run()
    assert caches(made) == []


def test_each_revision_has_its_own_for_as_long_as_it_is_sent_requests() -> None:
    made = warm(replicas=2)
    old = current(made)
    made.edit(engine=NEXT)
    new = current(made)
    seen = set()
    for _ in range(8):
        made.run(rounds=1)
        assert set(replicas(made)) >= {name.rpartition("-")[2] for name in led(made)}
        seen |= led(made)
        there = {item["metadata"]["name"] for item in made.cluster.all(SERVICE, NAMESPACE)}
        assert led(made) <= there
        takes(made)
    assert {serving_cache("chat", old), serving_revision("chat", new), serving_cache("chat", new)} <= seen
    assert led(made) == {serving_cache("chat", new)}
    assert caches(made) == of(new)
    assert made.status.phase == "Available"


def test_an_older_revision_and_its_cache_end_only_once_the_gateway_has_let_them_go() -> None:
    made = warm()
    old = current(made)
    made.edit(engine=NEXT)
    made.run(rounds=6)
    assert replicas(made)[old] == 1
    assert set(of(old)) <= set(caches(made))
    takes(made)
    made.run()
    takes(made)
    made.run()
    assert old not in replicas(made)
    assert not set(of(old)) & set(caches(made)) - {f"PodDisruptionBudget/{serving_caches('chat')}"}


def test_its_pods_are_counted_nowhere() -> None:
    made = warm(replicas=2)
    pods = [pod for pod in made.cluster.all(POD, NAMESPACE) if serving_caches("chat") in pod["metadata"]["name"]]
    assert len(pods) == REPLICAS
    for pod in pods:
        assert OWNER_UID not in labels_of(pod)
        assert "deepseek-operator.io/serving" not in labels_of(pod), "replicas are scraped by it"
        for resource, named in ((SERVICE, NAME), (BUDGET, NAME), (SERVICE, serving_revision("chat", current(made)))):
            spec = made.stored(resource, named)["spec"]
            selector = spec["selector"].get("matchLabels", spec["selector"])
            assert not selector.items() <= labels_of(pod).items()
    assert (made.status.replicas, made.status.ready_replicas, made.status.summary.replicas) == (2, 2, "2/2")
    assert not made.status.previous


def test_its_pods_are_not_taken_for_replicas_by_an_operator_that_remembers_nothing() -> None:
    made = warm(replicas=1, autoscaling={"maxReplicas": 8, "signals": [{"type": "InFlight", "target": 4}]})
    before = replicas(made)
    made.cluster.edit(
        made.operator.kind.resource, NAMESPACE, "chat", lambda live: live.update(status={"observedGeneration": -1})
    )
    made.operator.restart()
    made.operator.settle()
    made.run()
    assert (replicas(made), made.status.running_replicas) == (before, 1)


def test_what_it_is_told_changes_without_a_new_revision() -> None:
    made = warm()
    revision = current(made)

    def configured() -> str:
        template = made.stored(DEPLOYMENT, serving_cache("chat", revision))["spec"]["template"]
        return str(template["metadata"]["annotations"][CONFIGURED])

    def text() -> str:
        return str(made.stored(CONFIG_MAP, serving_cache("chat", revision))["data"]["nginx.conf"])

    before = configured()
    assert "proxy_cache_valid 200 3600s;" in text()
    assert "client_body_buffer_size 33554432;" in text()
    made.edit(gateway={**CACHED, "cache": {"image": IMAGE, "ttlSeconds": 60}, "limits": {"maxBodySize": "1Mi"}})
    assert (current(made), configured() == before) == (revision, False)
    assert "proxy_cache_valid 200 60s;" in text()
    assert "client_max_body_size 1048576;\n    client_body_buffer_size 1048576;" in text()
    before = configured()
    made.cluster.remove(SERVICE, NAMESPACE, serving_revision("chat", revision), "Background")
    made.operator.settle()
    assert configured() != before, "nginx knows the address of the Service that is gone"


def test_its_pods_may_nothing_and_keep_everything_in_memory() -> None:
    pod = warm().stored(DEPLOYMENT, serving_cache("chat", current(warm())))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["image"] == IMAGE
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert [volume.get("emptyDir") for volume in pod["volumes"] if "emptyDir" in volume] == [
        {"medium": "Memory", "sizeLimit": "320Mi"}
    ]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "448Mi"}, "limits": {"memory": "1472Mi"}}
    assert pod["terminationGracePeriodSeconds"] > 3600


def test_a_route_that_nobody_has_ever_taken_holds_nothing() -> None:
    made = ServingLife(configuration=Configuration(gate=GATE), gateway=CACHED)
    made.run()
    gateway = Gateway.model_validate(CACHED)
    assert is_settled(made.look().owner, gateway, made.stored(HTTP_ROUTE, NAME))
    made.edit(gateway=KEYS)
    made.run()
    assert caches(made) == []


def test_a_route_that_is_lost_keeps_what_it_may_lead_to() -> None:
    made = warm()
    before = caches(made)
    made.operator.mirror.missing(HTTP_ROUTE, None, "there is no HTTPRoute here. Install it.")
    made.operator.settle()
    assert caches(made) == before
    made.edit(gateway=KEYS)
    assert [one for one in before if "Budget" not in one] == [one for one in caches(made) if "Budget" not in one]
