"""Which folder on which claim is served, decided once per reference and recorded before anything mounts it.

`model.source` names the folder, `model.fromTraining` a training and one of its exports (`api.v1alpha1.training.result`).
Everything lies in the resource's own namespace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.model import FromTraining, ServingModel
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.result import Missing, export_of
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import REVISION, Manifest, Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.workloads.replicas.group import group_named


@dataclass(frozen=True)
class Unresolved:
    """There is no folder to serve yet. `final`: a person must edit the reference."""

    reason: Reason
    message: str
    final: bool = False


Resolution: TypeAlias = ResolvedModel | Unresolved


def reference_digest(model: ServingModel) -> str:
    """Digest of what the user refers to; the name that clients send is no part of it."""
    match model.from_training:
        case None:
            return digest({"source": model.source.uri if model.source else ""})
        case reference:
            return digest({"training": reference.name, "checkpoint": reference.checkpoint})


def resolve(seen: Seen[DeepSeekServing]) -> Resolution:
    """The model folder of the present reference: as recorded, as a revision remembers it, or found now."""
    model, recorded = seen.owner.spec.model, seen.owner.status.resolved
    reference = reference_digest(model)
    if recorded is not None and recorded.reference == reference:
        return recorded
    if recorded is None and (remembered := _remembered(seen, reference)) is not None:
        return remembered
    if model.from_training is not None:
        return _export_of(model.from_training, reference, seen)
    if model.source is None:
        return Unresolved(reasons.NOT_EXPORTED, "write model.source or model.fromTraining", final=True)
    return ResolvedModel(reference=reference, claim_name=model.source.claim, sub_path=model.source.path)


def _remembered(seen: Seen[DeepSeekServing], reference: str) -> ResolvedModel | None:
    """What the newest revision of this reference, one that runs before one that does not, resolved to: a lost status
    must not unpin a pinned model."""
    for revision in sorted(seen.all(REVISION), key=lambda revision: _precedence(seen, revision), reverse=True):
        resolved = (revision.get("data") or {}).get("resolved")
        if isinstance(resolved, Mapping) and resolved.get("reference") == reference:
            return ResolvedModel.model_validate(resolved)
    return None


def _precedence(seen: Seen[DeepSeekServing], revision: Manifest) -> tuple[bool, int]:
    group = group_named(seen, revision["metadata"]["name"])
    return group is not None and group.specified > 0, int(revision.get("revision") or 0)


def _export_of(wanted: FromTraining, reference: str, seen: Seen[DeepSeekServing]) -> Resolution:
    match export_of(wanted.name, wanted.checkpoint, seen.references.get(Ref(TRAINING, wanted.name))):
        case Missing(reason, message, final):
            return Unresolved(reasons.BY_NAME[reason], message, final)
        case found:
            return ResolvedModel(
                reference=reference,
                claim_name=found.claim_name,
                sub_path=found.export_path,
                training=wanted.name,
                training_uid=found.uid,
                step=found.step,
            )
