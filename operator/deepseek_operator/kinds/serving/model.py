"""Which folder on which claim is served, decided once per reference and recorded before anything mounts it.

`model.source` names the folder. `model.fromTraining` names a training: its exports lie on its claim under
`[<subPath>/]<training uid>/exports/<step>`. Best and Latest wait until the training has ended, because a pinned
reference is never looked at again; a step is taken as soon as it is exported. A training that evaluated nothing has
no best, and its latest export takes that place. Everything lies in the resource's own namespace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import ValidationError

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing, FromTraining, ResolvedModel, ServingModel
from deepseek_operator.api.v1alpha1.training import TrainingStatus
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import DEPLOYMENT, REVISION, TRAINING, Manifest, Ref, uid_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.reasons import Reason


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
    deployment = seen.child(DEPLOYMENT, revision["metadata"]["name"]) or {"spec": {"replicas": 0}}
    return deployment["spec"].get("replicas", 0) > 0, int(revision.get("revision") or 0)


def _export_of(wanted: FromTraining, reference: str, seen: Seen[DeepSeekServing]) -> Resolution:
    training = seen.references.get(Ref(TRAINING, wanted.name))
    if training is None:
        return Unresolved(reasons.WAITING_FOR_TRAINING, f"there is no DeepSeekTraining {wanted.name} here")
    status = _status_of(training)
    step = _step(wanted, status)
    if isinstance(step, Unresolved):
        return step
    if status is None or status.volume is None:
        return Unresolved(reasons.WAITING_FOR_EXPORT, f"training {wanted.name} has recorded no volume yet")
    uid = status.uid or uid_of(training)
    folder = f"{uid}/exports/{step}"
    prefix = _volume_path(training)
    return ResolvedModel(
        reference=reference,
        claim_name=status.volume.claim_name,
        sub_path=f"{prefix}/{folder}" if prefix else folder,
        training=wanted.name,
        training_uid=uid,
        step=step,
    )


def _status_of(training: Manifest) -> TrainingStatus | None:
    try:
        return TrainingStatus.model_validate(training.get("status") or {})
    except ValidationError:
        return None


def _volume_path(training: Manifest) -> str:
    volume = ((training.get("spec") or {}).get("checkpoints") or {}).get("volume") or {}
    return str(volume.get("subPath") or "")


def _step(wanted: FromTraining, status: TrainingStatus | None) -> int | Unresolved:
    exports = sorted(status.exports) if status is not None else []
    ended = status is not None and status.result is not None
    if wanted.checkpoint.isdecimal() and int(wanted.checkpoint) in exports:
        return int(wanted.checkpoint)
    if not ended or status is None:
        return Unresolved(reasons.WAITING_FOR_EXPORT, f"training {wanted.name} has not exported {wanted.checkpoint}")
    if not exports:
        return _nothing_exported(wanted.name, status)
    if wanted.checkpoint == "Latest" or (wanted.checkpoint == "Best" and status.best_checkpoint is None):
        return exports[-1]
    if wanted.checkpoint == "Best" and status.best_checkpoint and status.best_checkpoint.step in exports:
        return status.best_checkpoint.step
    listed = ", ".join(map(str, exports))
    return Unresolved(
        reasons.NOT_EXPORTED,
        f"training {wanted.name} ended without exporting {wanted.checkpoint}; exported are {listed}",
        final=True,
    )


def _nothing_exported(name: str, status: TrainingStatus) -> Unresolved:
    if status.result == "Failed":
        message = f"training {name} failed and exported nothing: {status.result_message}"
        return Unresolved(reasons.TRAINING_FAILED, message, final=True)
    return Unresolved(reasons.NOT_EXPORTED, f"training {name} is complete and exported nothing", final=True)
