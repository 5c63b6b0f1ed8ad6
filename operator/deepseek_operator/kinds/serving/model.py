"""Which folders on which claims are served, decided once per reference and recorded before anything mounts them.

`model.source` names the folder, or where it is fetched from by a Job first; `model.fromTraining` a training and one of its exports (`api.v1alpha1.training.result`);
each of `adapters` has a reference of its own, so that another adapter does not unpin the model.
Everything lies in the resource's own namespace.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.common.source import ModelSource
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.adapters import USUAL_RANK, ServedAdapter
from deepseek_operator.api.v1alpha1.serving.model import FromTraining, ServingModel
from deepseek_operator.api.v1alpha1.serving.status import ResolvedAdapter, ResolvedModel
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.result import Adapter, Missing, adapter_of, export_of
from deepseek_operator.core.resources import CLAIM, Manifest, Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.domain.models.known import known
from deepseek_operator.domain.models.model import LatentAttention
from deepseek_operator.domain.programs.engines.limits import WITHOUT_FOLDED
from deepseek_operator.domain.programs.engines.request import AdapterKind
from deepseek_operator.domain.programs.engines.table import ENGINES, offered
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.sources import (
    ADAPTER,
    MODEL,
    adapter_digest,
    adapters_of,
    fetches,
    reference_digest,
    stored,
)
from deepseek_operator.workloads.batch.fetch import COMPLETE, Wanted, unallowed

Folder = TypeVar("Folder", ResolvedModel, ResolvedAdapter)

PINNED = "Pinned"
"""`update` of a reference that is resolved once."""


@dataclass(frozen=True)
class Unresolved:
    """There is no folder to serve yet. `final`: a person must edit the reference."""

    reason: Reason
    message: str
    final: bool = False


_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})

Resolution: TypeAlias = ResolvedModel | Unresolved


def resolve(seen: Seen[DeepSeekServing], web: WebAccess) -> Resolution:
    """The folders of the present references: as recorded, as a revision remembers them, or found now; `web`: from which addresses
    what lies nowhere yet may be fetched."""
    said = _resolved(seen)
    if isinstance(said, Unresolved) and not said.final and (why := unallowed(fetches(seen), web)):
        return Unresolved(reasons.SOURCE_NOT_ALLOWED, why, final=True)
    return said


def _resolved(seen: Seen[DeepSeekServing]) -> Resolution:
    refused = (_refused(seen, adapter) for adapter in seen.owner.spec.adapters)
    model = next((why for why in refused if why is not None), None) or _model(seen)
    if isinstance(model, Unresolved):
        return model
    found: list[ResolvedAdapter] = []
    # In an order of their own: to list them otherwise makes no other revision.
    for adapter in sorted(seen.owner.spec.adapters, key=lambda adapter: adapter.name):
        one = _beside(seen, model, adapter)
        if isinstance(one, Unresolved):
            return one
        found.append(one)
    return model.model_copy(update={"adapters": found or None})


def unresolved_trainings(seen: Seen[DeepSeekServing]) -> Iterator[str]:
    """Names of the trainings whose exports are not resolved yet, or followed."""
    spec, recorded = seen.owner.spec, seen.owner.status.resolved
    model = spec.model.from_training
    is_new = recorded is None or recorded.reference != reference_digest(spec.model)
    if model is not None and (is_new or model.update != PINNED):
        yield model.name
    known = {adapter.reference for adapter in adapters_of(recorded)}
    for adapter in spec.adapters:
        of = adapter.from_training
        if of is not None and (adapter_digest(adapter) not in known or of.update != PINNED):
            yield of.name


def _model(seen: Seen[DeepSeekServing]) -> Resolution:
    model, recorded = seen.owner.spec.model, seen.owner.status.resolved
    reference = reference_digest(model)
    if recorded is not None and recorded.reference == reference:
        return _followed(model.from_training, recorded, lambda wanted: _export_of(wanted, reference, seen))
    is_fetched = model.source is not None and model.source.is_fetched
    if (recorded is None or is_fetched) and (remembered := _remembered(seen, reference)) is not None:
        return remembered
    if model.from_training is not None:
        return _export_of(model.from_training, reference, seen)
    if model.source is None:
        return Unresolved(reasons.NOT_EXPORTED, "write model.source or model.fromTraining", final=True)
    source = model.source
    if not source.is_fetched:
        return ResolvedModel(reference=reference, claim_name=source.claim, sub_path=source.path)
    found = _brought(seen, source, MODEL)
    if isinstance(found, Unresolved):
        return found
    return ResolvedModel(
        reference=reference,
        claim_name=source.claim,
        sub_path=found.sub_path,
        digest=found.digest,
        size_bytes=found.size_bytes or None,
        read_bytes_per_second=found.read_bytes_per_second or None,
    )


def _brought(seen: Seen[DeepSeekServing], source: ModelSource, want: str) -> FetchStatus | Unresolved:
    """What a fetch has brought, or where it stands."""
    if Ref(CLAIM, source.claim) not in seen.references:
        told = f"there is no PersistentVolumeClaim {source.claim} in this namespace, which {source.uri} is to be fetched to"
        return Unresolved(reasons.WAITING_FOR_CLAIM, told)
    wanted = Wanted(source, want).reference
    one = next(one for one in fetches(seen) if one.wanted.reference == wanted)
    if one.after.phase != COMPLETE:
        reason, message, final = one.told
        return Unresolved(reasons.BY_NAME[reason], message, final)
    return one.after


def _followed(
    wanted: FromTraining | None, recorded: Folder, export: Callable[[FromTraining], Folder | Unresolved]
) -> Folder:
    """What is recorded, or where the training is followed the `export` that it has in its place now."""
    if wanted is None or wanted.update == PINNED:
        return recorded
    found = export(wanted)
    if isinstance(found, Unresolved) or (found.claim_name, found.sub_path) == (recorded.claim_name, recorded.sub_path):
        return recorded
    return found


def _remembered(seen: Seen[DeepSeekServing], reference: str) -> ResolvedModel | None:
    """What the newest revision of this reference, one that runs before one that does not, resolved to: a lost status
    must not unpin a pinned model."""
    return next((model for model in stored(seen) if model.reference == reference), None)


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


def _refused(seen: Seen[DeepSeekServing], wanted: ServedAdapter) -> Unresolved | None:
    """What can be told of an adapter before anything is fetched or found."""
    if wanted.name == (seen.owner.spec.model.name or seen.owner.metadata.name):
        told = f"one of adapters is called {wanted.name}, as the model is: write model.name, or another name of the adapter"
        return Unresolved(reasons.UNSUPPORTED, told, final=True)
    if wanted.source is None:
        return None
    why = _not_served(seen.owner.spec.engine.type, wanted.name, AdapterKind.LORA)
    return Unresolved(reasons.UNSUPPORTED, why, final=True) if why is not None else None


def _beside(seen: Seen[DeepSeekServing], model: ResolvedModel, wanted: ServedAdapter) -> ResolvedAdapter | Unresolved:
    """The folder of an adapter that may stand beside the model."""
    found = _adapter(seen, wanted)
    if isinstance(found, Unresolved):
        return found
    if why := _not_served(seen.owner.spec.engine.type, wanted.name, AdapterKind(found.kind or "LoRA")):
        return Unresolved(reasons.UNSUPPORTED, why, final=True)
    # A folder that a user brought may be a copy of the other: only the pod, which reads the weights, can tell.
    if found.base_training_uid and model.training_uid and found.base != model.folder:
        told = f"adapter {wanted.name} was trained beside {found.base}, and {model.folder} is served"
        return Unresolved(reasons.BASE_MISMATCH, told, final=True)
    return found.model_copy(update={"name": wanted.name})


def _not_served(engine: str, name: str, kind: AdapterKind) -> str | None:
    """What to write where this engine has nothing for such an adapter, with those that have."""
    if kind in ENGINES[engine].adapters:
        return None
    others = " or ".join(entry.type for entry in offered() if kind in entry.adapters)
    what, instead = {
        AdapterKind.LORA: ("is a LoRA", "train with method.lora.export Merged"),
        AdapterKind.PROMPT: ("is of method PromptTuning or PTuning", "train with method LoRA"),
        AdapterKind.EXPERTS: (
            "stands beside fused experts",
            "train with method.lora.export Merged, or without target Experts",
        ),
        AdapterKind.LATENT: (
            "stands beside kv_b_proj of multi-head latent attention",
            f"train with method.lora.export Merged, or with targets {', '.join(WITHOUT_FOLDED)}",
        ),
    }[kind]
    return (
        f"adapter {name} {what}, which {ENGINES[engine].title} does not serve: write engine.type {others}, or {instead}"
    )


def _adapter(seen: Seen[DeepSeekServing], wanted: ServedAdapter) -> ResolvedAdapter | Unresolved:
    reference = adapter_digest(wanted)
    recorded = adapters_of(seen.owner.status.resolved)
    is_fetched = wanted.source is not None and wanted.source.is_fetched
    models = stored(seen) if is_fetched or not recorded else iter(())
    remembered = (adapter for model in models for adapter in adapters_of(model))
    for adapter in (*recorded, *remembered):
        if adapter.reference == reference:
            return _followed(wanted.from_training, adapter, lambda of: _adapter_of(of, reference, seen))
    if wanted.from_training is not None:
        return _adapter_of(wanted.from_training, reference, seen)
    if wanted.source is None:
        return Unresolved(reasons.NOT_EXPORTED, f"write source or fromTraining of adapter {wanted.name}", final=True)
    source, rank = wanted.source, wanted.rank or USUAL_RANK
    kind = AdapterKind.LORA.value
    if not source.is_fetched:
        return ResolvedAdapter(reference=reference, claim_name=source.claim, sub_path=source.path, kind=kind, rank=rank)
    brought = _brought(seen, source, ADAPTER)
    if isinstance(brought, Unresolved):
        return brought
    place = {"claim_name": source.claim, "sub_path": brought.sub_path, "digest": brought.digest}
    return ResolvedAdapter(reference=reference, kind=kind, rank=rank, **place)


def _adapter_of(wanted: FromTraining, reference: str, seen: Seen[DeepSeekServing]) -> ResolvedAdapter | Unresolved:
    match adapter_of(wanted.name, wanted.checkpoint, seen.references.get(Ref(TRAINING, wanted.name))):
        case Missing(reason, message, final):
            return Unresolved(reasons.BY_NAME[reason], message, final)
        case found:
            return ResolvedAdapter(
                reference=reference,
                claim_name=found.result.claim_name,
                sub_path=found.result.export_path,
                training=wanted.name,
                step=found.result.step,
                kind=_kind(found, seen.owner.spec.model).value,
                rank=0 if found.is_prompt else found.rank,
                base=found.base,
                base_training_uid=found.base_uid,
            )


def is_shared(claim: Manifest) -> bool:
    """Whether pods of several nodes may mount it."""
    modes = (claim.get("spec") or {}).get("accessModes") or ()
    return not _SHARED.isdisjoint(modes)


def claims_of(model: ResolvedModel) -> tuple[str, ...]:
    """Names of the claims that a revision mounts, the model's first."""
    return tuple(dict.fromkeys((model.claim_name, *(adapter.claim_name for adapter in adapters_of(model)))))


def _kind(found: Adapter, model: ServingModel) -> AdapterKind:
    if found.is_prompt:
        return AdapterKind.PROMPT
    if found.has_experts:
        return AdapterKind.EXPERTS
    shapes = (known(name, custom).architecture for name, custom in (found.named, (model.name, model.custom)))
    has_latents = any(shape is not None and isinstance(shape.attention, LatentAttention) for shape in shapes)
    return AdapterKind.LATENT if found.has_latents and has_latents else AdapterKind.LORA
