"""Whose an object is. Labels find a child; they do not make one, because anybody in the namespace can write them.

A child has a name of its owner's family and is controlled by its owner; without any controller (a claim that is kept,
an orphan) it bears its owner's uid. A pod's controller is a Job or ReplicaSet of the family. What somebody else
controls is a stranger's, whatever it is labelled: it is never adopted, patched or deleted. Beyond that a kind knows by
uid what it recorded (`Kind.recorded_uids`), and the mirror what it has seen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.core.drift import covers
from deepseek_operator.core.names import OWNER_UID, child_name, family_of, owner_label
from deepseek_operator.core.resources import (
    POD,
    Manifest,
    Resource,
    annotations_of,
    controller_of,
    is_terminating,
    labels_of,
)

JOB_UID = "batch.kubernetes.io/controller-uid"


def is_child(owner: Resource, name: str, uid: str, resource: Resource, manifest: Manifest) -> bool:
    """True when the object is one of the owner of that resource, name and uid."""
    if not uid or not _is_of_family(owner, name, manifest["metadata"]["name"]):
        return False
    bears_uid = uid in (labels_of(manifest).get(OWNER_UID), annotations_of(manifest).get(OWNER_UID))
    is_told = bears_uid or (resource != POD and controller_of(manifest) is not None)
    return is_told and not is_anothers(owner, name, uid, resource, manifest)


def is_anothers(owner: Resource, name: str, uid: str, resource: Resource, manifest: Manifest) -> bool:
    """True when somebody else controls the object, or a person has set the pod apart (`Family.ends_loose_pods`)."""
    controller = controller_of(manifest)
    if controller is None:
        return resource == POD and not family_of(owner).ends_loose_pods
    if resource == POD:
        return not _is_of_family(owner, name, str(controller.get("name") or ""))
    return controller.get("uid") != uid


def left_by(owner: Resource, name: str, uid: str, manifest: Manifest) -> str:
    """uid of the deleted owner of this name that was deleted without what it had made; empty when there was none."""
    other = labels_of(manifest).get(OWNER_UID, "")
    is_ones = labels_of(manifest).get(owner_label(owner)) == name and controller_of(manifest) is None
    return other if is_ones and other != uid else ""


def job_uid_of(pod: Manifest) -> str:
    """uid of the Job that made the pod: its controller's, or as the Job controller labelled it; empty for no Job's."""
    controller = controller_of(pod)
    if controller is not None:
        return str(controller.get("uid") or "") if controller.get("kind") == "Job" else ""
    return labels_of(pod).get(JOB_UID, "")


def restored(
    resource: Resource, live: Manifest, labels: Mapping[str, str], references: Sequence[Mapping[str, Any]]
) -> Manifest | None:
    """What to apply to a write-once child that lost labels or its owner; None when it bears both.

    An object that is going, and one that another controls by now, stay as they are: the server allows one controller.
    """
    wanted = {"labels": dict(labels), "ownerReferences": [dict(reference) for reference in references]}
    controller = controller_of(live)
    is_taken = controller is not None and controller.get("uid") not in {reference["uid"] for reference in references}
    if is_taken or is_terminating(live) or covers(live["metadata"], wanted):
        return None
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {**head, "metadata": {"name": live["metadata"]["name"], **wanted}}


def _is_of_family(owner: Resource, name: str, child: str) -> bool:
    base = child_name(owner, name)
    return child == base or child.startswith(f"{base}-")
