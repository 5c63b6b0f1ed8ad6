"""Servings, trainings and claims as a user writes them, and one look at them without a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.resources import CLAIM, Manifest, Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.registry import KINDS
from tests.support.moments import START

UID = "0f0e0d0c-0b0a-4998-8776-655443322110"
TRAINING_UID = "11111111-2222-4333-8444-555555555555"
NAMESPACE = "team"


def a_serving(
    name: str = "chat", *, uid: str = UID, status: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A DeepSeekServing of a folder on claim `models` unless `model` says otherwise."""
    manifest: dict[str, Any] = {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1, "resourceVersion": "1"},
        "spec": {"model": {"source": {"uri": "pvc://models/v2"}}, "replicas": 1, **spec},
    }
    return {**manifest, "status": dict(status)} if status is not None else manifest


def a_claim(name: str = "models") -> dict[str, Any]:
    """A PersistentVolumeClaim of the user."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": CLAIM.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def a_training(name: str = "tune", *, sub_path: str | None = None, **status: Any) -> dict[str, Any]:
    """A DeepSeekTraining with that status, its volume on claim `models`."""
    volume = {"claimName": "models", **({"subPath": sub_path} if sub_path else {})}
    return {
        "apiVersion": TRAINING.api_version,
        "kind": TRAINING.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": TRAINING_UID},
        "spec": {"model": {"custom": {}}, "checkpoints": {"volume": volume}},
        "status": {"uid": TRAINING_UID, "volume": {"claimName": "models"}, **status},
    }


def an_adapter_training(
    name: str = "legal", *, rank: int = 8, base: str | Mapping[str, Any] = "pvc://models/v2", **status: Any
) -> dict[str, Any]:
    """A training of method LoRA that exports its adapter, and has: beside a folder, or beside what `base` was resolved
    to of another training's export."""
    ended = {"exports": [50], "result": "Complete", "uid": "33333333", **status}
    if not isinstance(base, str):
        ended = {"origin": {"training": "tune", **base}, **ended}
    training = a_training(name, **ended)
    model = {"source": {"uri": base}} if isinstance(base, str) else {"fromTraining": {"name": "tune"}}
    method = {"type": "LoRA", "lora": {"rank": rank, "export": "Adapter"}}
    return {**training, "spec": {**training["spec"], "model": model, "method": method}}


def seen_of(
    serving: Mapping[str, Any],
    *,
    children: Sequence[Manifest] = (),
    references: Sequence[Manifest] | None = None,
    occupied: Sequence[Manifest] = (),
    now: datetime = START,
) -> Seen[DeepSeekServing]:
    """One look at the serving; claim `models` exists unless `references` says otherwise."""
    refs = [a_claim()] if references is None else references
    return Seen(
        owner=DeepSeekServing.model_validate(serving),
        now=now,
        children={KINDS.ref_of(item): item for item in children},
        references={KINDS.ref_of(item): item for item in refs},
        occupied={KINDS.ref_of(item): item for item in occupied},
    )


def without_child(seen: Seen[DeepSeekServing], ref: Ref) -> Seen[DeepSeekServing]:
    """The same look with one child gone."""
    return replace(seen, children={key: value for key, value in seen.children.items() if key != ref})


SOURCE = {"uri": "pvc://models/m"}
R1 = {"name": "deepseek-r1", "source": SOURCE}
DENSE = {"name": "deepseek-r1-distill-llama-70b", "source": SOURCE}


def a_replica(**spec: Any) -> dict[str, Any]:
    """R1 by vLLM on H200s, unless `spec` says otherwise."""
    return a_serving(**{"model": R1, "engine": {"type": "vllm"}, "accelerator": {"profile": "nvidia-h200-141"}, **spec})
