"""The nginx before each revision that keeps answers, and when requests go through it.

Each revision has its own: what it is told never changes while the revision lives, so that it is never reloaded, and what it
keeps ends with it. It is beside the way, not in it: the route names it once a pod of it is ready, and the revision's own
Service before that and whenever none is. It goes once the gateway has let it go, as replicas do. Its pods carry no label
by which replicas are found: they are counted nowhere, and no Service of the serving selects them.

What nginx does with requests is in `domain/programs/answer_cache`.
"""

from collections.abc import Iterator
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.gateway import Cache, Gateway
from deepseek_operator.core.names import REVISION_LABEL, digest
from deepseek_operator.core.resources import (
    BUDGET,
    CONFIG_MAP,
    GROUP,
    SERVICE,
    Manifest,
    Resource,
    is_terminating,
    uid_of,
)
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.programs.answer_cache.configuration import (
    CONFIGURATION,
    FOLDER,
    HEADROOM,
    HEALTH_PORT,
    MEMORY,
    PORT,
    SCRIPT,
    Cached,
    configuration,
    script,
)
from deepseek_operator.domain.values.quantity import binary, to_bytes
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.labels import child_labels, revision_labels
from deepseek_operator.kinds.serving.names import serving_cache, serving_caches, serving_revision
from deepseek_operator.workloads.pod.security import container_security
from deepseek_operator.workloads.pod.template import pod_spec, with_settings
from deepseek_operator.workloads.replicas.group import Pods, Wanted, group_named, keeper_for

CACHE_LABEL = f"{GROUP}/cache"
"""Of the pods: the serving's name. By it, and not by the labels of replicas, monitors find them."""
CONFIGURED = f"{GROUP}/configured"
"""Digest of what nginx was started with: it reads its configuration, and looks up its Service, once."""

REPLICAS = 2
"""So that requests need not go another way while a node is drained. Each keeps its own answers."""

BODIES = 32
"""Requests of the largest size that fit into a pod's memory at a time; of usual ones it is thousands."""
_BASE = 128 * 1024 * 1024
"""Bytes of two workers, their connections and the names of answers."""

_LEAVING_SECONDS = 5
"""Between the end of its endpoint and the end of new connections."""
_MARGIN_SECONDS = 5
_DEADLINE_SECONDS = 600
"""For placing a pod and pulling a small image."""


def cache_of(seen: Seen[DeepSeekServing], gateway: Gateway, cache: Cache, revision: str) -> tuple[Manifest, ...]:
    """The cache before one revision; nothing until that one's Service is there."""
    owner = seen.owner
    service = seen.child(SERVICE, serving_revision(owner.metadata.name, revision))
    if service is None or is_terminating(service):
        return ()
    port = int(service["spec"]["ports"][0]["port"])
    told = {CONFIGURATION: configuration(_cached(owner, gateway, cache, revision, port)), SCRIPT: script()}
    # The Service's address changes with its uid, and nginx has looked it up at its start.
    configured = digest([told, uid_of(service)])
    return (
        {**_head(CONFIG_MAP, owner, revision), "data": told},
        {**_head(SERVICE, owner, revision), "spec": _service_spec(owner, revision, port)},
        _pods(owner, gateway, cache, revision, configured),
    )


def _cached(owner: DeepSeekServing, gateway: Gateway, cache: Cache, revision: str, port: int) -> Cached:
    return Cached(
        revision=revision,
        service=serving_revision(owner.metadata.name, revision),
        port=port,
        tries=1 + gateway.retries,
        max_body_size=to_bytes(gateway.limits.max_body_size),
        ttl_s=cache.ttl_seconds,
        max_size=to_bytes(cache.max_size),
        request_s=gateway.timeouts.request_seconds,
    )


def caches_budget(owner: DeepSeekServing) -> Manifest:
    """Lets a drain take one pod of all caches at a time."""
    spec = {
        "maxUnavailable": 1,
        "minAvailable": None,  # If somebody else wrote it, the server would refuse ours: only one may be set.
        "selector": {"matchLabels": {CACHE_LABEL: owner.metadata.name}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {**head(BUDGET, owner, serving_caches(owner.metadata.name), child_labels(owner)), "spec": spec}


def is_ready(seen: Seen[DeepSeekServing], revision: str) -> bool:
    """Whether requests can go through the cache of a revision."""
    name = serving_cache(seen.owner.metadata.name, revision)
    service, pods = seen.child(SERVICE, name), group_named(seen, name)
    if service is None or is_terminating(service) or pods is None or pods.is_going:
        return False
    return pods.counted(0).ready > 0


def _pod_labels(owner: DeepSeekServing, revision: str) -> dict[str, str]:
    return {CACHE_LABEL: owner.metadata.name, REVISION_LABEL: revision}


def _service_spec(owner: DeepSeekServing, revision: str, port: int) -> dict[str, Any]:
    ports = [{"name": "http", "port": port, "targetPort": PORT, "protocol": "TCP"}]
    return {"selector": _pod_labels(owner, revision), "ports": ports}


def _pods(owner: DeepSeekServing, gateway: Gateway, cache: Cache, revision: str, configured: str) -> Manifest:
    """Kept as replicas are, one pod more before one less: answers are lost with a pod, requests are not."""
    labels, pod = _pod_labels(owner, revision), owner.spec.pod
    grace_s = _LEAVING_SECONDS + gateway.timeouts.request_seconds + _MARGIN_SECONDS
    volumes = [
        {"name": "configuration", "configMap": {"name": serving_cache(owner.metadata.name, revision)}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": binary(_kept_bytes(cache))}},
    ]
    spec = pod_spec(pod, grace_s, [_container(gateway, cache, grace_s)], volumes)
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    spec["topologySpreadConstraints"] = [{**spread, "labelSelector": {"matchLabels": labels}}]
    pulled = with_settings({"metadata": {}, "spec": spec}, pod)["spec"]
    template = {"metadata": {"labels": labels, "annotations": {CONFIGURED: configured}}, "spec": pulled}
    keeper = keeper_for(nodes=1)
    spec = keeper.spec(Wanted(REPLICAS, labels, Pods(template), _DEADLINE_SECONDS))
    return {**_head(keeper.resource, owner, revision), "spec": spec}


def _kept_bytes(cache: Cache) -> int:
    return to_bytes(cache.max_size) + HEADROOM


def _container(gateway: Gateway, cache: Cache, grace_s: int) -> dict[str, Any]:
    """SIGTERM would cut off every stream: nginx is asked to end with the last of them before that comes."""
    base = _kept_bytes(cache) + _BASE
    most = base + BODIES * to_bytes(gateway.limits.max_body_size)
    end = f"sleep {_LEAVING_SECONDS}; kill -QUIT 1; sleep {grace_s}"
    return {
        "name": "nginx",
        "image": cache.image,
        "command": ["nginx", "-e", "stderr", "-c", f"{FOLDER}/{CONFIGURATION}"],
        "ports": [
            {"name": "cache", "containerPort": PORT, "protocol": "TCP"},
            {"name": "health", "containerPort": HEALTH_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": binary(base)},
            "limits": {"memory": binary(most)},
        },
        "readinessProbe": {**_probe(), "periodSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**_probe(), "periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", end]}}},
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": "configuration", "mountPath": FOLDER, "readOnly": True},
            {"name": "memory", "mountPath": MEMORY},
        ],
    }


def _probe() -> dict[str, Any]:
    return {"httpGet": {"path": "/ready", "port": "health"}, "timeoutSeconds": 2}


def _head(resource: Resource, owner: DeepSeekServing, revision: str) -> dict[str, Any]:
    return head(resource, owner, serving_cache(owner.metadata.name, revision), revision_labels(owner, revision))


def names_of(route: Manifest) -> Iterator[str]:
    """Services that a live route names."""
    for rule in (route.get("spec") or {}).get("rules") or ():
        for backend in rule.get("backendRefs") or ():
            yield str(backend.get("name", ""))
