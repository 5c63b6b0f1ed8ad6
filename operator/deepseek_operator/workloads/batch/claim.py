"""A claim that the operator makes for what a gang writes, and which may outlive its owner.

It is created without an ownerReference and gets one by apply only while it shall go with its owner, which ends
when something may be written to it: a field that the creating request had set would stay.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import CLAIM, Manifest
from deepseek_operator.domain.values.quantity import to_bytes
from deepseek_operator.workloads.owner import Owner

ONE_NODE_MODES = ("ReadWriteOnce", "ReadWriteOncePod")
"""Access modes with which one node alone can mount a volume."""


def new_claim(owner: Owner, name: str, access_mode: str, size: str, storage_class: str | None) -> Manifest:
    """The claim as it is first made; never made again once its uid was recorded."""
    return {
        **owner.child(CLAIM, name, annotations={OWNER_UID: owner.uid}, goes_along=False),
        "spec": {
            "accessModes": [access_mode],
            "resources": {"requests": {"storage": size}},
            **({"storageClassName": storage_class} if storage_class else {}),
        },
    }


def kept_claim(claim: Manifest, live: Manifest, reference: Mapping[str, Any] | None) -> Manifest:
    """The living claim as wanted now: what can't change is as it is, its size only grows.

    `claim` is what would be made now; `reference` the owner with which it goes, None to stay without one.
    """
    references = {"ownerReferences": [reference]} if reference is not None else {}
    spec = {
        **{key: live["spec"][key] for key in ("accessModes", "storageClassName") if key in live["spec"]},
        "resources": {"requests": {"storage": _grown(live, claim["spec"]["resources"]["requests"]["storage"])}},
    }
    return {**claim, "metadata": {**claim["metadata"], **references}, "spec": spec}


def _grown(live: Manifest, wanted: str) -> str:
    """The larger size; the live one as it is written when they are equal, because the API server rewrites quantities.

    A claim that is not bound yet keeps its size: the API server refuses to change any of its spec (422).
    """
    requested = live["spec"].get("resources", {}).get("requests", {}).get("storage", "0")
    is_bound = live.get("status", {}).get("phase") == "Bound"
    return wanted if is_bound and to_bytes(wanted) > to_bytes(requested) else str(requested)


def capacity(claim: Manifest | None) -> str:
    """What the claim's driver says that it holds, empty when it says nothing; ends in + while more comes at the next mount.

    Some drivers grow the file system only when a pod mounts it (the condition FileSystemResizePending): until then the
    capacity is the old one, and whoever waits for the new one before making a pod waits for ever.
    """
    status = (claim or {}).get("status") or {}
    told = str((status.get("capacity") or {}).get("storage", ""))
    waits = [one for one in status.get("conditions") or () if one.get("type") == "FileSystemResizePending"]
    return f"{told}+" if any(one.get("status") == "True" for one in waits) else told


def is_shared(claim: Manifest | None) -> bool:
    """True when several nodes may write the claim: the next attempt need not wait for a dead node's detach."""
    return claim is not None and "ReadWriteMany" in claim["spec"].get("accessModes", [])


def is_for_one_node(modes: Sequence[str]) -> bool:
    """True when the access modes are known, and with each of them one node alone can mount the volume."""
    return bool(modes) and all(mode in ONE_NODE_MODES for mode in modes)
