"""What is true of a serving."""

from functools import cache

from pydantic import Field

from deepseek_operator.api.base import ObservedStatus, StatusModel, Summary
from deepseek_operator.api.record import RECORD
from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.serving.analysis import AnalysisStatus, ExamStatus
from deepseek_operator.api.v1alpha1.serving.scaling import MOST_SCHEDULES, MOST_SIGNALS, SignalStatus


class ResolvedAdapter(StatusModel):
    """The folder of an adapter that a revision mounts, recorded before it is used."""

    name: str = Field(default="", description="Model name by which clients ask for it.")
    reference: str = Field(
        default="", description="Digest of the reference that was resolved; another one is resolved anew."
    )
    claim_name: str = Field(default="", description="PersistentVolumeClaim of the adapter's folder.")
    sub_path: str = Field(default="", description="Folder inside the volume; empty: its root.")
    training: str | None = Field(default=None, description="DeepSeekTraining that it came from.")
    step: int | None = Field(default=None, description="Step that was exported.")
    kind: str = Field(
        default="",
        description="LoRA, Experts for one that also stands beside fused experts, Latent for one beside kv_b_proj of latent attention, or Prompt for what is read before every sequence.",
    )
    rank: int = Field(default=0, description="Rank of a LoRA, for which engines keep room.")
    digest: str | None = Field(
        default=None, description="Of the content of a source that was fetched; absent for other folders."
    )
    base: str | None = Field(
        default=None,
        description="The folder of the model that it was trained beside, where its training tells. Example: pvc://models/v2.",
    )
    base_training_uid: str | None = Field(
        default=None,
        alias="baseTrainingUID",
        description="uid of the training that exported that model.",
    )

    @property
    def folder(self) -> str:
        """The adapter's folder as a user writes it."""
        return f"pvc://{self.claim_name}/{self.sub_path}".rstrip("/")


class ResolvedModel(StatusModel):
    """The model folder that a revision mounts, recorded before it is used."""

    reference: str = Field(
        default="",
        description="Digest of the reference that was resolved; another one is resolved anew.",
        json_schema_extra=RECORD,
    )
    claim_name: str = Field(default="", description="PersistentVolumeClaim of the model folder.")
    sub_path: str = Field(default="", description="Folder inside the volume; empty: its root.")
    training: str | None = Field(default=None, description="DeepSeekTraining that it came from.")
    training_uid: str | None = Field(
        default=None,
        alias="trainingUID",
        description="uid of that training.",
        json_schema_extra=RECORD,
    )
    step: int | None = Field(default=None, description="Step that was exported.")
    digest: str | None = Field(
        default=None, description="Of the content of a source that was fetched; absent for other folders."
    )
    size_bytes: int | None = Field(
        default=None, description="Bytes of a source that was fetched; absent for other folders."
    )
    read_bytes_per_second: int | None = Field(
        default=None,
        description="At which rate it was read from its claim when it was fetched, by which a replica's time to load is counted; absent where nobody measured.",
    )
    adapters: list[ResolvedAdapter] | None = Field(
        default=None,
        max_length=16,
        description="The adapters beside it, by name; absent without any.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

    @property
    def folder(self) -> str:
        """The model folder as a user writes it."""
        return f"pvc://{self.claim_name}/{self.sub_path}".rstrip("/")

    @property
    def told(self) -> str:
        """The model for people: uppercase@200, or models/v2."""
        return (
            f"{self.training}@{self.step}"
            if self.step is not None
            else f"{self.claim_name}/{self.sub_path}".rstrip("/")
        )


class RevisionStatus(StatusModel):
    """One revision and what runs of it."""

    name: str = Field(
        default="",
        description="What its ControllerRevision and Deployment are called after the name of the serving and -serve-. Example: 975abe8e9a.",
    )
    replicas: int = Field(default=0, description="Replicas that exist, by the pod of each that answers.")
    ready: int = Field(default=0, description="Replicas that answer.")
    nodes: int | None = Field(default=None, description="Pods of each replica; absent: one. Example: 2.")

    @property
    def pods(self) -> int:
        """Pods of each replica."""
        return self.nodes or 1


class KeptRevision(RevisionStatus):
    """One revision that can be gone back to by name."""

    model: str = Field(default="", description="What it serves. Example: uppercase@200.")
    step: int | None = Field(default=None, description="Step that was exported; absent for a folder of your own.")
    since: str = Field(default="", description="When its record was made, RFC 3339.")
    weight: int | None = Field(
        default=None,
        description="Its part of the requests by the gateway, in percent, rounded; absent without a route. Example: 10.",
    )


class ComparedRevision(StatusModel):
    """What is known of one of two revisions; what is not known is absent."""

    revision: str = Field(default="", description="Its name. Example: 975abe8e9a.")
    model: str = Field(default="", description="What it serves. Example: uppercase@200.")
    requests: int | None = Field(default=None, description="Requests that it answered.")
    error_rate: str | None = Field(
        default=None, description="Share of them with status 5xx, a decimal from 0 to 1. Example: 0.0021."
    )
    error_rate_interval: str | None = Field(
        default=None, description="Where that share lies with a confidence of 95 % (Wilson). Example: 0.0008..0.0055."
    )
    latency_p50: str | None = Field(
        default=None,
        alias="latencyP50Seconds",
        description="Seconds within which half of the requests had their last token.",
    )
    latency_p99: str | None = Field(
        default=None, alias="latencyP99Seconds", description="Seconds within which 99 % of the requests had it."
    )
    first_token_p50: str | None = Field(
        default=None,
        alias="firstTokenP50Seconds",
        description="Seconds within which half of the requests had their first token.",
    )
    first_token_p99: str | None = Field(
        default=None, alias="firstTokenP99Seconds", description="Seconds within which 99 % of the requests had it."
    )
    accuracy: str | None = Field(
        default=None,
        description="Share of right answers in the last step's exam, a decimal from 0 to 1; absent without one.",
    )
    accuracy_interval: str | None = Field(
        default=None, description="Where that share lies with a confidence of 95 % (Wilson). Example: 0.914..0.972."
    )


class ComparisonStatus(StatusModel):
    """How two revisions did in the same time, once the steps of an A/B test are over."""

    since: str = Field(default="", description="From when, RFC 3339: the new revision first had its replicas.")
    until: str = Field(default="", description="To when, RFC 3339: the last step was over.")
    revisions: list[ComparedRevision] = Field(
        default_factory=list,
        max_length=2,
        description="The stable revision, then the new one.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    message: str = Field(default="", description="Why numbers are absent; empty where none is.")


class CanaryStatus(StatusModel):
    """The canary run that goes on, or the last one while the spec asks for its target."""

    run: int = Field(default=0, description="Counts the runs.")
    phase: str = Field(
        default="",
        description="Preparing, Baking, Paused, Held, Suspended; of an A/B test whose steps are over Comparing and Compared; or how it ended: Completed, RolledBack.",
    )
    step: int = Field(default=0, description="The step that it is at, from 1.")
    steps: int = Field(default=0, description="Steps in all.")
    weight: int | None = Field(default=None, description="Percentage of this step, where it has one.")
    replicas: int | None = Field(default=None, description="Replicas of this step, where it names some.")
    stable: str = Field(default="", description="The revision that serves on, and that a rollback goes back to.")
    target: str = Field(default="", description="The revision that is tried.")
    entered_at: str = Field(default="", description="When this phase began, RFC 3339.")
    message: str = Field(default="", description="Why it is held or was rolled back.")
    analysis: AnalysisStatus | None = Field(
        default=None,
        description="What the judgements of this step came to, with their numbers; absent before the first.",
    )
    exams: list[ExamStatus] = Field(
        default_factory=list,
        max_length=16,
        description="Exams of this step, for its metrics of type Accuracy.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    began_at: str | None = Field(
        default=None, description="When the new revision first had the replicas of a step, RFC 3339."
    )
    comparison: ComparisonStatus | None = Field(
        default=None, description="Of an A/B test whose steps are over: how both did."
    )
    promoted: str = Field(
        default="", description="The last wish to promote that was carried out.", json_schema_extra=RECORD
    )
    pinned: str = Field(
        default="",
        max_length=131072,
        description="rollout.canary as it was when the run began, in JSON.",
        json_schema_extra=RECORD,
    )


class ScalingStatus(StatusModel):
    """What the autoscaler and its signals say."""

    active: bool = Field(default=False, description="True while the HorizontalPodAutoscaler gets its numbers.")
    desired: int | None = Field(default=None, description="Replicas that it wants.")
    reason: str = Field(default="", description="Its reason, in one word.")
    message: str = Field(default="", description="Its reason, in a sentence.")
    signals: list[SignalStatus] = Field(
        default_factory=list,
        max_length=MOST_SIGNALS,
        description="What each signal wants; the largest wish wins.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    floor: int | None = Field(default=None, description="Never fewer replicas now, by autoscaling and its schedules.")
    ceiling: int | None = Field(default=None, description="Never more replicas now, by autoscaling and its schedules.")
    schedules: list[str] = Field(
        default_factory=list,
        max_length=MOST_SCHEDULES,
        description="Names of the schedules in force. Example: office-hours.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    next_change: str | None = Field(
        default=None, description="When a schedule begins or ends next, RFC 3339; absent without any."
    )


class SleepStatus(StatusModel):
    """Where a serving with autoscaling.minReplicas: 0 stands between its last replica and none."""

    phase: str = Field(
        default="",
        description="Awake; Idle: nothing runs, and the time counts; Closing and Closed: the gate keeps requests, and the last ones are waited for; Asleep: no replica; Waking: the first one loads.",
    )
    since: str = Field(default="", description="When this phase began, RFC 3339.")
    idle_since: str | None = Field(default=None, description="Since when nothing has run; absent while something may.")
    message: str = Field(default="", description="Why it was woken.")
    heard: str = Field(
        default="",
        max_length=64,
        description="The gate's mark in the Lease when it was looked at last: another one means that a request waits.",
        json_schema_extra=RECORD,
    )


class RouteWeight(StatusModel):
    """A revision's part of the requests."""

    revision: str = Field(default="", description="Its name. Example: 975abe8e9a.")
    percent: int = Field(default=0, description="Of all requests, in percent, rounded.")


class GatewayStatus(StatusModel):
    """What the live route says."""

    parent: str = Field(default="", description="The Gateway that it hangs on. Example: gateways/public.")
    controller: str = Field(
        default="",
        description="Who answers for that Gateway; empty while nobody does. Example: gateway.envoyproxy.io/gatewayclass-controller.",
    )
    weights: list[RouteWeight] = Field(
        default_factory=list,
        max_length=16,
        description="Revisions that get requests by it.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    models: list[str] = Field(
        default_factory=list,
        max_length=256,
        description="Names by which clients may ask for it, as the gate is told; none without gateway.auth.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


MOST_STALLS = 16


class StallStatus(StatusModel):
    """A replica that was restarted by its watchdog."""

    pod: str = Field(default="", description="The replica's pod.")
    at: str = Field(default="", description="When its engine was ended, RFC 3339.")
    message: str = Field(
        default="",
        description="What was seen. Example: the engine made no token for 301 s with 4 requests running and 12 waiting; its stacks are in the log of the container that was ended.",
    )


class WatchdogStatus(StatusModel):
    """What the watchdogs of the replicas did."""

    restarts: int = Field(default=0, description="How often one restarted a replica, as far as this status remembers.")
    last: list[StallStatus] = Field(
        default_factory=list,
        max_length=MOST_STALLS,
        description="The last of them, the newest first. The stacks: kubectl logs --previous <pod>.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class BenchObjective(StatusModel):
    """A limit that held."""

    type: str = Field(default="", description="Of which signal. Example: TimeToFirstToken.")
    milliseconds: int = Field(default=0, description="The limit.")


class BenchStatus(StatusModel):
    """What the last `kubectl deepseek bench` found: for this revision, its devices and requests as long as those measured."""

    at: str = Field(default="", description="When it ended, RFC 3339.")
    job: str = Field(default="", description="Its Job, which is kept for a day.")
    revision: str = Field(default="", description="Of the replica that was measured. Example: 975abe8e9a.")
    quantile: str = Field(default="", description='Share of requests within the objectives. Example: "0.99".')
    objectives: list[BenchObjective] = Field(
        default_factory=list,
        max_length=8,
        description="Limits that held, all of them at once.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    concurrency: int = Field(default=0, description="Requests at a time that one replica answered within them.")
    in_flight: int = Field(default=0, description="Proposed target of InFlight, 20 % below.")
    request_rate: int | None = Field(
        default=None, description="Proposed target of RequestRate, for requests as long as these; absent without one."
    )
    tokens_per_second: int | None = Field(
        default=None, description="Proposed target of TokensPerSecond, likewise; absent without one."
    )


class ServingSummary(Summary):
    """Ready-made strings for the printed columns."""

    replicas: str = Field(default="", description="Ready replicas of the wanted ones. Example: 2/3.")
    model: str = Field(default="", description="What is served. Example: uppercase@200.")


class ServingStatus(ObservedStatus):
    """What was seen of the serving, and the records that cannot be derived again."""

    phase: str = Field(
        default="",
        description="For people: Pending, Loading, Rolling, Scaling, Available, Canary, RolledBack, Asleep, Waking, WaitingForCapacity, Failing, Suspended, Failed, Deleting. Machines read the conditions.",
    )
    replicas: int = Field(
        default=0,
        description="Replicas made for spec.replicas, never a rollout's surplus; the scale subresource shows it.",
    )
    ready_replicas: int = Field(default=0, description="Replicas that answer.")
    selector: str = Field(default="", description="Selects one pod per replica; the scale subresource shows it.")
    url: str = Field(default="", description="Address inside the cluster. Example: http://chat-serve.team.svc:8000.")
    resolved: ResolvedModel | None = Field(default=None, description="The model folder that is mounted.")
    sources: list[FetchStatus] = Field(
        default_factory=list,
        max_length=32,
        description="Sources that are fetched to a claim, or were; absent for folders that lie on one.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    plan: PlanStatus | None = Field(
        default=None, description="Devices and layout that were found under accelerator.profile; absent without one."
    )
    current: RevisionStatus | None = Field(default=None, description="The revision that is wanted.")
    previous: list[RevisionStatus] = Field(
        default_factory=list,
        max_length=16,
        description="Revisions that still run.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    revisions: list[KeptRevision] = Field(
        default_factory=list,
        max_length=16,
        description="Revisions that are kept, the newest first: go back to one by the annotation deepseek-operator.io/rollback: <name>.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    canary: CanaryStatus | None = Field(
        default=None, description="Where a canary run stands, or how it ended; absent without one."
    )
    stable: str = Field(default="", description="The last revision that was fully rolled out.")
    spent_rollback: str = Field(
        default="",
        description="Value of the annotation for a rollback that is done with, since the spec asked for the same.",
        json_schema_extra=RECORD,
    )
    running_replicas: int | None = Field(
        default=None,
        description="Replicas that the downward gate lets run; recorded so that a restart does not forget it.",
        json_schema_extra=RECORD,
    )
    autoscaling: ScalingStatus | None = Field(
        default=None, description="What the autoscaler says; absent without autoscaling."
    )
    sleep: SleepStatus | None = Field(
        default=None,
        description="Whether replicas run at all; absent where autoscaling.minReplicas is not 0, and while suspended.",
    )
    gateway: GatewayStatus | None = Field(
        default=None,
        description="The route from outside; absent without one. The condition RouteReady says how it does.",
    )
    watchdog: WatchdogStatus | None = Field(
        default=None, description="What engine.watchdog did; absent without one that is asked for, or that ever acted."
    )
    bench: BenchStatus | None = Field(
        default=None,
        description="What the last bench found; absent before the first. Nothing follows from it by itself: kubectl deepseek bench NAME --last -o patch.",
    )
    summary: ServingSummary = Field(
        default_factory=cache(ServingSummary), description="Ready-made strings for `kubectl get`."
    )
