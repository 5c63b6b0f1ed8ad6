"""A source that is brought to a claim by a Job, once for all that want it, and what becomes of its tries.

    Running → Complete | BackingOff → Running …

A try is recorded before its Job is made, and what it brought before anything mounts it. What was fetched stays where it
is when a try ends, so that nothing is given up: not even what only a person can cure, since it may be cured elsewhere.
The pod is `deepseek_runtime.fetcher`: one that finds the source on the claim ends at once, and of several one fetches.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.api.v1alpha1.common.source import KeptSource, is_place
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import ROLE_LABEL, child_name, digest, handed_on
from deepseek_operator.core.resources import CLAIM, GROUP, JOB, POD, Manifest, Ref, controller_of, uid_of
from deepseek_operator.core.seen import Seen, Unavailable
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.workloads import reasons
from deepseek_operator.workloads.batch import backoff
from deepseek_operator.workloads.batch.attempt import is_over
from deepseek_operator.workloads.batch.evicting import MOST_TOLD, advised, evicted, is_cache, usage_of
from deepseek_operator.workloads.batch.fetch_environment import variables
from deepseek_operator.workloads.batch.gang import Gang, gang_of_try
from deepseek_operator.workloads.batch.job import LAST_NUMBER
from deepseek_operator.workloads.batch.program import Exit, Program
from deepseek_operator.workloads.batch.single import single_spec
from deepseek_operator.workloads.batch.verdict import newly_failed, outcome, sentence
from deepseek_operator.workloads.batch.waiting import doubtful, next_doubt, obstacle
from deepseek_operator.workloads.last_words import document
from deepseek_operator.workloads.obstacles import Obstacle
from deepseek_operator.workloads.owner import Owner
from deepseek_operator.workloads.pod.state import is_lost, is_running, terminated

RUNNING, BACKING_OFF, COMPLETE = "Running", "BackingOff", "Complete"
FETCHER = Program(
    "fetcher",
    {
        64: Exit(reasons.SOURCE_NOT_FOUND, is_final=True),
        65: Exit(reasons.SOURCE_CORRUPT),
        69: Exit(reasons.SOURCE_UNAVAILABLE),
        73: Exit(reasons.CLAIM_FULL),
        77: Exit(reasons.SOURCE_REFUSED),
        78: Exit(reasons.SOURCE_NOT_ALLOWED, is_final=True),
    },
)
"""The contract of `deepseek_runtime.fetcher`."""
COMMAND = ("python3", "-m", "deepseek_runtime.fetcher")
ROLE = "fetcher"
"""Of what is no replica and no rank: nothing selects it."""
ABOUT = f"{GROUP}/source"
"""Annotation of the Job: the source and the try, for people; its name is a digest of them."""

_CLAIM_PATH = "/claim"
_PORT = 8090
"""On which pods are asked for their progress (`adapters.progress`)."""
_MOST = 1e15
_VOLUME = "claim"
_GRACE_S = 5
"""From SIGTERM to SIGKILL: what has come is on the claim already."""
_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "250m", "memory": "512Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}
"""Connections, checksums and writes; limits of both, since a quota may ask for them."""
_SILENT_S = 60
"""A pod whose node is gone is not waited for so long after its grace period."""
_MESSAGE_LENGTH = 512
TOLD_EVERY = timedelta(seconds=30)
"""How often a status is written to show how far a fetch is."""
_PASSING = ("message", "reason", "not_before", "job", "progress", "observed_at")
"""What is told of tries, and of nothing that is there."""
_FOR_A_PERSON = (reasons.SOURCE_NOT_FOUND, reasons.SOURCE_NOT_ALLOWED)
_CAUSES = frozenset(known.cause for known in FETCHER.exits.values())
_DIGEST_LENGTH = len("sha256:") + 64


@dataclass(frozen=True)
class Wanted:
    """A source that is to be on a claim. `want`: Model, Adapter or Data, by which its files are chosen."""

    source: KeptSource
    want: str

    @property
    def reference(self) -> str:
        """Digest of what is wanted, whoever may read it."""
        return _reference(self.source.uri, self.source.claim, self.want, self.source.digest)


@lru_cache(maxsize=1024)
def _reference(uri: str, claim: str, want: str, content: str | None) -> str:
    named = {"source": uri, "claim": claim, "want": want}
    return digest({**named, **({"digest": content} if content else {})})


@dataclass(frozen=True)
class Fetching:
    """One source as it is recorded, with what is seen of its present try.

    Attributes:
        has_turn: it is the one whose pod may be asked in this pass, which asks a single one.
        is_held: no try is begun, since what it is for is refused; one that runs goes on.
    """

    seen: Seen[object]
    owner: Owner
    wanted: Wanted
    before: FetchStatus
    has_turn: bool = True
    is_held: bool = False

    @property
    def job(self) -> str:
        """Name of its Job; never as the status says it, which anybody may write. The same in each process, so that no two
        are ever made."""
        return job_name(self.owner, self.wanted, self.before.attempt)

    @cached_property
    def gang(self) -> Gang:
        """Its Job, only if it is the very one that was recorded, and that one's pod."""
        return gang_of_try(self.seen, self.job, self.before.job_uid, FETCHER.container)

    @property
    def is_missing(self) -> bool:
        """Its Job is yet to be made."""
        return self.before.phase == RUNNING and not self.before.job_uid and self.gang.job is None

    @cached_property
    def after(self) -> FetchStatus:
        """What is to be recorded; the same where nothing is new."""
        if self.before.phase == BACKING_OFF:
            return self._again()
        if self.before.phase != RUNNING or self.is_missing:
            return self.before
        job = self.gang.job
        if job is not None and not self.before.job_uid:
            return self.before.model_copy(update={"job_uid": uid_of(job)})
        return self._ended() if is_over(self.gang, self._is_given_up) else self._further()

    @property
    def kept(self) -> Ref | None:
        """Its Job, as long as it may go on, and a failed one for its log until the next."""
        return Ref(JOB, self.job) if self.before.phase != COMPLETE else None

    @property
    def doubts(self) -> tuple[Ref, ...]:
        """Whose events are to be read, since it does not get on."""
        return doubtful(self.gang, 1, self.seen.now) if self.before.phase == RUNNING else ()

    @property
    def obstacle(self) -> Obstacle | None:
        """What keeps its pod from running; None when it runs, is on its way or is over."""
        return obstacle(self.gang, 1, self.seen.warnings, self.seen.now) if self.before.phase == RUNNING else None

    @property
    def waits(self) -> timedelta | None:
        """How soon to look again, although nothing tells us to."""
        if self.after.phase == BACKING_OFF:
            if self.is_held:
                return None
            return max(self._not_before(self.after) - self.seen.now, timedelta(seconds=1))
        if self.before.phase != RUNNING:
            return None
        doubt = next_doubt(self.gang, 1, self.seen.now)
        return TOLD_EVERY if doubt is None and self.gang.running else doubt

    @property
    def told(self) -> tuple[str, str, bool]:
        """Why there is nothing to mount yet: a reason, a sentence, and whether only an edit of the spec helps."""
        state, uri = self.after, self.wanted.source.uri
        again = f" (try {state.attempt}; the one before: {state.message})" if state.message else ""
        if state.phase == BACKING_OFF:
            mended = advised(self.seen, self.wanted.source.claim) if state.reason == reasons.CLAIM_FULL else ""
            why = f"{uri} was not fetched, and is tried again after {state.not_before}: {state.message}{mended}"
            return state.reason or reasons.FETCH_FAILED, why, state.reason in _FOR_A_PERSON
        if (found := self.obstacle) is not None:
            return found.reason, f"{uri} is to be fetched by Job {self.job}: {found.message}{again}", False
        far_told = f": {state.progress}" if state.progress else ""
        told = f"{uri} is fetched to claim {self.wanted.source.claim} by Job {self.job}{far_told}{again}"
        return reasons.FETCHING, told, False

    def refused(self, web: WebAccess) -> str:
        """Why no try of it is begun, by what the administrator allows; empty where one may be, one runs, or it is there."""
        source = self.wanted.source
        is_due = self.is_missing or self.before.phase == BACKING_OFF
        if not (source.is_on_web and is_due) or web.allows(source.uri):
            return ""
        return (
            f"{source.uri} is no address that sources are allowed to be fetched from: an administrator must add it, or a folder "
            "that it lies in, to sources.web.allowed in the chart's values"
        )

    @property
    def makes_room(self) -> bool:
        """Whether its Job is to be made now, and told what is in use of its claim."""
        return self.is_missing and is_cache(self.seen.references.get(Ref(CLAIM, self.wanted.source.claim)))

    @property
    def asked(self) -> Ref | None:
        """The pod whose progress is due to be asked for; None while none runs, or it was told of a moment ago."""
        return self.pod if self.has_turn and self._is_due else None

    @cached_property
    def pod(self) -> Ref | None:
        """Its pod that runs."""
        if self.before.phase != RUNNING:
            return None
        pod = next((pod for pod in self.gang.pods if is_running(pod, FETCHER.container)), None)
        return Ref(POD, pod["metadata"]["name"]) if pod is not None else None

    @property
    def _is_due(self) -> bool:
        before = parse_time(self.before.observed_at)
        return before is None or self.seen.now - before >= TOLD_EVERY

    def _further(self) -> FetchStatus:
        """With what its pod says, at most as often as a status is written for display."""
        told = far(self.seen.progress) if self.asked is not None else ""
        if not told or told == self.before.progress:
            return self.before
        return self.before.model_copy(update={"progress": told, "observed_at": rfc3339(self.seen.now)})

    def _not_before(self, state: FetchStatus) -> datetime:
        return parse_time(state.not_before) or self.seen.now

    def _again(self) -> FetchStatus:
        if self.is_held or self.seen.now < self._not_before(self.before):
            return self.before
        following = min(self.before.attempt + 1, LAST_NUMBER)
        again = begun(self.owner, self.wanted, following, self.before.message)
        return again.model_copy(update={"evicted": self.before.evicted})

    def _is_given_up(self, pod: Manifest) -> bool:
        return is_lost(pod, self.seen.now, _SILENT_S)

    def _ended(self) -> FetchStatus:
        failures = newly_failed(self.gang.pods, (), self.seen.now, FETCHER)
        verdict, cause = outcome(self.gang, failures, None, FETCHER)
        went = [one for said in _last_words(self.gang.pods) for one in evicted(said)]
        gone = {"evicted": [*self.before.evicted, *went][-MOST_TOLD:]}
        if verdict == "Complete" and (brought := _brought(self.gang.pods, self.wanted.source)) is not None:
            cleared = {"phase": COMPLETE, **dict.fromkeys(_PASSING, "")}
            return self.before.model_copy(update={**cleared, **brought, **gone})
        why = "its pod did not say what it fetched" if verdict == "Complete" else cause.message or sentence(cause)
        later = backoff.after_failure(self.before.attempt - 1, None, None, self.seen.now).not_before
        said = {
            "phase": BACKING_OFF,
            "reason": cause.cause if cause.cause in _CAUSES else reasons.FETCH_FAILED,
            "message": why.replace("\n", " ")[:_MESSAGE_LENGTH],
            "not_before": later,
            "progress": "",
            "observed_at": "",
            **gone,
        }
        return self.before.model_copy(update=said)


def begun(owner: Owner, wanted: Wanted, attempt: int = 1, message: str = "") -> FetchStatus:
    """A try that is to be made. `message`: why the one before brought nothing."""
    return FetchStatus(
        reference=wanted.reference,
        uri=wanted.source.uri,
        phase=RUNNING,
        attempt=attempt,
        job=job_name(owner, wanted, attempt),
        claim_name=wanted.source.claim,
        message=message,
    )


def job_name(owner: Owner, wanted: Wanted, attempt: int) -> str:
    """Of one try. As a digest: `-0`, which an Indexed Job's pod has behind it in its host name, is all that there is room for.

    With a letter at its end, so that nobody takes it for the number of an attempt.
    """
    return f"{_stem(owner)}{digest([owner.uid, wanted.reference, attempt], 7)}f"


def is_errand(owner: Owner, name: str) -> bool:
    """Whether a Job of the owner's is one that fetches, by its name."""
    return name.startswith(_stem(owner))


def errand_labels(owner: Owner) -> dict[str, str]:
    """Labels of a fetch's Job and its pod."""
    return {**owner.labels, ROLE_LABEL: ROLE}


def due(owner: Owner, wanted: Sequence[Wanted], recorded: Sequence[FetchStatus]) -> tuple[Ref, ...]:
    """The Jobs of the recorded tries that have brought nothing yet."""
    return tuple(
        Ref(JOB, job_name(owner, one, known.attempt))
        for one in wanted
        if (known := recorded_as(one, recorded)) is not None and known.phase != COMPLETE
    )


def recorded_as(wanted: Wanted, recorded: Sequence[FetchStatus]) -> FetchStatus | None:
    """The record of what is wanted; None without one that a release of this operator can have written."""
    return next((one for one in recorded if one.reference == wanted.reference and is_sound(one, wanted)), None)


def _stem(owner: Owner) -> str:
    return f"{child_name(owner.resource, owner.name)}-fetch-"


def is_of_errand(owner: Owner, child: Manifest) -> bool:
    """Whether a Job or a pod is of a fetch, whatever its labels say."""
    maker = controller_of(child) or {}
    named = maker.get("name") if maker.get("kind") == JOB.kind else child["metadata"]["name"]
    return is_errand(owner, str(named or ""))


def fetching(
    seen: Seen[object], owner: Owner, wanted: Sequence[Wanted], recorded: Sequence[FetchStatus]
) -> tuple[Fetching, ...]:
    """Each as recorded, or begun now. Those whose pods run take turns in telling how far they are."""
    found = [Fetching(seen, owner, one, recorded_as(one, recorded) or begun(owner, one)) for one in wanted]
    running = [one.wanted.reference for one in found if one.pod is not None]
    turn = running[int(seen.now.timestamp() // TOLD_EVERY.total_seconds()) % len(running)] if len(running) > 1 else None
    return tuple(one if turn in (None, one.wanted.reference) else replace(one, has_turn=False) for one in found)


def is_sound(status: FetchStatus, wanted: Wanted) -> bool:
    """Whether a release of this operator can have recorded it: whoever may write a status may write anything there."""
    source = wanted.source
    if not 1 <= status.attempt <= LAST_NUMBER or status.claim_name != source.claim:
        return False
    return status.phase in (RUNNING, BACKING_OFF) or (status.phase == COMPLETE and is_kept(source, status.sub_path))


def is_kept(source: KeptSource, sub_path: str) -> bool:
    """Whether a folder of the source's claim can be one that was fetched from it."""
    return is_place(source.claim, sub_path) and sub_path.rpartition("/")[0] == source.place


def unallowed(fetches: Iterable[Fetching], web: WebAccess) -> str:
    """Why one of them is not begun, by what the administrator allows; empty where all may be."""
    return next((why for one in fetches if (why := one.refused(web))), "")


def fetch_job(one: Fetching, pod: PodSettings, labels: Mapping[str, str], configuration: Configuration) -> Manifest:
    """The Job: one pod, which is tried once. `labels`: the owner's own, of which a Job carries some."""
    owner, source = one.owner, one.wanted.source
    marked = errand_labels(owner)
    container: dict[str, Any] = {
        "name": FETCHER.container,
        "image": configuration.runtime_image,
        "imagePullPolicy": configuration.image_pull_policy,
        "command": list(COMMAND),
        "env": _variables(one, configuration),
        "resources": {kind: dict(amounts) for kind, amounts in _RESOURCES.items()},
        "volumeMounts": [{"name": _VOLUME, "mountPath": _CLAIM_PATH}],
    }
    volumes = [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": source.claim}}]
    about = {"uri": source.uri, "attempt": one.before.attempt}
    annotations = {ABOUT: json.dumps(about, separators=(",", ":"))}
    made = owner.child(JOB, one.job, labels={**handed_on(labels), **marked}, annotations=annotations)
    return {**made, "spec": single_spec(container, pod, marked, volumes, _GRACE_S)}


def _variables(one: Fetching, configuration: Configuration) -> list[dict[str, Any]]:
    source = one.wanted.source
    told = {
        "DEEPSEEK_SOURCE_WANT": one.wanted.want,
        "DEEPSEEK_SOURCE_CLAIM": _CLAIM_PATH,
        "DEEPSEEK_PROGRESS_PORT": str(_PORT),
        **usage_of(one.seen, source.claim, configuration),
    }
    return variables(source, told, configuration)


def far(said: Mapping[str, object] | Unavailable | None) -> str:
    """How far a fetch is, for a person, from what its pod said; empty where it said nothing of it."""
    fetch = said.get("fetch") if isinstance(said, Mapping) else None
    if not isinstance(fetch, Mapping) or not isinstance(total := fetch.get("total"), int) or total <= 0:
        return ""
    done, rate, left = fetch.get("done"), fetch.get("bytesPerSecond"), fetch.get("etaSeconds")
    told = f"{_amount(done if isinstance(done, int) else 0)} of {_amount(total)}"
    if not isinstance(rate, int | float) or not 0 < rate < _MOST:
        return told
    ends = f", {_time(left)} left" if isinstance(left, int | float) and 0 <= left < _MOST else ""
    return f"{told}, {_amount(rate)}/s{ends}"


def _amount(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def _brought(pods: Sequence[Manifest], source: KeptSource) -> dict[str, object] | None:
    """What one of the pods says that it fetched, checked: it runs in the user's namespace."""
    for said in _last_words(pods):
        folder, revision, content = (said.get(name) for name in ("folder", "revision", "digest"))
        size = said.get("bytes")
        texts = all(isinstance(one, str) for one in (folder, revision, content))
        if texts and _is_count(size) and is_kept(source, str(folder)) and len(str(content)) == _DIGEST_LENGTH:
            told = {"sub_path": folder, "revision": str(revision)[:128], "digest": content, "size_bytes": size}
            return {**told, "read_bytes_per_second": rate if _is_count(rate := said.get("readBytesPerSecond")) else 0}
    return None


def _last_words(pods: Sequence[Manifest]) -> Iterator[Mapping[str, object]]:
    """What pods that are over say of the source."""
    for pod in pods:
        state = terminated(pod, FETCHER.container)
        said = (document(str((state or {}).get("message") or "")) or {}).get("source")
        if isinstance(said, Mapping):
            yield said


def _is_count(said: object) -> bool:
    """Whether it is a number of bytes, as a stranger may say one."""
    return isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 2**63
