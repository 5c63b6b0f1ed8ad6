"""One pass over one training: what was seen, with the attempt's gang picked out. Every phase of the life reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import OriginStatus, TrainingPlanStatus, TrainingStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, JOB, POD, POLICY, SERVICE, Manifest, Ref, Resource, uid_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.values.command import Refusal
from deepseek_operator.kinds.training.anew import is_changed, is_unlearnt
from deepseek_operator.kinds.training.command import Started, started
from deepseek_operator.kinds.training.conflict import Conflict, conflicts
from deepseek_operator.kinds.training.devices import accepted, as_planned
from deepseek_operator.kinds.training.names import training_claim, training_service
from deepseek_operator.kinds.training.needs import existing_claim
from deepseek_operator.kinds.training.origin import as_resolved, recorded
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.report import Report, reports
from deepseek_operator.kinds.training.reshaping import misfit
from deepseek_operator.kinds.training.settings import Digests, digests
from deepseek_operator.kinds.training.sources import as_fetched, fetches
from deepseek_operator.kinds.training.validation import Complaint, complaint
from deepseek_operator.kinds.training.volume import loss, recorded_uid
from deepseek_operator.workloads.batch.claim import capacity, is_shared
from deepseek_operator.workloads.batch.fetch import Fetching, is_of_errand
from deepseek_operator.workloads.batch.gang import Gang, gang_of
from deepseek_operator.workloads.batch.job import number_of, size_of
from deepseek_operator.workloads.batch.waiting import next_doubt, obstacle
from deepseek_operator.workloads.obstacles import Obstacle
from deepseek_operator.workloads.owner import Owner
from deepseek_operator.workloads.pod.state import is_active, is_lost


@dataclass(frozen=True)
class View:
    """The training as seen now. Pure: everything below is read off `looked`, and what the user wrote is in it."""

    looked: Seen[DeepSeekTraining]
    configuration: Configuration

    @cached_property
    def origin(self) -> OriginStatus | None:
        """Where the training starts from, as it is recorded; None where it starts from none, or nothing is recorded."""
        return recorded(self.written)

    @cached_property
    def accepted(self) -> TrainingPlanStatus | None:
        """The recorded plan of its devices; None without a profile, and while there is none that was accepted."""
        return accepted(self.written)

    @cached_property
    def seen(self) -> Seen[DeepSeekTraining]:
        """The same look with what the spec leaves open filled in from the recorded sources, origin and plan; without the Jobs
        that fetch sources, and their pods, which are of no attempt."""
        owner = owner_of(self.written)
        others = {ref: child for ref, child in self.looked.children.items() if not _is_errands(owner, ref, child)}
        filled = as_planned(as_resolved(as_fetched(self.written), self.origin), self.accepted)
        return replace(self.looked, owner=filled, children=others)

    @cached_property
    def fetches(self) -> tuple[Fetching, ...]:
        """The sources that are fetched to a claim, or were."""
        return fetches(self.looked)

    @cached_property
    def errands(self) -> tuple[Manifest, ...]:
        """The Jobs that fetch sources, or did."""
        owner = owner_of(self.written)
        return tuple(job for job in self.looked.all(JOB) if is_of_errand(owner, job))

    @property
    def written(self) -> DeepSeekTraining:
        """The training as its user wrote it."""
        return self.looked.owner

    @property
    def owner(self) -> DeepSeekTraining:
        return self.seen.owner

    @property
    def spec(self) -> TrainingSpec:
        return self.seen.owner.spec

    @property
    def status(self) -> TrainingStatus:
        return self.seen.owner.status

    @property
    def now(self) -> datetime:
        return self.seen.now

    @property
    def attempt(self) -> AttemptStatus | None:
        """The recorded attempt; None before the first."""
        return self.status.attempt

    @property
    def running_attempt(self) -> AttemptStatus | None:
        """The attempt whose Job was seen and which has no verdict yet; None when nothing is under way."""
        attempt = self.attempt
        return attempt if attempt is not None and attempt.job_uid and attempt.verdict is None else None

    @cached_property
    def gang(self) -> Gang:
        """The recorded attempt's Job and pods; empty before the first."""
        if self.attempt is None:
            return Gang(None, (), TRAINER.container)
        return gang_of(self.seen, self.attempt, TRAINER.container)

    @cached_property
    def claim_name(self) -> str:
        """The claim for the checkpoints: the recorded one once there is one, the user's, or the one to be made."""
        if self.status.volume is not None and self.attempt is not None:
            return self.status.volume.claim_name
        return existing_claim(self.owner) or training_claim(self.owner.metadata.name, self.owner.metadata.uid)

    @cached_property
    def claim(self) -> Manifest | None:
        """The living claim of that name, whoever made it."""
        ref = Ref(CLAIM, self.claim_name)
        return self.seen.children.get(ref) or self.seen.references.get(ref)

    @property
    def room(self) -> str:
        """What decides whether a full claim has room again, in words that change with it: its capacity, and what is kept."""
        policy = self.spec.checkpoints
        return f"{capacity(self.claim)} for {policy.keep_last + policy.keep_best} checkpoints"

    @property
    def service(self) -> Manifest | None:
        """The living Service of the training; None when there is none of ours."""
        return self.seen.child(SERVICE, training_service(self.owner.metadata.name))

    @property
    def network_policy(self) -> Manifest | None:
        """The gang's NetworkPolicy; None when there is none."""
        return self.seen.child(POLICY, training_service(self.owner.metadata.name))

    @cached_property
    def workers(self) -> int:
        """Pods of the attempt that run."""
        return self.gang.running

    @cached_property
    def all_run(self) -> bool:
        """True when the whole gang runs; a worker that has succeeded before the others is not missed."""
        return self.gang.all_run(self.size)

    @cached_property
    def size(self) -> int:
        """Pods that the attempt under way has; without one, that the next will have."""
        job = self.gang.job if self.running_attempt is not None else None
        return size_of(job) if job is not None else self.spec.nodes.number

    @cached_property
    def digests(self) -> Digests:
        """Of the spec as it is: what a running attempt embodies, and what cannot change any more."""
        return digests(self.spec)

    @cached_property
    def is_unlearnt(self) -> bool:
        """True while certainly nothing was learnt."""
        return is_unlearnt(self.status)

    @cached_property
    def is_changed(self) -> bool:
        """True when an edit would begin anew, were nothing learnt."""
        return is_changed(self.status, self.digests)

    @cached_property
    def complaint(self) -> Complaint | None:
        """What keeps the next attempt from starting; None when nothing does."""
        return complaint(self.seen, self.digests.fixed, self.is_unlearnt) or self._unstartable or self._misfit

    @property
    def _unstartable(self) -> Complaint | None:
        """Why the operator can't write the trainer's command."""
        found = self._started
        return Complaint(Reason.UNSUPPORTED, str(found)) if isinstance(found, Refusal) else None

    @property
    def _misfit(self) -> Complaint | None:
        """Why a gang of this size can't go on from what another one has saved."""
        found = misfit(self.status, self.spec, self.foreign)
        return Complaint(Reason.UNSUPPORTED, found) if found is not None else None

    @property
    def foreign(self) -> Started | None:
        """What a trainer of another's making runs; None for ours, and for a program of the user's."""
        found = self._started
        if isinstance(found, Refusal):
            raise ValueError(f"an attempt is launched only once nothing speaks against it: {found}")
        return found

    @cached_property
    def _started(self) -> Started | Refusal | None:
        return started(self.spec, self.accepted, self.configuration)

    @cached_property
    def conflicts(self) -> Mapping[Resource, Conflict]:
        """Names of children that somebody else has."""
        return conflicts(self.seen)

    @cached_property
    def loss(self) -> str | None:
        """A sentence when the claim that was written to is not there any more."""
        return loss(self.claim_name, recorded_uid(self.status, self.claim_name, self.service), self.claim)

    @cached_property
    def reports(self) -> tuple[Report, ...]:
        """What the ended pods of the gang left, rank 0 first."""
        return reports(self.gang.pods)

    @cached_property
    def next_doubt(self) -> timedelta | None:
        """How long until a Job that lacks pods is asked why; None when it is asked already, or lacks none."""
        return next_doubt(self.gang, self.size, self.now)

    @property
    def was_asked_why(self) -> bool:
        """True when the Job's events were read in this look, or in one before."""
        return self.gang.job is not None and Ref(JOB, self.gang.job["metadata"]["name"]) in self.seen.warnings

    @cached_property
    def obstacle(self) -> Obstacle | None:
        """What keeps the gang from running; None when its pods are merely on their way."""
        return obstacle(self.gang, self.size, self.seen.warnings, self.now)

    def lives(self, pod: Manifest) -> bool:
        """True while the pod may still write: it is active and cannot be given up as lost with its node."""
        return is_active(pod) and not self.is_given_up(pod)

    def is_given_up(self, pod: Manifest) -> bool:
        """True when the pod's node is lost and the volume is shared: a zombie's files are ignored (see ancestry)."""
        return is_shared(self.claim) and is_lost(pod, self.now, self.spec.failure_policy.node_lost_seconds)

    @cached_property
    def jobs(self) -> tuple[Manifest, ...]:
        """All Jobs of the training, oldest attempt first."""
        return tuple(sorted(self.seen.all(JOB), key=number_of))

    @cached_property
    def pods(self) -> tuple[Manifest, ...]:
        """All pods of the training, of whichever attempt."""
        return self.seen.all(POD)

    @cached_property
    def strangers(self) -> tuple[Manifest, ...]:
        """Pods that may still write and are not of the attempt under way: of earlier ones, or let go by their Job."""
        ours = {uid_of(pod) for pod in self.gang.pods} if self.attempt and self.attempt.verdict is None else set()
        return tuple(pod for pod in self.pods if uid_of(pod) not in ours and self.lives(pod))


def _is_errands(owner: Owner, ref: Ref, child: Manifest) -> bool:
    return ref.resource in (JOB, POD) and is_of_errand(owner, child)
