"""What two runs of one life must have in common: every object of a namespace without what differs by chance.

Masked: uids, versions, times, addresses, random suffixes of pod names, and the digests and hashes that follow from
an owner's uid. Everything else counts, conditions and counters included.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from examples.local_cluster.api import Api, Manifest

COLLECTIONS = {
    "DeepSeekTraining": "/apis/deepseek-operator.io/v1alpha1/namespaces/{}/deepseektrainings",
    "DeepSeekServing": "/apis/deepseek-operator.io/v1alpha1/namespaces/{}/deepseekservings",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Service": "/api/v1/namespaces/{}/services",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "ControllerRevision": "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
}

_SERVERS_OWN = ("uid", "resourceVersion", "managedFields", "creationTimestamp")
_BY_CHANCE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"(-train-)[0-9a-f]{6}"), r"\1<hash>"),
    (re.compile(r"(-train-<hash>-\d+-\d+)-[a-z0-9]{5}\b"), r"\1-<suffix>"),
    (re.compile(r"(-serve-[0-9a-f]{10})-[a-z0-9]{5,10}(-[a-z0-9]{5})?\b"), r"\1-<suffix>"),
    (re.compile(r'("pod-template-hash": )"[a-z0-9]+"'), r'\1"<hash>"'),
    (re.compile(r'("deepseek-operator.io/applied": )"[0-9a-f]+"'), r'\1"<digest>"'),
)


def snapshot(api: Api, namespace: str) -> str:
    """Every object of the namespace, masked, in a fixed order."""
    texts = [
        _masked({"kind": kind, **item}).replace(namespace, "<namespace>")
        for kind, collection in COLLECTIONS.items()
        for item in api.get(collection.format(namespace))["items"]
    ]
    return "\n".join(sorted(texts))


def names(text: str) -> list[str]:
    """Kind and name of every object of a snapshot."""
    return re.findall(r'^  "kind": "(\w+)"', text, re.MULTILINE)


def unchanging(value: Any) -> Any:
    """The value with everything masked that differs by chance."""
    return json.loads(_without_chance(json.dumps(value)))


def _masked(item: Manifest) -> str:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _SERVERS_OWN}
    return _without_chance(json.dumps(_ordered({**item, "metadata": metadata}), indent=2, sort_keys=True))


def _without_chance(text: str) -> str:
    for pattern, word in _BY_CHANCE:
        text = pattern.sub(word, text)
    return text


def _ordered(value: Any) -> Any:
    """Conditions by type: the controllers append them in the order in which they happened to come true."""
    if isinstance(value, dict):
        return {key: _by_type(item) if key == "conditions" else _ordered(item) for key, item in value.items()}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _by_type(conditions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(conditions, key=lambda condition: str(condition["type"]))


def plain(value: Any) -> Any:
    """Plain dicts and lists without shared parts, so that YAML has no anchors."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
