"""Who is let in by the gateway: what the gate is told of a serving, and what Envoy Gateway is asked to ask it.

`deepseek_gate` says in its first lines how it is asked, how it answers and what it reads; `tests/unit/kinds/serving/
test_authorization.py` holds both ends. Envoy decides by the first route that matches, before anybody knows the model,
which authorizer it asks, and matches once more with what that answered. So all rules of a route are under its policy, none
leads to a replica but for the header that the gate writes, and a model is known to the gate only where it is asked in the
ways of the model's serving (`ways`), whosever route it was that matched first.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.gateway import Auth, Gateway, Tokens
from deepseek_operator.core.configuration import GateAddress
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import (
    CONFIG_MAP,
    GROUP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Manifest,
    Resource,
)
from deepseek_operator.domain.values.quantity import to_bytes
from deepseek_operator.kinds.serving.answering import Answering
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.labels import child_labels
from deepseek_operator.kinds.serving.names import serving_grpc, serving_service

CLIENT_HEADER = "x-deepseek-client"
"""The gate's name of the client: of its key, or of a token's subject."""
COUNTED_HEADER = "x-deepseek-counted"
"""Of requests whose answers' tokens the gateway reads: what does (examples/gateway/tokens.yaml) writes it, nobody else can."""
ROUTE_HEADER = "x-deepseek-route"
"""By which the gate's answer chooses the route; `routed` is its value."""
ENTRY = "models.json"

_GATE_LABEL = f"{GROUP}/gate"
_SAID = (CLIENT_HEADER, "x-deepseek-model", "x-deepseek-revision", "x-deepseek-limits", ROUTE_HEADER)
_CLAIMS = {"x-deepseek-jwt-sub": "sub", "x-deepseek-jwt-scopes": "scope"}
_READ = ("authorization", "x-api-key", "content-type", "content-encoding", *_CLAIMS)

_NOT_YET = {"ready": 0, "holdSeconds": 0}
"""To be asked for again soon: of a name that no replica that serves knows yet. Of a serving that may sleep it is waited for."""

ANSWER_SECONDS = 15
"""How long Envoy waits for the gate, which waits 10 s for a body that comes slowly."""

AT_ONCE = 65536
"""Requests and connections of one proxy to the replicas, and as many questions to the gate, each of which may be held while
nothing runs. Envoy's own 1,024 are fewer than streams that a day sees; it is the engines that say when there are too many."""


def ways(auth: Auth) -> str:
    """What may say who a client is, as the gate is asked: `keys`, `jwt` or `any`, and which tokens count, by a digest."""
    if auth.jwt is None:
        return "keys"
    return f"{'any' if auth.api_keys else 'jwt'}.{digest(auth.jwt.to_wire())[:10]}"


def routed(owner: DeepSeekServing, revision: str | None = None) -> str:
    """The header's value for this serving, or for one revision of it."""
    own = f"{owner.metadata.namespace}/{owner.metadata.name}"
    return own if revision is None else f"{own}/{revision}"


def models_map(
    owner: DeepSeekServing, auth: Auth, names: Mapping[str, Answering], held: Mapping[str, int] | None = None
) -> Manifest:
    """What the gate reads. `names`: who answers to each. `held`: `ready` and `holdSeconds`, of one that may sleep."""
    models = {"models": {name: _entry(owner, auth, who, held or {}) for name, who in names.items()}}
    labels = {**child_labels(owner), _GATE_LABEL: "models"}
    name = serving_service(owner.metadata.name)
    return {**head(CONFIG_MAP, owner, name, labels), "data": {ENTRY: json.dumps(models, sort_keys=True)}}


def names_told(config_map: Manifest) -> tuple[str, ...]:
    """Names in a live ConfigMap of this form; none where somebody has spoilt it."""
    try:
        return tuple(json.loads(config_map["data"][ENTRY])["models"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def _entry(owner: DeepSeekServing, auth: Auth, who: Answering, held: Mapping[str, int]) -> dict[str, Any]:
    """`counted`: tokens of answers are, so that each must tell them."""
    gateway = owner.spec.gateway
    is_counted = gateway is not None and gateway.limits.tokens_per_minute is not None
    return {
        "serving": owner.metadata.name,
        "revisions": {revision: dict[str, Any]() for revision in who.pins},
        "ways": ways(auth),
        **({"only": who.only} if who.only is not None else {}),
        **({"counted": True} if is_counted else {}),
        **({**_NOT_YET, **held, "ready": 0} if who.is_awaited else held),
    }


def security_policy(owner: DeepSeekServing, gateway: Gateway, auth: Auth, gate: GateAddress) -> Manifest:
    """What Envoy Gateway is asked: nobody gets through but by the gate's leave, and tokens are verified before."""
    path = f"/authorize/{owner.metadata.namespace}/{ways(auth)}"
    body = {"bodyToExtAuth": {"maxRequestBytes": to_bytes(gateway.limits.max_body_size)}}
    return _policy(owner, HTTP_ROUTE, serving_service(owner.metadata.name), auth, gate, path, body)


def grpc_security_policy(owner: DeepSeekServing, auth: Auth, gate: GateAddress) -> Manifest:
    """The same of the route for gRPC, which is of this serving alone: the policy names it to the gate. No body is waited for,
    since a stream has no end before its answers come, and every message of it may name another model."""
    path = f"/grpc/{owner.metadata.namespace}/{ways(auth)}/{owner.metadata.name}"
    return _policy(owner, GRPC_ROUTE, serving_grpc(owner.metadata.name), auth, gate, path, {})


def _policy(
    owner: DeepSeekServing,
    route: Resource,
    name: str,
    auth: Auth,
    gate: GateAddress,
    path: str,
    body: Mapping[str, Any],
) -> Manifest:
    """Of the route of that name. `path`: at which the gate is asked; `body`: of what it is shown."""
    spec: dict[str, Any] = {
        "targetRefs": [{"group": route.group, "kind": route.kind, "name": name}],
        "extAuth": {
            "http": {
                "backendRefs": [backend(gate)],
                "backendSettings": {
                    "circuitBreaker": dict.fromkeys(
                        ("maxConnections", "maxPendingRequests", "maxParallelRequests"), AT_ONCE
                    ),
                    "retry": {"numRetries": 2, "retryOn": {"triggers": ["connect-failure", "refused-stream"]}},
                },
                "path": path,
                "headersToBackend": list(_SAID),
            },
            "headersToExtAuth": list(_READ),
            **body,
            "timeout": f"{ANSWER_SECONDS + (owner.spec.sleep.hold_seconds if owner.spec.sleep is not None else 0)}s",
            "failOpen": False,
            "statusOnError": 503,
            "recomputeRoute": True,
        },
        **({"jwt": _tokens(auth.jwt, auth.api_keys)} if auth.jwt is not None else {}),
    }
    return {**head(SECURITY_POLICY, owner, name, child_labels(owner)), "spec": spec}


def backend(gate: GateAddress) -> dict[str, Any]:
    """The gate's Service, always with its namespace: by it rules that lead to the gate are told from those to replicas."""
    return {"group": "", "kind": "Service", "name": gate.name, "namespace": gate.namespace, "port": gate.port}


def _tokens(jwt: Tokens, beside_keys: bool) -> dict[str, Any]:
    """Whoever shows no token is refused at once, but where a key may stand in its place; a false one always is."""
    keys = (
        {"remoteJWKS": {"uri": jwt.jwks.uri, **_fetched_by(jwt.jwks.backend_name)}}
        if jwt.jwks.uri is not None
        else {"localJWKS": {"type": "ValueRef", "valueRef": _config_map(str(jwt.jwks.config_map_name))}}
    )
    provider = {
        "name": "tokens",
        "issuer": jwt.issuer,
        "audiences": list(jwt.audiences),
        **keys,
        "claimToHeaders": [{"header": header, "claim": claim} for header, claim in _CLAIMS.items()],
        "extractFrom": {"headers": [{"name": "Authorization", "valuePrefix": "Bearer "}]},
    }
    return {"optional": beside_keys, "providers": [provider]}


def _fetched_by(backend_name: str | None) -> dict[str, Any]:
    """Of `uri` alone Envoy Gateway 1.9.1 makes a cluster that verifies no name (`buildXdsUpstreamTLSSocket` of its
    internal/xds/translator/jwt.go); of a Backend with TLS one that does."""
    if backend_name is None:
        return {}
    return {"backendRefs": [{"group": SECURITY_POLICY.group, "kind": "Backend", "name": backend_name}]}


def _config_map(name: str) -> dict[str, str]:
    return {"group": "", "kind": CONFIG_MAP.kind, "name": name}


def is_accepted(policy: Manifest | None, gateway: tuple[str, str]) -> bool:
    """Whether the controller of the Gateway (namespace, name) has taken the live policy, in this form or an earlier one, and
    does not refuse it: until then no rule of the route may lead to a replica. What another Gateway's has taken is worth
    nothing: the route's new one may know no such policies, and let in whoever writes the header."""
    said = [one for answer in said_of(policy or {}, gateway) for one in answer.get("conditions") or ()]
    found = [one.get("status") for one in said if one.get("type") == "Accepted"]
    return bool(found) and all(status == "True" for status in found)


def said_of(policy: Manifest, gateway: tuple[str, str]) -> tuple[Mapping[str, Any], ...]:
    """What controllers say of a live policy at the Gateway (namespace, name), each with its conditions."""
    own = str((policy.get("metadata") or {}).get("namespace") or "")
    told: Sequence[Mapping[str, Any]] = (policy.get("status") or {}).get("ancestors") or ()
    return tuple(answer for answer in told if _named(answer.get("ancestorRef") or {}, own) == gateway)


def _named(ancestor: Mapping[str, Any], own: str) -> tuple[str, str]:
    return str(ancestor.get("namespace") or own), str(ancestor.get("name") or "")
