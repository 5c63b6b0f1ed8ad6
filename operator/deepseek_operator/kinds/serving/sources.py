"""What a serving refers to, each by a digest of its own, and what of it is fetched to a claim first.

A revision remembers what its references were resolved to: what one that is kept has is not fetched again.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.adapters import USUAL_RANK, ServedAdapter
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.model import ServingModel
from deepseek_operator.api.v1alpha1.serving.status import ResolvedAdapter, ResolvedModel
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import REVISION, Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.workloads.batch.fetch import Fetching, Wanted, fetching
from deepseek_operator.workloads.owner import Owner
from deepseek_operator.workloads.replicas.group import group_named

MODEL, ADAPTER = "Model", "Adapter"


def reference_digest(model: ServingModel) -> str:
    """Digest of what the user refers to; the name that clients send is no part of it."""
    match model.from_training:
        case None:
            if model.source is not None and model.source.is_fetched:
                return Wanted(model.source, MODEL).reference
            return _digest(source=model.source.uri if model.source else "")
        case reference:
            return _digest(training=reference.name, checkpoint=reference.checkpoint)


def adapter_digest(adapter: ServedAdapter) -> str:
    """Digest of what the user refers to; the name that clients send is no part of it."""
    match adapter.from_training:
        case None:
            source = adapter.source
            named = "" if source is None else Wanted(source, ADAPTER).reference if source.is_fetched else source.uri
            return _digest(source=named, rank=adapter.rank or USUAL_RANK)
        case reference:
            return _digest(training=reference.name, checkpoint=reference.checkpoint)


@lru_cache(maxsize=1024)
def _digest(**named: str | int) -> str:
    """Every pass asks for the same a dozen times."""
    return digest(named)


def owner_of(serving: DeepSeekServing) -> Owner:
    """The serving as its children tell it."""
    meta = serving.metadata
    return Owner(SERVING, meta.name, meta.namespace, meta.uid)


def wanted_sources(owner: DeepSeekServing) -> tuple[Wanted, ...]:
    """What the spec would have fetched, each once: two names may stand for one adapter."""
    return tuple({wanted.reference: wanted for wanted, _ in _referred(owner)}.values())


def fetches(seen: Seen[DeepSeekServing]) -> tuple[Fetching, ...]:
    """The sources that are fetched, or were: those that are recorded, and those that nothing was resolved to yet."""
    owner, named = seen.owner, tuple(_referred(seen.owner))
    if not named:
        return ()
    known = {one.reference for one in owner.status.sources}
    pinned = set(_pinned(owner.status.resolved)).union(*map(_pinned, stored(seen)))
    referred = (one for one, reference in named if one.reference in known or (one.want, reference) not in pinned)
    wanted = {one.reference: one for one in referred}
    return fetching(seen, owner_of(owner), tuple(wanted.values()), owner.status.sources)


def _referred(owner: DeepSeekServing) -> Iterator[tuple[Wanted, str]]:
    """Each with the digest of the reference that it is resolved for."""
    source = owner.spec.model.source
    if source is not None and source.is_fetched:
        yield Wanted(source, MODEL), reference_digest(owner.spec.model)
    for adapter in owner.spec.adapters:
        if adapter.source is not None and adapter.source.is_fetched:
            yield Wanted(adapter.source, ADAPTER), adapter_digest(adapter)


def _pinned(model: ResolvedModel | None) -> Iterator[tuple[str, str]]:
    if model is not None:
        yield MODEL, model.reference
        yield from ((ADAPTER, adapter.reference) for adapter in adapters_of(model))


def stored(seen: Seen[DeepSeekServing]) -> Iterator[ResolvedModel]:
    """What the stored revisions resolved to: the newest first, and those that run before those that do not."""
    for revision in sorted(seen.all(REVISION), key=lambda revision: _precedence(seen, revision), reverse=True):
        resolved = (revision.get("data") or {}).get("resolved")
        if isinstance(resolved, Mapping):
            yield ResolvedModel.model_validate(resolved)


def _precedence(seen: Seen[DeepSeekServing], revision: Manifest) -> tuple[bool, int]:
    group = group_named(seen, revision["metadata"]["name"])
    return group is not None and group.specified > 0, int(revision.get("revision") or 0)


def adapters_of(model: ResolvedModel | None) -> tuple[ResolvedAdapter, ...]:
    """Those beside a model; none where there is none."""
    return tuple(model.adapters or ()) if model is not None else ()
