"""Which Jobs that fetch sources there are to be: made once the try is recorded and the claim is there, gone once what they
brought is recorded."""

from collections.abc import Iterator

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.actions import Create
from deepseek_operator.core.resources import CLAIM, JOB, Ref
from deepseek_operator.kinds.serving.sources import owner_of, wanted_sources
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.batch.fetch import due, fetch_job


def fetch_names(owner: DeepSeekServing) -> tuple[Ref, ...]:
    """The Jobs of sources that are recorded and not there yet."""
    return due(owner_of(owner), wanted_sources(owner), owner.status.sources)


def errands(view: View) -> Iterator[Create]:
    """The Jobs of tries that are recorded and have none yet."""
    recorded = {one.reference for one in view.status.sources}
    for one in view.fetches:
        is_due = one.wanted.reference in recorded and one.is_missing and not one.is_held
        is_there = Ref(CLAIM, one.wanted.source.claim) in view.seen.references
        if is_due and is_there and Ref(JOB, one.job) not in view.seen.children:
            yield Create(fetch_job(one, view.spec.pod, view.owner.metadata.labels, view.configuration))
