"""What is made for a gateway, by the real definitions of Gateway API and Envoy Gateway; and an operator that loses them.

There is no controller of a Gateway here: that it is served by is another layer's (`tests/run gateway`).
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.drift import covers
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    SECURITY_POLICY,
)
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.bench import Bench
from tests.support.called import serving as called
from tests.support.gateway_api import COLLECTIONS, dialect, install, served, standard
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.kubectl import until
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE
from tests.unit.kinds.serving.test_every_field import FIELDS, Field, written

pytestmark = pytest.mark.timeout(400)
LIMIT_S = 120.0
EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = [
    one
    for name in ("gateway/administrator", "gateway/tokens", "rag/route")
    for one in yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text())
]
MADE = (HTTP_ROUTE, GRPC_ROUTE, BACKEND_TRAFFIC_POLICY, SECURITY_POLICY)
GATEWAY_FIELDS = [row for row in FIELDS if row.path.startswith("gateway.")]
_SERVERS = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "namespace",
    "ownerReferences",
)


@pytest.fixture(scope="module")
def gateways(untouched: Cluster) -> Cluster:
    """A server where nothing reconciles, with all definitions."""
    install(untouched.api, [*standard(), *dialect()])
    return untouched


@pytest.mark.parametrize("row", GATEWAY_FIELDS, ids=lambda row: row.path)
def test_whatever_a_field_leads_to_is_what_the_definitions_know(gateways: Cluster, row: Field) -> None:
    for value, _ in row.values:
        life = ServingLife(configuration=Configuration(gate=GATE), **written(row, value))
        for live in (one for resource in MADE for one in life.cluster.all(resource, NAMESPACE)):
            made = clean(live)
            path = f"{COLLECTIONS[made['kind']].format('default')}/{made['metadata']['name']}"
            stored = gateways.api.apply(path, made, dryRun="All", fieldValidation="Strict")
            assert stored["spec"].keys() >= made["spec"].keys()


def clean(manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVERS}
    return {key: value for key, value in {**manifest, "metadata": metadata}.items() if key != "status"}


def test_a_route_in_the_midst_of_a_rollout_is_one_too(gateways: Cluster) -> None:
    life = ServingLife(gateway=PUBLIC, replicas=2)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.run(rounds=1)
    route = clean(life.stored(HTTP_ROUTE, SERVICE))
    assert len(route["spec"]["rules"][0]["backendRefs"]) == 2
    path = f"{COLLECTIONS['HTTPRoute'].format('default')}/{SERVICE}"
    gateways.api.apply(path, route, dryRun="All", fieldValidation="Strict")


def test_what_shows_an_engine_its_key_is_what_the_definitions_know(gateways: Cluster) -> None:
    life = ServingLife(gateway=PUBLIC, engine={"apiKey": {"name": "chat-key", "key": "key"}})
    life.run()
    (made,) = life.cluster.all(HTTP_ROUTE_FILTER, NAMESPACE)
    route = clean(life.stored(HTTP_ROUTE, SERVICE))
    assert route["spec"]["rules"][0]["backendRefs"][0]["filters"]
    for one in (clean(made), route):
        path = f"{COLLECTIONS[one['kind']].format('default')}/{one['metadata']['name']}"
        stored = gateways.api.apply(path, one, dryRun="All", fieldValidation="Strict")
        assert covers(stored["spec"], one["spec"])


def test_a_route_that_is_open_to_whoever_is_judged_is_one_too(gateways: Cluster) -> None:
    life = ServingLife(configuration=Configuration(gate=GATE), gateway={**PUBLIC, "auth": {"apiKeys": True}})
    life.run()
    takes(life)
    route = clean(life.stored(HTTP_ROUTE, SERVICE))
    assert len(route["spec"]["rules"]) == 4
    path = f"{COLLECTIONS['HTTPRoute'].format('default')}/{SERVICE}"
    gateways.api.apply(path, route, dryRun="All", fieldValidation="Strict")


def test_a_route_for_grpc_whose_callers_are_judged_is_one_too(gateways: Cluster) -> None:
    """In the midst of a canary, with a pin for each of both revisions."""
    life = called()
    route = clean(life.stored(GRPC_ROUTE, f"{SERVICE}-grpc"))
    assert len(route["spec"]["rules"]) == 4
    path = f"{COLLECTIONS['GRPCRoute'].format('default')}/{SERVICE}-grpc"
    gateways.api.apply(path, route, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("manifest", [pytest.param(one, id=one["kind"]) for one in SHOWN])
def test_what_an_administrator_is_shown_is_what_the_definitions_know(gateways: Cluster, manifest: Manifest) -> None:
    path = COLLECTIONS[manifest["kind"]].format("default")
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    gateways.api.create(path, {**manifest, "metadata": metadata}, dryRun="All", fieldValidation="Strict")


def test_gateway_api_comes_goes_and_comes_back_under_a_running_operator(bench: Bench) -> None:
    bench.claim("models")
    bench.create("DeepSeekServing", {"model": {"source": {"uri": "pvc://models/v1"}}, "gateway": PUBLIC})
    until("it waits", lambda: told(bench, "Reconciling")[1] == "WaitingForAPI", timeout_s=LIMIT_S, every_s=0.2)
    assert "Gateway API" in told(bench, "Reconciling")[2]
    until(
        "it serves all the same", lambda: bench.status("DeepSeekServing").get("readyReplicas") == 1, timeout_s=LIMIT_S
    )
    for number in range(2):
        with served(bench.api, standard()):
            until("a route is made", lambda: route(bench), timeout_s=LIMIT_S, every_s=0.2)
            bench.reaches("DeepSeekServing", "Available")
            until(
                "what is lost is told",
                lambda: told(bench, "PolicyReady")[1] == "PolicyWithoutEffect",
                timeout_s=LIMIT_S,
            )
            assert "gateway.retries" in told(bench, "PolicyReady")[2]
            assert told(bench, "RouteReady")[1] == "RoutePending"
            if number == 0:
                with served(bench.api, dialect()):
                    until("a policy is made", lambda: policies(bench), timeout_s=LIMIT_S, every_s=0.2)
                    until("and waited for", lambda: told(bench, "PolicyReady")[1] == "PolicyPending", timeout_s=LIMIT_S)
        until(
            "it waits again", lambda: told(bench, "Reconciling")[1] == "WaitingForAPI", timeout_s=LIMIT_S, every_s=0.2
        )


def told(bench: Bench, type_: str) -> tuple[str, str, str]:
    conditions = bench.status("DeepSeekServing").get("conditions", ())
    found: Any = next((one for one in conditions if one["type"] == type_), {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def route(bench: Bench) -> bool:
    return bool(bench.api.get(COLLECTIONS["HTTPRoute"].format(bench.namespace))["items"])


def policies(bench: Bench) -> bool:
    return bool(bench.api.get(COLLECTIONS["BackendTrafficPolicy"].format(bench.namespace))["items"])
