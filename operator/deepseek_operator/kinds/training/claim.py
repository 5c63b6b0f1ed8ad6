"""The claim that the operator makes for checkpoints when the spec names none.

It is created without an ownerReference and gets one by apply only while it shall go with its training, which ends
when something may be written to it: a field that the creating request had set would stay.
"""

from typing import Any

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.names import OWNER_UID, owner_labels, owner_reference, training_claim
from deepseek_operator.core.resources import TRAINING, Manifest
from deepseek_operator.domain.values.quantity import to_bytes

DEFAULT_SIZE = "10Gi"


def access_mode(spec: TrainingSpec) -> str:
    """ReadWriteOnce serves one node; more need a volume that all of them can mount."""
    return spec.checkpoints.volume.access_mode or ("ReadWriteOnce" if spec.nodes.number == 1 else "ReadWriteMany")


def new_claim(owner: DeepSeekTraining) -> Manifest:
    """The claim as it is first made; never made again once its uid was recorded."""
    meta, volume = owner.metadata, owner.spec.checkpoints.volume
    storage_class = {"storageClassName": volume.storage_class_name} if volume.storage_class_name else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": training_claim(meta.name, meta.uid),
            "namespace": meta.namespace,
            "labels": owner_labels(TRAINING, meta.name, meta.uid),
            "annotations": {OWNER_UID: meta.uid},
        },
        "spec": {
            "accessModes": [access_mode(owner.spec)],
            "resources": {"requests": {"storage": volume.size or DEFAULT_SIZE}},
            **storage_class,
        },
    }


def kept_claim(owner: DeepSeekTraining, live: Manifest, *, is_owned: bool) -> Manifest:
    """The living claim as wanted now: what can't change is as it is, its size only grows, owned it goes with its owner."""
    claim = new_claim(owner)
    meta = owner.metadata
    references: dict[str, Any] = {}
    if is_owned:
        references = {"ownerReferences": [owner_reference(TRAINING, meta.name, meta.uid)]}
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
