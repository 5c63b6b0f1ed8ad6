"""A Gateway's controller, as far as it answers: it takes routes and policies, or says why not."""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY, HTTP_ROUTE
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE

ENVOY_GATEWAY = "gateway.envoyproxy.io/gatewayclass-controller"
PUBLIC: dict[str, Any] = {"parentRef": {"name": "public", "namespace": "gateways"}}


def takes(
    life: ServingLife, controller: str = ENVOY_GATEWAY, refused: Mapping[str, tuple[str, str]] | None = None
) -> None:
    """The controller has looked at what is there now, and the operator at what it says."""
    answer(life.cluster, NAMESPACE, SERVICE, refused or {}, controller)
    life.operator.settle()


def answer(
    cluster: MemoryCluster,
    namespace: str,
    name: str,
    refused: Mapping[str, tuple[str, str]],
    controller: str = ENVOY_GATEWAY,
) -> None:
    """What the controller writes into route and policy. `refused`: conditions that it says False to, with reason and words."""
    route = cluster.read(HTTP_ROUTE, namespace, name)
    if route is not None:
        told = [
            {"parentRef": parent, "controllerName": controller, "conditions": _said(route, refused)}
            for parent in route["spec"]["parentRefs"]
        ]
        cluster.edit(HTTP_ROUTE, namespace, name, lambda live: live.update(status={"parents": told}))
    policy = cluster.read(BACKEND_TRAFFIC_POLICY, namespace, name)
    if policy is not None and controller == ENVOY_GATEWAY:
        ancestors = [{"controllerName": controller, "conditions": _said(policy, {})}]
        cluster.edit(BACKEND_TRAFFIC_POLICY, namespace, name, lambda live: live.update(status={"ancestors": ancestors}))


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
