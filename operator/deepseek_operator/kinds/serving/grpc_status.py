"""What is told of gRPC by the gateway: one condition, of the route and of the policies, whichever is first in the way."""

from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY, GRPC_ROUTE, SECURITY_POLICY, Ref
from deepseek_operator.domain.programs.engines.entry import Grpc
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.grpc_routes import grpc_of
from deepseek_operator.kinds.serving.names import serving_grpc
from deepseek_operator.kinds.serving.route_status import controller_of, lacks_gate, refused_by, taken, verdict
from deepseek_operator.kinds.serving.routes import answers, gateway_of, policy_fields
from deepseek_operator.kinds.serving.view import View

GRPC_READY = "GRPCReady"
_BODIES = "gateway.limits.maxBodySize"


def grpc_verdicts(view: View) -> tuple[Verdict, ...]:
    """The condition GRPCReady; none where no gRPC is let in, and none of a serving that is going."""
    gateway, grpc = view.spec.gateway, grpc_of(view.owner)
    if gateway is None or grpc is None or view.owner.metadata.is_deleting:
        return ()
    return (_grpc_ready(view, gateway, grpc),)


def _grpc_ready(view: View, gateway: Gateway, grpc: Grpc) -> Verdict:
    if (why := view.seen.unserved.get(GRPC_ROUTE)) is not None:
        return Verdict(GRPC_READY, "Unknown", reasons.WAITING_FOR_API.name, why)
    if lacks_gate(view, gateway):
        words = "no route is made, since nobody would judge calls"
        return verdict(GRPC_READY, "Unknown", reasons.GATE_NOT_ENABLED, words)
    told = answers(view.owner, gateway, view.grpc_route) if view.grpc_route is not None else ()
    if not told:
        words = f"no controller has answered for Gateway {'/'.join(gateway_of(view.owner, gateway))} yet"
        return verdict(GRPC_READY, "Unknown", reasons.ROUTE_PENDING, words)
    if (refused := refused_by(told)) is not None:
        return verdict(GRPC_READY, "False", reasons.ROUTE_REFUSED, f"{refused.rstrip('.')}{_shared(gateway)}")
    name = serving_grpc(view.owner.metadata.name)
    if gateway.auth is not None:
        judging = taken(view, GRPC_READY, Ref(SECURITY_POLICY, name), view.grpc_route, "nobody is let in")
        if judging.status != "True":
            return judging
    lost = f"without effect on gRPC: {', '.join(('gateway.timeouts.requestSeconds', *_policed(gateway)))}"
    closed = "the gateway answers all calls with UNKNOWN meanwhile"
    limiting = taken(view, GRPC_READY, Ref(BACKEND_TRAFFIC_POLICY, name), view.grpc_route, lost, closed)
    if limiting.status != "True":
        return limiting
    without = ", ".join((_BODIES, *(("gateway.cache",) if gateway.cache is not None else ())))
    words = f"{controller_of(told[0])} has accepted the route to {grpc.service}; without effect on it: {without}"
    return verdict(GRPC_READY, "True", reasons.ROUTE_ACCEPTED, words)


def _policed(gateway: Gateway) -> tuple[str, ...]:
    """Fields of the spec that only the policy carries, of those that hold for gRPC."""
    return tuple(field for field in policy_fields(gateway) if field != _BODIES)


def _shared(gateway: Gateway) -> str:
    """Gateway API lets an implementation take but one of an HTTPRoute and a GRPCRoute under the same host name."""
    is_own = gateway.grpc is not None and gateway.grpc.hostnames
    return "" if is_own else "; where it takes no gRPC beside HTTP under one host name, write gateway.grpc.hostnames"
