"""Whether requests come to the target of a canary run as its step says, which is what a step bakes on.

The operator writes the weight; the gateway's proxies follow once its controller has seen the route as it is. The standard
has nothing nearer to the proxies than that: a condition that is true of the route's generation.
"""

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.api.v1alpha1.serving.rollout import HeaderMatch
from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.policy.canary import Run
from deepseek_operator.kinds.serving.canary import header_of
from deepseek_operator.kinds.serving.routes import answers, condition_of, gateway_of, matched_of, places_of


def unrouted(owner: DeepSeekServing, route: Manifest | None, run: Run | None) -> str:
    """Why the target does not get its step's part yet, or what carries the header of an A/B test, as a clause; empty once it
    does, or without gateway or run."""
    gateway = owner.spec.gateway
    if gateway is None or run is None:
        return ""
    header = header_of(owner.status.canary, run)
    if route is not None and _is_sent(route, run, header) and _is_taken(owner, gateway, route):
        return ""
    what = "the step's weight" if header is None else f"the rule for {header.name}: {header.value}"
    return f"Gateway {'/'.join(gateway_of(owner, gateway))} has not taken the route with {what}"


def _is_sent(route: Manifest, run: Run, header: HeaderMatch | None) -> bool:
    return run.target in matched_of(route) if header is not None else _has_weight(route, run)


def _has_weight(route: Manifest, run: Run) -> bool:
    """The route gives the target what the step has in percent, or more where little else serves; of a step that is of
    replicas alone, anything."""
    parts = [(name, part) for name, part in places_of(route) if part > 0]
    its = sum(part for name, part in parts if name == run.target)
    return its > 0 and 100 * its >= run.step.weight * sum(part for _, part in parts)


def _is_taken(owner: DeepSeekServing, gateway: Gateway, route: Manifest) -> bool:
    """All who answer for the Gateway have seen the route as it is and do what it says."""
    generation, told = (route.get("metadata") or {}).get("generation", 0), answers(owner, gateway, route)
    accepted = [condition_of(answer, "Accepted") for answer in told]
    resolved = [condition_of(answer, "ResolvedRefs") for answer in told]
    is_seen = all(one.get("status") == "True" and one.get("observedGeneration", 0) >= generation for one in accepted)
    return bool(told) and is_seen and all(one.get("status") != "False" for one in resolved)
