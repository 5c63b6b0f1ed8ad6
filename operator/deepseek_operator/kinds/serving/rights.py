"""What a serving owns, and what the operator may do with each."""

from collections.abc import Mapping

from deepseek_operator.core.kinds import OWN, READ, Rights
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BACKEND_TRAFFIC_POLICY,
    BUDGET,
    CONFIG_MAP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    JOB,
    LEASE,
    POD,
    REVISION,
    SCALED_OBJECT,
    SECURITY_POLICY,
    SERVICE,
    Resource,
)
from deepseek_operator.workloads.replicas.group import RESOURCES

OWNS: Mapping[Resource, Rights] = {
    **dict.fromkeys(RESOURCES, OWN),
    REVISION: OWN,
    SERVICE: OWN,
    AUTOSCALER: OWN,
    BUDGET: OWN,
    POD: READ,
    JOB: OWN,
    CONFIG_MAP: OWN,
    LEASE: OWN,
    HTTP_ROUTE: OWN,
    GRPC_ROUTE: OWN,
    BACKEND_TRAFFIC_POLICY: OWN,
    SECURITY_POLICY: OWN,
    HTTP_ROUTE_FILTER: OWN,
    SCALED_OBJECT: OWN,
}
