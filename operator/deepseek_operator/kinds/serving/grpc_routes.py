"""The route by which gRPC comes to the revisions of a serving whose engine answers it, and what is asked of calls on it.

It hangs where the HTTPRoute does and has its weights. Unlike that one it names each method that clients may call, since an
engine's service has others that are its operator's (loading models, sharing memory); and it is of one serving, which the policy
names to the gate, since the model stands in a body that nobody may wait for: the first message of a stream, or any later one.

What is asked of bodies is left out: a stream has no end before its answers come, so that holding it until it is whole would
hold it for ever. What the standard has no field for in a GRPCRoute, the time of a whole call, is asked in the policy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.api.v1alpha1.serving.rollout import HeaderMatch
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY, GRPC_ROUTE, SERVICE, Manifest, Resource
from deepseek_operator.domain.programs.engines.entry import Grpc
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.kinds.serving.authorization import ROUTE_HEADER, routed
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.labels import child_labels
from deepseek_operator.kinds.serving.matched import with_match
from deepseek_operator.kinds.serving.names import serving_grpc, serving_revision
from deepseek_operator.kinds.serving.routes import Judged, circuit_breaker, idle_seconds, parent_of, requests, retry

_RETRIED = ("unavailable",)
"""What an engine answers in place of 503."""


def grpc_of(owner: DeepSeekServing) -> Grpc | None:
    """What is let in; None: nothing is asked for, or its engine answers none."""
    gateway = owner.spec.gateway
    return ENGINES[owner.spec.engine.type].grpc if gateway is not None and gateway.grpc is not None else None


def hostnames_of(gateway: Gateway) -> Sequence[str]:
    """Under which gRPC is answered; none: those of the Gateway's listener."""
    own = gateway.grpc.hostnames if gateway.grpc is not None else []
    return own or gateway.hostnames


def grpc_route(
    owner: DeepSeekServing,
    gateway: Gateway,
    grpc: Grpc,
    places: Sequence[tuple[str, int]],
    judged: Judged | None,
    matched: tuple[HeaderMatch, str] | None,
) -> Manifest:
    """The route. `places`: each revision and its part, in order, as the HTTPRoute has them. `judged`: None: everybody is let
    in. `matched`: the header by which calls go to a revision of their own, and that revision."""
    usual = [_backend(owner, grpc, revision, weight) for revision, weight in places]
    rules = [_rule(grpc, usual)] if judged is None else _judged_rules(owner, grpc, usual, judged)
    spec: dict[str, Any] = {"parentRefs": [parent_of(owner, gateway)], "rules": rules}
    if names := hostnames_of(gateway):
        spec["hostnames"] = list(names)
    route = {**_head(GRPC_ROUTE, owner), "spec": spec}
    if matched is None:
        return route
    header, to = matched
    return with_match(route, usual, header, _backend(owner, grpc, to, 1))


def _judged_rules(
    owner: DeepSeekServing, grpc: Grpc, usual: list[dict[str, Any]], judged: Judged
) -> list[dict[str, Any]]:
    """The first leads to nobody: a call meets it before it is judged, and again where nobody has judged it. The others are for
    those whom the gate has let in, whose header no client can write. None of them is there before the policy is in force, and
    while no replica is."""
    closed = _rule(grpc, [])
    if not judged.is_open or judged.is_kept:
        return [closed]
    pinned = [_rule(grpc, [_backend(owner, grpc, name, 1)], routed(owner, name)) for name in judged.pins]
    return [closed, _rule(grpc, usual, routed(owner)), *pinned]


def _rule(grpc: Grpc, backends: list[dict[str, Any]], header: str | None = None) -> dict[str, Any]:
    """Of each method by its name, since a gateway may take the name of a service for the beginning of others."""
    headers: Mapping[str, Any] = {}
    if header is not None:
        headers = {"headers": [{"type": "Exact", "name": ROUTE_HEADER, "value": header}]}
    methods = ({"type": "Exact", "service": grpc.service, "method": method} for method in grpc.methods)
    matches = [{"method": method, **headers} for method in methods]
    return {"matches": matches, **({"backendRefs": backends} if backends else {})}


def _backend(owner: DeepSeekServing, grpc: Grpc, revision: str, weight: int) -> dict[str, Any]:
    """Past the cache, which keeps no answers of gRPC."""
    name = serving_revision(owner.metadata.name, revision)
    return {"group": "", "kind": SERVICE.kind, "name": name, "port": grpc.port, "weight": weight}


def grpc_traffic_policy(owner: DeepSeekServing, gateway: Gateway) -> Manifest:
    """What Envoy Gateway is asked beside the route. A stream counts as one request, however many it carries."""
    target = {"group": GRPC_ROUTE.group, "kind": GRPC_ROUTE.kind, "name": serving_grpc(owner.metadata.name)}
    most = gateway.limits.requests_per_minute
    whole, idle = gateway.timeouts.request_seconds, idle_seconds(owner, gateway)
    spec: dict[str, Any] = {
        "targetRefs": [target],
        "timeout": {"http": {"requestTimeout": f"{whole}s", "streamIdleTimeout": f"{idle}s"}},
        "circuitBreaker": circuit_breaker(gateway),
        **retry(gateway.retries, _RETRIED),
        **({"rateLimit": {"local": {"rules": requests(gateway, most)}}} if most is not None else {}),
    }
    return {**_head(BACKEND_TRAFFIC_POLICY, owner), "spec": spec}


def _head(resource: Resource, owner: DeepSeekServing) -> dict[str, Any]:
    return head(resource, owner, serving_grpc(owner.metadata.name), child_labels(owner))
