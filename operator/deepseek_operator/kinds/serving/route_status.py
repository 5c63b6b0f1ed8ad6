"""What is told of the way from the gateway: whether its controller took the route, and what of the spec it does not do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.api.v1alpha1.serving.status import GatewayStatus, RouteWeight
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    SECURITY_POLICY,
    Manifest,
    Ref,
)
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.authorization import said_of
from deepseek_operator.kinds.serving.names import serving_cache, serving_service
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.routes import (
    answers,
    condition_of,
    foreign_controller,
    gateway_of,
    places_of,
    policy_fields,
)
from deepseek_operator.kinds.serving.view import View

ROUTE_READY = "RouteReady"
POLICY_READY = "PolicyReady"
MODELS_READY = "ModelsReady"
CACHE_READY = "CacheReady"
KEY_READY = "KeyReady"
_OF_A_SECRET = re.compile(r"(?i)secret|credential|HTTPRouteFilter")
"""In the words in which Envoy Gateway (1.9) refuses the filter."""
_JUDGED = ("Accepted", "ResolvedRefs")
MAX_PLACES = 16
MAX_NAMES = 256
"""Of 32 that a spec can have, and those of revisions before it that still run."""


def gateway_status(view: View) -> GatewayStatus | None:
    """What the live route says; None where none is wanted and none is left."""
    gateway = view.spec.gateway
    if gateway is None:
        return None if view.route is None else view.status.gateway
    places = places_of(view.route) if view.route is not None else ()
    whole = sum(part for _, part in places)
    weights = [RouteWeight(revision=name, percent=round(100 * part / whole)) for name, part in places if part > 0]
    return GatewayStatus(
        parent="/".join(gateway_of(view.owner, gateway)),
        controller=next((controller_of(answer) for answer in _answers(view, gateway)), ""),
        weights=weights[:MAX_PLACES],
        models=list(view.offered)[:MAX_NAMES] if gateway.auth is not None and view.gate is not None else [],
    )


def route_verdicts(view: View) -> tuple[Verdict, ...]:
    """The conditions RouteReady, PolicyReady, ModelsReady, CacheReady and KeyReady; none without a gateway, those who are let
    in by name, a cache, or an engine that asks for a key, and none of a serving that is going."""
    gateway = view.spec.gateway
    if gateway is None or view.owner.metadata.is_deleting:
        return ()
    cached = (_cache_ready(view),) if gateway.cache is not None else ()
    named = (_models_ready(view),) if gateway.auth is not None and view.gate is not None else ()
    keyed = (_key_ready(view, gateway),) if view.keyed else ()
    return _route_ready(view, gateway), _policy_ready(view, gateway), *named, *cached, *keyed


def _models_ready(view: View) -> Verdict:
    """Of all names, those of revisions that go or come included: clients may ask by each."""
    if view.taken:
        words = ", ".join(f"{name} is serving {other}'s" for name, other in sorted(view.taken.items()))
        return verdict(MODELS_READY, "False", reasons.MODEL_TAKEN, words)
    if lacking := [name for name, who in view.offered.items() if who.is_awaited]:
        words = f"no replica that serves knows {', '.join(lacking)} yet"
        return verdict(MODELS_READY, "Unknown", reasons.MODELS_ROLLING, words)
    if alone := [f"{name} by {who.only}" for name, who in view.offered.items() if who.only is not None]:
        words = f"not every revision that runs knows all names: clients are answered for {', '.join(alone)} alone"
        return verdict(MODELS_READY, "Unknown", reasons.MODELS_ROLLING, words)
    return verdict(MODELS_READY, "True", reasons.MODELS_KNOWN, f"clients ask for {', '.join(view.offered)}")


def _cache_ready(view: View) -> Verdict:
    """Of all revisions that get requests."""
    name = view.owner.metadata.name
    lacking = [serving_cache(name, revision) for revision in view.cached if revision not in view.through]
    if lacking or not view.cached:
        waited = f"Deployment {', '.join(lacking)}" if lacking else "requests by the gateway"
        return verdict(CACHE_READY, "Unknown", reasons.CACHE_NOT_READY, f"waiting for {waited}")
    words = f"requests for revision {', '.join(view.cached)} go through a cache"
    return verdict(CACHE_READY, "True", reasons.CACHE_USED, words)


def _key_ready(view: View, gateway: Gateway) -> Verdict:
    """Whether requests come to the engine with its key. A filter has no status of its own: Envoy Gateway says of the route what
    it lacks."""
    lost = "no client is answered who does not show the engine's own key"
    if gateway.auth is not None:
        lost = "no client is answered, since the gate takes off what clients show"
    if (why := view.seen.unserved.get(HTTP_ROUTE_FILTER)) is not None:
        return verdict(KEY_READY, "False", reasons.KEY_WITHOUT_EFFECT, f"{why.rstrip('.')}; {lost}")
    if (other := foreign_controller(view.owner, view.route)) is not None:
        words = f"{other} does not read a {HTTP_ROUTE_FILTER.kind}; {lost}"
        return verdict(KEY_READY, "False", reasons.KEY_WITHOUT_EFFECT, words)
    told = _answers(view, gateway)
    if (refused := refused_by(told)) is not None and _OF_A_SECRET.search(refused):
        return verdict(KEY_READY, "False", reasons.KEY_NOT_FOUND, refused)
    secrets = ", ".join(sorted(set(view.keyed.values())))
    if not told or refused is not None:
        words = f"the route with the key of Secret {secrets} is yet to be taken"
        return verdict(KEY_READY, "Unknown", reasons.KEY_PENDING, words)
    return verdict(
        KEY_READY, "True", reasons.KEY_SHOWN, f"requests come to the engine with the key of Secret {secrets}"
    )


def _answers(view: View, gateway: Gateway) -> tuple[Mapping[str, Any], ...]:
    return answers(view.owner, gateway, view.route) if view.route is not None else ()


def _route_ready(view: View, gateway: Gateway) -> Verdict:
    if (why := view.seen.unserved.get(HTTP_ROUTE)) is not None:
        return Verdict(ROUTE_READY, "Unknown", reasons.WAITING_FOR_API.name, why)
    if lacks_gate(view, gateway):
        words = "no route is made, since nobody would judge requests"
        return verdict(ROUTE_READY, "Unknown", reasons.GATE_NOT_ENABLED, words)
    told = _answers(view, gateway)
    if not told:
        words = f"no controller has answered for Gateway {'/'.join(gateway_of(view.owner, gateway))} yet"
        return verdict(ROUTE_READY, "Unknown", reasons.ROUTE_PENDING, words)
    if (refused := refused_by(told)) is not None:
        return verdict(ROUTE_READY, "False", reasons.ROUTE_REFUSED, refused)
    return verdict(ROUTE_READY, "True", reasons.ROUTE_ACCEPTED, f"{controller_of(told[0])} has accepted the route")


def lacks_gate(view: View, gateway: Gateway) -> bool:
    """Whether there is to be a gate and none reads this namespace, so that no route is made."""
    return gateway.auth is not None and view.gate is None


def _policy_ready(view: View, gateway: Gateway) -> Verdict:
    """Of the policy that judges first: without it nobody is let in, without the other one limits are not kept."""
    if lacks_gate(view, gateway):
        words = f"no gate reads the keys of namespace {view.owner.metadata.namespace}; nobody is let in"
        return verdict(POLICY_READY, "False", reasons.GATE_NOT_ENABLED, words)
    name = serving_service(view.owner.metadata.name)
    if gateway.auth is not None:
        judging = taken(view, POLICY_READY, Ref(SECURITY_POLICY, name), view.route, "nobody is let in")
        if judging.status != "True":
            return judging
    lost = f"without effect: {', '.join(policy_fields(gateway))}"
    closed = "the gateway answers all requests with 500 meanwhile"
    return taken(view, POLICY_READY, Ref(BACKEND_TRAFFIC_POLICY, name), view.route, lost, closed)


def taken(
    view: View,
    type_: str,
    ref: Ref,
    route: Manifest | None,
    lost: str,
    refused_lost: str | None = None,
) -> Verdict:
    """Whether the controller has taken the policy; `lost`: what follows if it has not, `refused_lost`: if it refuses to and
    that is something else. Envoy Gateway (1.9) closes a route whose policy it refuses.

    Args:
        type_: of the condition.
        ref: the policy.
        route: the live one that it is of.
    """
    resource, gateway = ref.resource, view.spec.gateway
    if (why := view.seen.unserved.get(resource)) is not None:
        return verdict(type_, "False", reasons.POLICY_WITHOUT_EFFECT, f"{why.rstrip('.')}; {lost}")
    policy = view.seen.child(resource, ref.name) or {}
    told = said_of(policy, gateway_of(view.owner, gateway)) if gateway is not None else ()
    other = foreign_controller(view.owner, route)
    if other is not None and not told:
        words = f"{other} does not read a {resource.kind}; {lost}"
        return verdict(type_, "False", reasons.POLICY_WITHOUT_EFFECT, words)
    if not told:
        words = f"no controller has answered for {resource.kind} {ref.name} yet"
        return verdict(type_, "Unknown", reasons.POLICY_PENDING, words)
    if (refused := refused_by(told)) is not None:
        return verdict(type_, "False", reasons.POLICY_REFUSED, f"{refused.rstrip('.')}; {refused_lost or lost}")
    return verdict(type_, "True", reasons.POLICY_ACCEPTED, f"{controller_of(told[0])} has accepted the policy")


def verdict(type_: str, status: Any, reason: Reason, message: str) -> Verdict:
    """A condition, with what to do about it behind it unless it is True."""
    told = message if status == "True" else f"{message.rstrip('.')}. {reason.advice}"
    return Verdict(type_, status, reason.name, told)


def refused_by(told: Sequence[Mapping[str, Any]]) -> str | None:
    """The first refusal, in its controller's words; None where nobody refuses."""
    return next(_refusals(told), None)


def _refusals(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for answer in told:
        for found in (condition_of(answer, type_) for type_ in _JUDGED):
            if found.get("status") == "False":
                yield f"{controller_of(answer)} says {found.get('reason', '')}: {found.get('message', '')}"


def controller_of(answer: Mapping[str, Any]) -> str:
    """The name of whoever answered."""
    return str(answer.get("controllerName") or "the controller")
