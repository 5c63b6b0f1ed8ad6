"""The Kubernetes resources that the operator names, and how an object is referred to.

Everything is namespaced and lives beside its owner: no reference crosses namespaces, so a `Ref` has no
namespace field at all.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from deepseek_operator.api.resource import GROUP, VERSION, Resource

Manifest: TypeAlias = Mapping[str, Any]
"""A Kubernetes object (or the part of one that we have an opinion on) as plain data, never mutated."""


class Ref(NamedTuple):
    """Names one object in the namespace of the owner that is being reconciled.

    A tuple, since every pass looks hundreds of them up and sorts them.
    """

    resource: Resource
    name: str

    def __str__(self) -> str:
        return f"{self.resource.kind}/{self.name}"


JOB = Resource("batch/v1", "Job", "jobs")
POD = Resource("v1", "Pod", "pods")
SERVICE = Resource("v1", "Service", "services")
CLAIM = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims", is_read_whole=True)
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
REVISION = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
AUTOSCALER = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", is_read_whole=True)
BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POLICY = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")

KUBERNETES: tuple[Resource, ...] = (
    JOB,
    POD,
    SERVICE,
    CLAIM,
    DEPLOYMENT,
    REVISION,
    AUTOSCALER,
    BUDGET,
    POLICY,
    CONFIG_MAP,
    LEASE,
)
"""Those of Kubernetes itself that are named here; each cluster has them."""

HTTP_ROUTE = Resource(
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    "httproutes",
    installed_by="Gateway API, https://gateway-api.sigs.k8s.io",
)
GRPC_ROUTE = Resource(
    "gateway.networking.k8s.io/v1",
    "GRPCRoute",
    "grpcroutes",
    installed_by="Gateway API, https://gateway-api.sigs.k8s.io",
)
BACKEND_TRAFFIC_POLICY = Resource(
    "gateway.envoyproxy.io/v1alpha1",
    "BackendTrafficPolicy",
    "backendtrafficpolicies",
    installed_by="Envoy Gateway, https://gateway.envoyproxy.io",
)
SECURITY_POLICY = Resource(
    "gateway.envoyproxy.io/v1alpha1",
    "SecurityPolicy",
    "securitypolicies",
    installed_by="Envoy Gateway, https://gateway.envoyproxy.io",
)
HTTP_ROUTE_FILTER = Resource(
    "gateway.envoyproxy.io/v1alpha1",
    "HTTPRouteFilter",
    "httproutefilters",
    installed_by="Envoy Gateway, https://gateway.envoyproxy.io",
)
SCALED_OBJECT = Resource(
    "keda.sh/v1alpha1", "ScaledObject", "scaledobjects", is_read_whole=True, installed_by="KEDA, https://keda.sh"
)

LEADER_WORKER_SET = Resource(
    "leaderworkerset.x-k8s.io/v1",
    "LeaderWorkerSet",
    "leaderworkersets",
    installed_by="LeaderWorkerSet, https://lws.sigs.k8s.io",
)

OPTIONAL: tuple[Resource, ...] = (
    HTTP_ROUTE,
    GRPC_ROUTE,
    BACKEND_TRAFFIC_POLICY,
    SECURITY_POLICY,
    HTTP_ROUTE_FILTER,
    LEADER_WORKER_SET,
    SCALED_OBJECT,
)
"""Those that a cluster may have or not."""


def ref_of(manifest: Manifest, among: Iterable[Resource] = (*KUBERNETES, *OPTIONAL)) -> Ref:
    """The reference that names `manifest`.

    Raises:
        KeyError: the manifest is of none of the resources, or has no name.
    """
    named = manifest["apiVersion"], manifest["kind"]
    for resource in among:
        if (resource.api_version, resource.kind) == named:
            return Ref(resource, manifest["metadata"]["name"])
    raise KeyError(named)


def labels_of(manifest: Manifest) -> Mapping[str, str]:
    """The labels; empty when there are none."""
    return manifest.get("metadata", {}).get("labels") or {}


def annotations_of(manifest: Manifest) -> Mapping[str, str]:
    """The annotations; empty when there are none."""
    return manifest.get("metadata", {}).get("annotations") or {}


def uid_of(manifest: Manifest) -> str:
    """The uid that the API server gave; empty for an object that was never stored."""
    uid: str = manifest.get("metadata", {}).get("uid") or ""
    return uid


def is_terminating(manifest: Manifest) -> bool:
    """True once deletion was asked for; the object may live on for its grace period or a finalizer."""
    return bool(manifest.get("metadata", {}).get("deletionTimestamp"))


def controller_of(manifest: Manifest) -> Mapping[str, Any] | None:
    """The ownerReference that controls the object; None when nobody does."""
    owners = manifest.get("metadata", {}).get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


__all__ = [
    "AUTOSCALER",
    "BACKEND_TRAFFIC_POLICY",
    "BUDGET",
    "CLAIM",
    "CONFIG_MAP",
    "DEPLOYMENT",
    "GROUP",
    "GRPC_ROUTE",
    "HTTP_ROUTE",
    "HTTP_ROUTE_FILTER",
    "JOB",
    "KUBERNETES",
    "LEADER_WORKER_SET",
    "LEASE",
    "Manifest",
    "OPTIONAL",
    "POD",
    "POLICY",
    "REVISION",
    "Ref",
    "Resource",
    "SCALED_OBJECT",
    "SECURITY_POLICY",
    "SERVICE",
    "VERSION",
    "annotations_of",
    "controller_of",
    "is_terminating",
    "labels_of",
    "ref_of",
    "uid_of",
]
