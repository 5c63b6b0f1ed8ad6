"""What a training looks at besides its children: the claims that it names, and rank 0's progress when that is due."""

from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.progress import ProgressStatus
from deepseek_operator.api.v1alpha1.training.status import OriginStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, POD, Ref
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.training.origin import as_resolved, found, named_training, recorded
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.kinds.training.sources import as_fetched, fetches
from deepseek_operator.workloads.batch.gang import gang_of, rank_zero
from deepseek_operator.workloads.batch.job import size_of
from deepseek_operator.workloads.batch.waiting import doubtful
from deepseek_operator.workloads.pod.state import is_running


def needs(seen: Seen[DeepSeekTraining], configuration: Configuration) -> Needs:
    """Claims by reference; `/progress` at most once per configured interval, and only of a running rank 0."""
    # The claim of another training is known as soon as that training is.
    known = recorded(seen.owner)
    resolved = found(seen, known)
    origin = resolved if isinstance(resolved, OriginStatus) else known
    owner = as_resolved(as_fetched(seen.owner), origin)
    volume = owner.status.volume
    # The recorded claim too: an edit that names another must not make it look as if the checkpoints were gone.
    checkpoints = (existing_claim(owner), volume.claim_name if volume is not None and not volume.made else None)
    claims = {name for name, _ in claims_read(owner)} | {name for name in checkpoints if name}
    training = named_training(seen.owner.spec) if known is None else None
    errands = fetches(seen)
    late = (ref for one in errands for ref in one.doubts)
    fetched = next((ref for one in errands if (ref := one.asked) is not None), None)
    references = (*(Ref(CLAIM, name) for name in sorted(claims)), *((Ref(TRAINING, training),) if training else ()))
    return Needs(
        references=references,
        progress=fetched or _progress(seen, configuration),
        warnings=(*_warnings(seen), *late),
        mentions=any(one.makes_room for one in errands),
    )


def _warnings(seen: Seen[DeepSeekTraining]) -> tuple[Ref, ...]:
    attempt = seen.owner.status.attempt
    if attempt is None or attempt.verdict is not None:
        return ()
    gang = gang_of(seen, attempt, TRAINER.container)
    return doubtful(gang, size_of(gang.job), seen.now) if gang.job is not None else ()


def existing_claim(owner: DeepSeekTraining) -> str | None:
    """The claim that the user brought for the checkpoints; None when the operator makes one."""
    return owner.spec.checkpoints.volume.claim_name


def claims_read(owner: DeepSeekTraining) -> tuple[tuple[str, str], ...]:
    """Claims that weights, the checkpoint to begin with and datasets lie on, each with the field that names it, in the spec's order."""
    source = owner.spec.model.source
    named = [(source.claim, "model.source.uri")] if source is not None else []
    begun = owner.spec.init_from
    if begun is not None and begun.source is not None:
        named.append((begun.source.claim, "initFrom.source.uri"))
    for index, dataset in enumerate(owner.spec.datasets):
        if claim := dataset.source.claim:
            named.append((claim, f"datasets[{index}].source.uri"))
    return tuple(named)


def progress_interval(seen: Seen[DeepSeekTraining], configuration: Configuration) -> timedelta:
    """How old progress may be: a third of the time that the attempt has run, 5 s at least and as configured at most.

    A short run shows its steps, and a long one costs no more than a write in each interval. While the trainer says that
    it has made no step it is asked every 5 s, which writes nothing: the first step is shown soon after a long start too.
    """
    attempt = seen.owner.status.attempt
    least, most = (
        timedelta(seconds=limit) for limit in (configuration.first_progress_s, configuration.progress_interval_s)
    )
    running_at = parse_time(attempt.running_at) if attempt is not None else None
    if _says_no_step(seen.owner.status.progress, running_at):
        return least
    return min(most, max(least, (seen.now - running_at) / 3)) if running_at is not None else least


def _says_no_step(progress: ProgressStatus | None, running_at: datetime | None) -> bool:
    """True when the attempt that runs since then was asked and had made no step."""
    asked = parse_time(progress.observed_at) if progress is not None else None
    since = asked is not None and running_at is not None and asked >= running_at
    return since and progress is not None and progress.step is None


def _progress(seen: Seen[DeepSeekTraining], configuration: Configuration) -> Ref | None:
    status = seen.owner.status
    if status.attempt is None or status.attempt.verdict is not None:
        return None
    before = parse_time(status.progress.observed_at or None) if status.progress is not None else None
    if before is not None and seen.now - before < progress_interval(seen, configuration):
        return None
    pod = rank_zero(gang_of(seen, status.attempt, TRAINER.container).pods)
    return Ref(POD, pod["metadata"]["name"]) if pod is not None and is_running(pod, TRAINER.container) else None
