"""What a training reads that is to be fetched to a claim first: each is brought there before the first attempt, and recorded.

What follows, digests included, sees a spec in which the folders on claims are written.
"""

from collections.abc import Sequence

from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.common.source import CLAIM_SCHEME, ModelSource
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.resources import Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.workloads.batch.fetch import COMPLETE, Fetching, Wanted, due, fetching, recorded_as

MODEL = "Model"
UNKNOWN = "recorded-at-run-time"
"""In place of a revision that nobody has resolved yet."""


def wanted_sources(owner: DeepSeekTraining) -> tuple[Wanted, ...]:
    """What the spec would have fetched."""
    source = owner.spec.model.source
    return (Wanted(source, MODEL),) if source is not None and source.is_fetched else ()


def fetches(seen: Seen[DeepSeekTraining]) -> tuple[Fetching, ...]:
    """The sources as they are recorded, or begun now."""
    owner = owner_of(seen.owner)
    return tuple(fetching(seen, owner, wanted, seen.owner.status.sources) for wanted in wanted_sources(seen.owner))


def fetch_names(owner: DeepSeekTraining) -> tuple[Ref, ...]:
    """The Jobs of sources that are recorded and not there yet."""
    return due(owner_of(owner), wanted_sources(owner), owner.status.sources)


def as_fetched(owner: DeepSeekTraining, revision: str | None = None) -> DeepSeekTraining:
    """The training with the folders on claims in place of what was fetched to them; what was not stays as it is written, or
    has that `revision`, for a person to look at."""
    source = owner.spec.model.source
    if source is None or not source.is_fetched:
        return owner
    place = _place(Wanted(source, MODEL), owner.status.sources)
    if place is None and revision is not None:
        place = ModelSource(uri=f"{CLAIM_SCHEME}{source.claim}/{source.place}/{revision}")
    if place is None:
        return owner
    model = owner.spec.model.model_copy(update={"source": place})
    return owner.model_copy(update={"spec": owner.spec.model_copy(update={"model": model})})


def _place(wanted: Wanted, recorded: Sequence[FetchStatus]) -> ModelSource | None:
    known = recorded_as(wanted, recorded)
    if known is None or known.phase != COMPLETE:
        return None
    return ModelSource(uri=f"{CLAIM_SCHEME}{known.claim_name}/{known.sub_path}")
