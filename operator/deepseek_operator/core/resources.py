"""The Kubernetes resources that the operator names, and how an object is referred to.

Everything is namespaced and lives beside its owner: no reference crosses namespaces, so a `Ref` has no
namespace field at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Manifest: TypeAlias = Mapping[str, Any]
"""A Kubernetes object (or the part of one that we have an opinion on) as plain data, never mutated."""

GROUP = "deepseek-operator.io"
VERSION = "v1alpha1"


@dataclass(frozen=True, order=True)
class Resource:
    """One namespaced resource type: `api_version` as in a manifest, `plural` as in a URL."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True, order=True)
class Ref:
    """Names one object in the namespace of the owner that is being reconciled."""

    resource: Resource
    name: str

    def __str__(self) -> str:
        return f"{self.resource.kind}/{self.name}"


TRAINING = Resource(f"{GROUP}/{VERSION}", "DeepSeekTraining", "deepseektrainings")
SERVING = Resource(f"{GROUP}/{VERSION}", "DeepSeekServing", "deepseekservings")
JOB = Resource("batch/v1", "Job", "jobs")
POD = Resource("v1", "Pod", "pods")
SERVICE = Resource("v1", "Service", "services")
CLAIM = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
REVISION = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
AUTOSCALER = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
BUDGET = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POLICY = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")

OWNED: tuple[Resource, ...] = (JOB, POD, SERVICE, CLAIM, DEPLOYMENT, REVISION, AUTOSCALER, BUDGET, POLICY)
"""Every resource that a kind may own or look at; the shell watches these and no others."""

_BY_KIND = {(r.api_version, r.kind): r for r in (TRAINING, SERVING, *OWNED)}


def ref_of(manifest: Manifest) -> Ref:
    """The reference that names `manifest`.

    Raises:
        KeyError: the manifest is of a resource the operator does not know, or has no name.
    """
    return Ref(_BY_KIND[manifest["apiVersion"], manifest["kind"]], manifest["metadata"]["name"])


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
