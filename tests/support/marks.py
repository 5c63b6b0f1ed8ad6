"""What tells whose an object is, and how somebody takes it away; and strangers that wear an owner's labels."""

from collections.abc import Callable
from typing import Any

from deepseek_operator.core.names import MANAGED_BY, OWNER_UID, owner_labels
from deepseek_operator.core.resources import Manifest, Resource, labels_of

STRANGER = "web"
LOSSES: dict[str, Callable[[dict[str, Any]], None]] = {
    "owner-uid": lambda live: _change(live, {OWNER_UID: None}),
    "managed-by": lambda live: _change(live, {MANAGED_BY: None}),
    "labels": lambda live: live["metadata"].pop("labels", None),
    "changed": lambda live: _change(live, {OWNER_UID: "another", "deepseek-operator.io/revision": "another"}),
}


def _change(live: dict[str, Any], labels: dict[str, str | None]) -> None:
    after = {**(live["metadata"].get("labels") or {}), **labels}
    live["metadata"]["labels"] = {key: value for key, value in after.items() if value is not None}


def is_marked(child: Manifest, uid: str) -> bool:
    """True when the child bears the labels by which the operator watches and finds it."""
    labels = labels_of(child)
    return labels.get(OWNER_UID) == uid and MANAGED_BY in labels


def strangers(owner: Resource, name: str, namespace: str, uid: str) -> list[dict[str, Any]]:
    """A pod and a Service of somebody else, with the labels of the owner's children on them."""
    metadata = {"name": STRANGER, "namespace": namespace, "labels": owner_labels(owner, name, uid)}
    pod = {"spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "node-1"}}
    service = {"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": STRANGER}}}
    bodies: dict[str, dict[str, Any]] = {"Pod": pod, "Service": service}
    return [{"apiVersion": "v1", "kind": kind, "metadata": dict(metadata), **body} for kind, body in bodies.items()]
