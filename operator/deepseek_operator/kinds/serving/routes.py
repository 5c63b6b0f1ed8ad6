"""The route from a Gateway of the administrator's to the revisions of a serving, and what is asked of requests on it.

The route is the standard's HTTPRoute, one for each serving. What the standard has no field for is a policy in the dialect
of Envoy Gateway; under another implementation it is left out or ignored, and `route_status` says what is lost by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.gateway import Auth, Gateway
from deepseek_operator.api.v1alpha1.serving.rollout import HeaderMatch
from deepseek_operator.core.configuration import GateAddress
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, SERVICE, Manifest, Resource
from deepseek_operator.kinds.serving.authorization import (
    ANSWER_SECONDS,
    AT_ONCE,
    CLIENT_HEADER,
    COUNTED_HEADER,
    ROUTE_HEADER,
    backend,
    routed,
    ways,
)
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.keyed import injecting
from deepseek_operator.kinds.serving.labels import child_labels
from deepseek_operator.kinds.serving.matched import with_match
from deepseek_operator.kinds.serving.names import serving_cache, serving_revision, serving_service

SERVED_PATH = "/v1"
"""All that clients are served: an engine's metrics and health are not for them."""

LISTING_PATH = "/v1/models"
"""What the gate itself answers: an authorizer can't, for whom 200 means that a request goes on."""

_GATEWAYS = "gateway.networking.k8s.io"
_RETRIED = ("connect-failure", "refused-stream", "reset-before-request", "retriable-status-codes")
"""Of a request that no replica has begun to answer; an answer that broke off is the client's to judge."""

NO_KEYS: Mapping[str, str] = MappingProxyType({})
"""No engine asks for a key."""

ENVOY_GATEWAY = "gateway.envoyproxy.io/"
"""What the names of its controllers begin with."""

_EVERYBODY = ("0.0.0.0/0", "::/0")
_EACH_CLIENT: dict[str, Any] = {"headers": [{"name": CLIENT_HEADER, "type": "Distinct"}]}


@dataclass(frozen=True)
class Judged:
    """What a route has to heed where not everybody is let in.

    Attributes:
        gate: who judges.
        is_open: the policy is in force, so that rules may lead to replicas.
        pins: revisions with a rule of their own, in order, for keys that are pinned to one.
        through: revisions whose requests go through their cache.
        is_kept: no replica is there, and the gate keeps requests until one is.
    """

    gate: GateAddress
    auth: Auth
    is_open: bool
    pins: Sequence[str] = ()
    through: frozenset[str] = frozenset()
    is_kept: bool = False


def http_route(
    owner: DeepSeekServing,
    gateway: Gateway,
    places: Sequence[tuple[str, int]],
    port: int,
    judged: Judged | None = None,
    keys: Mapping[str, str] = NO_KEYS,
) -> Manifest:
    """The route. `places`: each revision and its part of the requests, in order. `port`: of the revisions' Services and of
    those before them. `judged`: None: everybody is let in. `keys`: for revisions whose engine asks for a key, the Secret."""
    through = judged.through if judged is not None else frozenset[str]()
    parts = [_backend(owner, revision, weight, port, through, keys) for revision, weight in places]
    rules = [_rule(gateway, parts)] if judged is None else _judged_rules(owner, gateway, parts, port, judged, keys)
    spec: dict[str, Any] = {"parentRefs": [parent_of(owner, gateway)], "rules": rules}
    if gateway.hostnames:
        spec["hostnames"] = list(gateway.hostnames)
    return {**_head(HTTP_ROUTE, owner), "spec": spec}


def _rule(gateway: Gateway, backends: list[dict[str, Any]], header: str | None = None, **more: Any) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": SERVED_PATH}}
    if header is not None:
        match["headers"] = [{"type": "Exact", "name": ROUTE_HEADER, "value": header}]
    timeouts = {"request": f"{gateway.timeouts.request_seconds}s"}
    return {"matches": [match], **more, "timeouts": timeouts, "backendRefs": backends}


def _judged_rules(
    owner: DeepSeekServing,
    gateway: Gateway,
    parts: list[dict[str, Any]],
    port: int,
    judged: Judged,
    keys: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Those that lead to the gate come first, whether the others are there or not: a gateway may know a rule by its place.

    A request meets the second before anybody knows its model, and is matched again once the gate has said which it is. Envoy
    does so by the routes that it had when the request came, so that one which the gate keeps until a replica serves must find
    then already what it is to be led to. Envoy Gateway makes of a rule without endpoints an answer of 503: while no replica is
    there the rules name the gate, whose endpoints those of the replica take the place of.
    """
    gate, own = [{**backend(judged.gate), "weight": 1}], owner.metadata.namespace
    listing = {"type": "ReplacePrefixMatch", "replacePrefixMatch": f"/models/{own}/{ways(judged.auth)}"}
    unrouted = {"type": "ReplaceFullPath", "replaceFullPath": "/unrouted"}
    rules = [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": LISTING_PATH}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path": listing}}],
            "backendRefs": gate,
        },
        _rule(gateway, gate, filters=[{"type": "URLRewrite", "urlRewrite": {"path": unrouted}}]),
    ]
    if not judged.is_open:
        return rules
    pinned = {name: [_backend(owner, name, 1, port, judged.through, keys)] for name in judged.pins}
    to_pinned = [_rule(gateway, gate if judged.is_kept else to, routed(owner, name)) for name, to in pinned.items()]
    return [*rules, _rule(gateway, gate if judged.is_kept else parts, routed(owner)), *to_pinned]


def parent_of(owner: DeepSeekServing, gateway: Gateway) -> dict[str, str]:
    """The Gateway, or one of its listeners, as a route names it."""
    section = gateway.parent_ref.section_name
    namespace, name = gateway_of(owner, gateway)
    named = {"group": _GATEWAYS, "kind": "Gateway", "namespace": namespace, "name": name}
    return {**named, "sectionName": section} if section is not None else named


def gateway_of(owner: DeepSeekServing, gateway: Gateway) -> tuple[str, str]:
    """Namespace and name of the Gateway that the route hangs on."""
    return gateway.parent_ref.namespace or owner.metadata.namespace, gateway.parent_ref.name


def _backend(
    owner: DeepSeekServing, revision: str, weight: int, port: int, through: frozenset[str], keys: Mapping[str, str]
) -> dict[str, Any]:
    """Without a filter of its own, where there is no key, for which Envoy Gateway would make a cluster of each: requests that
    come while Envoy knows the route but not yet a new cluster are answered with 500 (8 of 7,192 over four rollouts)."""
    backend: dict[str, Any] = {
        "group": "",
        "kind": SERVICE.kind,
        "name": (serving_cache if revision in through else serving_revision)(owner.metadata.name, revision),
        "port": port,
        "weight": weight,
    }
    return backend if revision not in keys else {**backend, "filters": injecting(owner, keys[revision])}


def traffic_policy(owner: DeepSeekServing, gateway: Gateway) -> Manifest:
    """What Envoy Gateway is asked beside the route."""
    target = {"group": _GATEWAYS, "kind": HTTP_ROUTE.kind, "name": serving_service(owner.metadata.name)}
    spec: dict[str, Any] = {
        "targetRefs": [target],
        "timeout": {"http": {"streamIdleTimeout": f"{idle_seconds(owner, gateway)}s"}},
        "circuitBreaker": circuit_breaker(gateway),
        "requestBuffer": {"limit": gateway.limits.max_body_size},
        **retry(gateway.retries),
        **_rate_limit(gateway),
    }
    return {**_head(BACKEND_TRAFFIC_POLICY, owner), "spec": spec}


def idle_seconds(owner: DeepSeekServing, gateway: Gateway) -> int:
    """Seconds without a byte. A request that the gate keeps sends no byte: it must not be ended for that."""
    kept = owner.spec.sleep.hold_seconds + ANSWER_SECONDS if owner.spec.sleep is not None else 0
    return max(gateway.timeouts.stream_idle_seconds, kept)


def retry(retries: int, more: Sequence[str] = ()) -> dict[str, Any]:
    """Of a policy; nothing where nothing is tried again. `more`: triggers beside the usual ones."""
    if retries == 0:
        return {}
    triggers = [*_RETRIED, *more]
    return {"retry": {"numRetries": retries, "retryOn": {"triggers": triggers, "httpStatusCodes": [503]}}}


def circuit_breaker(gateway: Gateway) -> dict[str, int]:
    """How much of one proxy there may be at once."""
    most = dict.fromkeys(("maxConnections", "maxPendingRequests", "maxParallelRequests"), AT_ONCE)
    return most | ({"maxParallelRequests": most_at_once} if (most_at_once := gateway.limits.concurrency) else {})


def _rate_limit(gateway: Gateway) -> dict[str, Any]:
    """Each proxy counts requests by itself; tokens are counted outside, where all proxies ask."""
    limits = gateway.limits
    counted = {"local": {"rules": requests(gateway, most)}} if (most := limits.requests_per_minute) is not None else {}
    tokens = {"global": {"rules": _tokens(most)}} if (most := limits.tokens_per_minute) is not None else {}
    return {"rateLimit": {**counted, **tokens}} if counted or tokens else {}


def requests(gateway: Gateway, most: int) -> list[dict[str, Any]]:
    """One count for each client that the gate has named; where everybody is let in, for each address of either protocol."""
    clients: list[dict[str, Any]] = [{"sourceCIDR": {"type": "Distinct", "value": network}} for network in _EVERYBODY]
    if gateway.auth is not None:
        clients = [_EACH_CLIENT]
    return [{"clientSelectors": [client], "limit": {"requests": most, "unit": "Minute"}} for client in clients]


def _tokens(most: int) -> list[dict[str, Any]]:
    """A request costs nothing as it comes, and the tokens of its answer once that is over. Without what reads them off
    answers nothing would ever be counted: then no request is let in.

    `shared`: Envoy Gateway keeps a count for each rule of the route and each host name otherwise, and a client would have as
    many.
    """
    uncounted = {"name": COUNTED_HEADER, "type": "Exact", "value": "true", "invert": True}
    cost = {
        "request": {"from": "Number", "number": 0},
        "response": {"from": "Metadata", "metadata": {"namespace": "deepseek.tokens", "key": "total"}},
    }
    return [
        {
            "clientSelectors": [_EACH_CLIENT],
            "limit": {"requests": most, "unit": "Minute"},
            "cost": cost,
            "shared": True,
        },
        {
            "clientSelectors": [{"headers": [uncounted]}],
            "limit": {"requests": 0, "unit": "Minute"},
            "shared": True,
        },
    ]


def policy_fields(gateway: Gateway) -> tuple[str, ...]:
    """Fields of the spec that only the policy carries."""
    limited = ("gateway.limits.requestsPerMinute",) if gateway.limits.requests_per_minute is not None else ()
    metered = ("gateway.limits.tokensPerMinute",) if gateway.limits.tokens_per_minute is not None else ()
    retried = ("gateway.retries",) if gateway.retries else ()
    counted = ("gateway.limits.concurrency",) if gateway.limits.concurrency is not None else ()
    return ("gateway.timeouts.streamIdleSeconds", "gateway.limits.maxBodySize", *limited, *metered, *counted, *retried)


def places_of(route: Manifest) -> tuple[tuple[str, int], ...]:
    """Each revision and its part, as the live route names them in order; none while it leads to no replica. Whatever
    somebody else wrote there counts as a revision of that name."""
    return next((_places(rule) for rule in _leading_to_replicas(route)), ())


def pins_of(route: Manifest) -> tuple[str, ...]:
    """Revisions that the live route has a rule of their own for, in order."""
    own = [rule for rule in _leading_to_replicas(route)[1:] if not _is_by_clients_header(rule)]
    return tuple(name for rule in own for name, _ in _places(rule)[:1])


def _leading_to_replicas(route: Manifest) -> list[Mapping[str, Any]]:
    """All rules but those that lead to nobody, or to the gate, whose backends have a namespace."""
    rules: Sequence[Mapping[str, Any]] = (route.get("spec") or {}).get("rules") or ()
    leading = ((rule, rule.get("backendRefs") or ()) for rule in rules)
    return [rule for rule, backends in leading if backends and not any(one.get("namespace") for one in backends)]


def _places(rule: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    backends: Sequence[Mapping[str, Any]] = rule.get("backendRefs") or ()
    return tuple((str(one.get("name", "")).rpartition("-")[2], int(one.get("weight", 1))) for one in backends)


def matched_of(route: Manifest) -> tuple[str, ...]:
    """Revisions that requests go to by a header of theirs, as the live route has it: what an A/B test tries."""
    own = [rule for rule in _leading_to_replicas(route) if _is_by_clients_header(rule)]
    return tuple(name for rule in own for name, _ in _places(rule))


def _is_by_clients_header(rule: Mapping[str, Any]) -> bool:
    """By any but the gate's."""
    headers = [header for match in rule.get("matches") or () for header in match.get("headers") or ()]
    return any(str(header.get("name", "")).lower() != ROUTE_HEADER for header in headers)


def matching(
    owner: DeepSeekServing,
    route: Manifest,
    places: Sequence[tuple[str, int]],
    port: int,
    header: HeaderMatch,
    to: str,
    through: frozenset[str],
    keys: Mapping[str, str] = NO_KEYS,
) -> dict[str, Any]:
    """The route with a rule more, by which requests with that header go to one revision. `places`: of the usual rule;
    `through`: revisions whose requests go through their cache; `keys`: see there."""
    usual = [_backend(owner, revision, weight, port, through, keys) for revision, weight in places]
    return with_match(route, usual, header, _backend(owner, to, 1, port, through, keys))


def leads(owner: DeepSeekServing, gateway: Gateway, route: Manifest) -> bool:
    """Whether the route leads to a replica, and requests go where it says now."""
    return any(part > 0 for _, part in places_of(route)) and is_settled(owner, gateway, route)


def answers(owner: DeepSeekServing, gateway: Gateway, route: Manifest) -> tuple[Mapping[str, Any], ...]:
    """What controllers say of the live route at the Gateway that it hangs on, each with its conditions."""
    wanted, own = parent_of(owner, gateway), owner.metadata.namespace
    named = wanted["namespace"], wanted["name"], wanted.get("sectionName")
    return tuple(one for one in _parents(route) if _named(one.get("parentRef") or {}, own) == named)


def foreign_controller(owner: DeepSeekServing, route: Manifest | None) -> str | None:
    """A controller that answers for the Gateway and is not Envoy Gateway's; None where none does."""
    gateway = owner.spec.gateway
    told = answers(owner, gateway, route) if gateway is not None and route is not None else ()
    named = (str(answer.get("controllerName") or "the controller") for answer in told)
    return next((name for name in named if not name.startswith(ENVOY_GATEWAY)), None)


def _parents(route: Manifest) -> Sequence[Mapping[str, Any]]:
    return (route.get("status") or {}).get("parents") or ()


def _named(parent: Mapping[str, Any], own: str) -> tuple[str, str, str | None]:
    return parent.get("namespace") or own, parent.get("name", ""), parent.get("sectionName")


def reached(
    owner: DeepSeekServing, gateway: Gateway, route: Manifest | None, alive: Sequence[str] = ()
) -> tuple[str, ...]:
    """Revisions that the gateway may send requests to: those with a part of them and, until its controller has said that
    it has seen the route as it is, all that the route names. None by a route that no controller has ever accepted.

    Until the present Gateway's has, what another said counts as well: that one sends them while the route moves away. A
    route that has just been closed names none of those that it led to: until that is seen, they may be any of `alive`.
    """
    if route is None:
        return ()
    if seen := _seen_as_it_is(owner, gateway, route):
        sends = any(accepted.get("status") == "True" for accepted in seen)
        parts = [revision for revision, part in places_of(route) if part > 0]
        return tuple(dict.fromkeys((*parts, *pins_of(route), *matched_of(route)) if sends else ()))
    named = [revision for revision, _ in places_of(route)] or alive
    return tuple(dict.fromkeys((*named, *pins_of(route), *matched_of(route)) if _was_ever_accepted(route) else ()))


def is_settled(owner: DeepSeekServing, gateway: Gateway, route: Manifest) -> bool:
    """Whether requests go nowhere but where the route says now: its controller has seen it so, or never took it."""
    return bool(_seen_as_it_is(owner, gateway, route)) or not _was_ever_accepted(route)


def _seen_as_it_is(owner: DeepSeekServing, gateway: Gateway, route: Manifest) -> list[Mapping[str, Any]]:
    """What all controllers answer, once each has seen the present route; else nothing."""
    generation = (route.get("metadata") or {}).get("generation", 0)
    found = [condition_of(answer, "Accepted") for answer in answers(owner, gateway, route)]
    are_current = all(accepted.get("observedGeneration", 0) >= generation for accepted in found)
    return found if are_current else []


def _was_ever_accepted(route: Manifest) -> bool:
    return any(condition_of(answer, "Accepted").get("status") == "True" for answer in _parents(route))


def condition_of(answer: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """One of the conditions of an answer; empty when it is not told."""
    return next((found for found in answer.get("conditions") or () if found.get("type") == type_), {})


def _head(resource: Resource, owner: DeepSeekServing) -> dict[str, Any]:
    return head(resource, owner, serving_service(owner.metadata.name), child_labels(owner))
