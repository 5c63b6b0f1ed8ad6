"""A Gateway's controller, as far as it answers: it takes routes and policies, or says why not."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import GateAddress
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Resource,
)
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE

ENVOY_GATEWAY = "gateway.envoyproxy.io/gatewayclass-controller"
GATE = GateAddress("system", "operator-gate", frozenset({NAMESPACE}))
PUBLIC: dict[str, Any] = {"parentRef": {"name": "public", "namespace": "gateways"}}


def takes(
    life: ServingLife,
    controller: str = ENVOY_GATEWAY,
    refused: Mapping[str, tuple[str, str]] | None = None,
    refused_policy: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    """The controller has looked at what is there now, and the operator at what it says."""
    answer(life.cluster, NAMESPACE, SERVICE, refused or {}, controller, refused_policy)
    life.operator.settle()


def told(life: ServingLife, type_: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition, which must be there."""
    condition = find(life.status.conditions, type_)
    assert condition is not None
    return condition.status, condition.reason, condition.message


def _not_installed(resource: Resource) -> str:
    return f"there is no {resource.kind} here. Install it."


def lacks(life: ServingLife, *resources: Resource, why: Callable[[Resource], str] = _not_installed) -> None:
    """The cluster does not serve them, in these words."""
    for resource in resources:
        life.operator.mirror.missing(resource, None, why(resource))
    life.operator.settle()


def answer(
    cluster: MemoryCluster,
    namespace: str,
    name: str,
    refused: Mapping[str, tuple[str, str]],
    controller: str = ENVOY_GATEWAY,
    refused_policy: Mapping[str, tuple[str, str]] | None = None,
    refused_grpc: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    """What the controller writes into routes and policies. `refused`: conditions that it says False to, with reason and words;
    `refused_grpc`: if those of the route for gRPC are others."""
    said_of_grpc = refused if refused_grpc is None else refused_grpc
    for route, called, said in ((HTTP_ROUTE, name, refused), (GRPC_ROUTE, f"{name}-grpc", said_of_grpc)):
        _answer_for(cluster, namespace, route, called, said, controller, refused_policy or {})


def _answer_for(
    cluster: MemoryCluster,
    namespace: str,
    kind: Resource,
    name: str,
    refused: Mapping[str, tuple[str, str]],
    controller: str,
    refused_policy: Mapping[str, tuple[str, str]],
) -> None:
    """Of one route and its policies, which have its name."""
    route = cluster.read(kind, namespace, name)
    if route is None:
        return
    parents: list[dict[str, Any]] = [
        {"parentRef": parent, "controllerName": controller, "conditions": _said(route, refused)}
        for parent in route["spec"]["parentRefs"]
    ]
    cluster.edit(kind, namespace, name, lambda live: live.update(status={"parents": parents}))
    for resource in (BACKEND_TRAFFIC_POLICY, SECURITY_POLICY):
        policy = cluster.read(resource, namespace, name)
        if policy is not None and controller == ENVOY_GATEWAY:
            told = [
                {"ancestorRef": parent, "controllerName": controller, "conditions": _said(policy, refused_policy)}
                for parent in route["spec"]["parentRefs"]
            ]
            cluster.edit(resource, namespace, name, partial(_tell, told))


def _tell(ancestors: list[dict[str, Any]], live: dict[str, Any]) -> None:
    live["status"] = {"ancestors": ancestors}


def _said(live: dict[str, Any], refused: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    generation = live["metadata"]["generation"]
    return [
        {
            "type": type_,
            "status": "False" if type_ in refused else "True",
            "reason": refused.get(type_, (type_, ""))[0],
            "message": refused.get(type_, (type_, ""))[1],
            "observedGeneration": generation,
        }
        for type_ in ("Accepted", "ResolvedRefs")
    ]
