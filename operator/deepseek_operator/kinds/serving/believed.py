"""What is believed of a serving's status. Whoever may write it may write anything there; what no release of this operator
can have written counts as not there, and is resolved or seen anew."""

import re

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.common.source import is_place
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.adapters import ServedAdapter
from deepseek_operator.api.v1alpha1.serving.model import ServingModel
from deepseek_operator.api.v1alpha1.serving.status import (
    BenchStatus,
    CanaryStatus,
    ResolvedAdapter,
    ResolvedModel,
    RevisionStatus,
    WatchdogStatus,
)
from deepseek_operator.domain.programs.engines.request import AdapterKind
from deepseek_operator.kinds.serving.benched import MOST_STREAMS
from deepseek_operator.kinds.serving.sleep import state_of
from deepseek_operator.kinds.serving.sources import adapter_digest, reference_digest
from deepseek_operator.workloads.batch.fetch import is_kept

_KINDS = frozenset(kind.value for kind in AdapterKind)
_WIDEST = 512
_SHARE = re.compile(r"0(\.[0-9]{1,6})?|1")
_QUANTILE = re.compile(r"0\.[0-9]{1,6}")
_REVISION = re.compile(r"[a-z0-9]{1,16}")
"""Of one that was found without a record too: what stands at the end of its Deployment's name."""


def believed(owner: DeepSeekServing) -> DeepSeekServing:
    """The serving with what can be true of its status."""
    status = owner.status
    sound = {
        "resolved": _resolved(owner),
        "current": status.current if status.current is not None and _is_revision(status.current) else None,
        "previous": [revision for revision in status.previous if _is_revision(revision)],
        "canary": _run(status.canary) if status.canary is not None and _is_run(status.canary) else None,
        "sleep": status.sleep if status.sleep is not None and state_of(status.sleep) is not None else None,
        "watchdog": status.watchdog if status.watchdog is not None and _is_count(status.watchdog) else None,
        "bench": status.bench if status.bench is not None and _is_bench(status.bench) else None,
        "revisions": [revision for revision in status.revisions if _is_revision(revision)],
    }
    if all(getattr(status, name) == value for name, value in sound.items()):
        return owner
    return owner.model_copy(update={"status": status.model_copy(update=sound)})


def _resolved(owner: DeepSeekServing) -> ResolvedModel | None:
    model, spec = owner.status.resolved, owner.spec
    if model is None or not is_place(model.claim_name, model.sub_path):
        return None
    if model.reference == reference_digest(spec.model) and not _is_of(spec.model, model):
        return None
    wanted = {adapter_digest(one): one for one in spec.adapters}
    adapters = [one for one in model.adapters or () if _is_adapter(one, wanted.get(one.reference))]
    return model if adapters == (model.adapters or []) else model.model_copy(update={"adapters": adapters or None})


def _is_adapter(adapter: ResolvedAdapter, wanted: ServedAdapter | None) -> bool:
    is_one = is_place(adapter.claim_name, adapter.sub_path) and adapter.kind in _KINDS and 0 <= adapter.rank <= _WIDEST
    return is_one and (wanted is None or _is_of(wanted, adapter))


def _is_of(wanted: ServingModel | ServedAdapter, found: ResolvedModel | ResolvedAdapter) -> bool:
    """What a reference of that digest can have been resolved to: the digest alone is soon copied."""
    if wanted.from_training is not None:
        return found.training == wanted.from_training.name
    source = wanted.source
    if source is not None and source.is_fetched:
        is_kept_there = found.claim_name == source.claim and is_kept(source, found.sub_path)
        return is_kept_there and found.training is None and found.step is None
    place = (source.claim, source.path) if source is not None else None
    return (found.claim_name, found.sub_path) == place and found.training is None and found.step is None


def _is_count(watchdog: WatchdogStatus) -> bool:
    """Each that is told of was counted, at its moment."""
    return all(parse_time(one.at) is not None for one in watchdog.last) and watchdog.restarts >= len(watchdog.last)


def _is_revision(revision: RevisionStatus) -> bool:
    return _REVISION.fullmatch(revision.name) is not None


def _is_bench(bench: BenchStatus) -> bool:
    """One of a time that can be, so that a later one is told."""
    return (
        parse_time(bench.at) is not None
        and 1 <= bench.concurrency <= MOST_STREAMS
        and _QUANTILE.fullmatch(bench.quantile) is not None
    )


def _run(canary: CanaryStatus) -> CanaryStatus:
    """Without exams whose mark is none: they are sat again."""
    exams = [exam for exam in canary.exams if exam.accuracy is None or _SHARE.fullmatch(exam.accuracy)]
    return canary if exams == canary.exams else canary.model_copy(update={"exams": exams})


def _is_run(canary: CanaryStatus) -> bool:
    return all(_REVISION.fullmatch(name) is not None for name in (canary.stable, canary.target))
