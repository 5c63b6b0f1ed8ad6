"""The children of a training by name, and as manifests for a person to look at before anything is applied."""

from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.status import VolumeStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, JOB, POLICY, SERVICE, Manifest, Ref
from deepseek_operator.domain.values.command import Refusal
from deepseek_operator.kinds.training.claim import new_claim
from deepseek_operator.kinds.training.command import started
from deepseek_operator.kinds.training.devices import accepted, as_planned, planned
from deepseek_operator.kinds.training.job import job
from deepseek_operator.kinds.training.names import training_claim, training_job, training_service
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.origin import as_resolved, recorded
from deepseek_operator.kinds.training.pod import Attempt
from deepseek_operator.kinds.training.policy import is_gang, policy
from deepseek_operator.kinds.training.service import service
from deepseek_operator.kinds.training.settings import attempt_digest, fixed_digest
from deepseek_operator.kinds.training.sources import UNKNOWN, as_fetched, fetch_names


def names(owner: DeepSeekTraining) -> tuple[Ref, ...]:
    """Names that the children take now: the Service, a gang's NetworkPolicy, the Jobs of this attempt and of the last,
    the claim that is made."""
    meta, status = owner.metadata, owner.status
    refs = [Ref(SERVICE, training_service(meta.name))]
    if is_gang(owner):
        refs.append(Ref(POLICY, training_service(meta.name)))
    if status.attempt is not None:
        jobs = dict.fromkeys([status.attempt.job, *(last.job for last in status.history[-1:] if last.job)])
        refs.extend(Ref(JOB, job) for job in jobs)
    made = (
        status.volume.made if status.volume is not None else existing_claim(as_resolved(owner, recorded(owner))) is None
    )
    refs.extend(fetch_names(owner))
    if made:
        refs.append(Ref(CLAIM, training_claim(meta.name, meta.uid)))
    return tuple(refs)


def recorded_names(owner: DeepSeekTraining) -> tuple[Ref, ...]:
    """The Jobs of the attempts that are told of, one of which is kept for its logs, and what a gang has that may be none
    any more."""
    jobs = [Ref(JOB, ended.job) for ended in owner.status.history if ended.job]
    return tuple(dict.fromkeys((*names(owner), Ref(POLICY, training_service(owner.metadata.name)), *jobs)))


def recorded_uids(owner: DeepSeekTraining) -> frozenset[str]:
    """uids of the Jobs of this attempt and of those before it, and of the claim if the operator made it."""
    attempt, volume = owner.status.attempt, owner.status.volume
    jobs = {ancestor.job_uid for ancestor in owner.status.ancestry} | ({attempt.job_uid} if attempt else set())
    claims = {volume.uid} if volume is not None and volume.made else set()
    return frozenset(jobs | claims) - {""}


def first_children(owner: DeepSeekTraining, configuration: Configuration) -> tuple[Manifest, ...]:
    """What the first attempt is made of, in the order of making; the claim's uid is shown as `recorded at run time`, and so
    is the revision of a source that is fetched."""
    owner = as_resolved(as_fetched(owner, UNKNOWN), recorded(owner))
    plan = planned(owner, configuration)
    owner = owner.model_copy(update={"status": owner.status.model_copy(update={"plan": plan})})
    agreed = accepted(owner)
    owner = as_planned(owner, agreed)
    meta = owner.metadata
    named = existing_claim(owner)
    claim = named or training_claim(meta.name, meta.uid)
    volume = VolumeStatus(claim_name=claim, uid="recorded at run time", made=named is None, used=False)
    attempt = AttemptStatus(number=1, job=training_job(meta.name, meta.uid, 1), digest=attempt_digest(owner.spec))
    status = owner.status.model_copy(
        update={"volume": volume, "attempt": attempt, "fixed_digest": fixed_digest(owner.spec)}
    )
    made = (new_claim(owner),) if named is None else ()
    closed = (policy(owner),) if is_gang(owner) else ()
    foreign = started(owner.spec, agreed, configuration)
    if isinstance(foreign, Refusal):
        raise ValueError(str(foreign))
    return (
        *made,
        service(owner, 1, volume.uid),
        *closed,
        job(Attempt(owner, status, 1, claim, foreign), configuration),
    )
