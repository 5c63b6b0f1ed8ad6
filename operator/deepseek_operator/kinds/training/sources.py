"""What a training reads that is to be fetched to a claim first: each is brought there before the first attempt, and recorded.

What follows, digests included, sees a spec in which the folders on claims are written.
"""

from collections.abc import Sequence
from typing import TypeVar

from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.common.source import KeptSource
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.resources import Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.programs.engines.probes import LONGEST_SECONDS, load_rate, reading_seconds
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.workloads.batch.fetch import COMPLETE, Fetching, Wanted, due, fetching, recorded_as

Source = TypeVar("Source", bound=KeptSource)

MODEL, DATA = "Model", "Data"
UNKNOWN = "recorded-at-run-time"
"""In place of a revision that nobody has resolved yet."""


def wanted_sources(owner: DeepSeekTraining) -> tuple[Wanted, ...]:
    """What the spec would have fetched, each once: two datasets may be parts of one source, or name the same."""
    model, datasets = owner.spec.model.source, owner.spec.datasets
    named = [*([Wanted(model, MODEL)] if model is not None else []), *(Wanted(one.source, DATA) for one in datasets)]
    return tuple({one.reference: one for one in named if one.source.is_fetched}.values())


def fetches(seen: Seen[DeepSeekTraining]) -> tuple[Fetching, ...]:
    """The sources as they are recorded, or begun now."""
    return fetching(seen, owner_of(seen.owner), wanted_sources(seen.owner), seen.owner.status.sources)


def fetch_names(owner: DeepSeekTraining) -> tuple[Ref, ...]:
    """The Jobs of sources that are recorded and not there yet."""
    return due(owner_of(owner), wanted_sources(owner), owner.status.sources)


def as_fetched(owner: DeepSeekTraining, revision: str | None = None) -> DeepSeekTraining:
    """The training with the folders on claims in place of what was fetched to them; what was not stays as it is written, or
    has that `revision`, for a person to look at."""
    spec, model = owner.spec, owner.spec.model
    if not any(one is not None and one.is_fetched for one in (model.source, *(data.source for data in spec.datasets))):
        return owner
    if model.source is not None:
        model = model.model_copy(update={"source": _placed(owner, model.source, MODEL, revision)})
    datasets = [one.model_copy(update={"source": _placed(owner, one.source, DATA, revision)}) for one in spec.datasets]
    return owner.model_copy(update={"spec": spec.model_copy(update={"model": model, "datasets": datasets})})


def reading_s(source: KeptSource | None, recorded: Sequence[FetchStatus]) -> int:
    """Seconds that a trainer may read its model's weights: twice as long as they take at the rate that was measured of the claim
    when they were fetched to it, a day at most; 0 of a model that was not fetched.

    `source`: as it lies on its claim.
    """
    if source is None:
        return 0
    for one in recorded:
        if one.phase == COMPLETE and (one.claim_name, one.sub_path) == (source.claim, source.path):
            return min(reading_seconds(one.size_bytes, load_rate(one.read_bytes_per_second)), LONGEST_SECONDS)
    return 0


def _placed(owner: DeepSeekTraining, source: Source, want: str, revision: str | None) -> Source:
    if not source.is_fetched:
        return source
    known = recorded_as(Wanted(source, want), owner.status.sources)
    if known is not None and known.phase == COMPLETE:
        return source.on_claim(known.sub_path)
    return source.on_claim(f"{source.place}/{revision}") if revision is not None else source
