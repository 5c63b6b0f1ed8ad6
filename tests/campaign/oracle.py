"""What must be true once nothing disturbs the operator any more, whatever happened before.

The reference is a life without faults: each resource as it is written now, rehearsed on a memory cluster beside what
it refers to. The real children must say all that the rehearsed ones say; the status must follow from them. What a
history may leave behind (an attempt that waits, a field that was fixed) is named in this file and nowhere else.
"""

import asyncio
import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.record import spread
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.cli.rehearsal import Rehearsal, rehearse
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import ATTEMPT_LABEL, MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import CLAIM, POD, Resource
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.domain.values.quantity import parse as quantity
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.workloads.batch.fetch import ABOUT
from examples.local_cluster.api import Manifest
from tests.campaign.bed import OWNERS, TENANTS, Bed
from tests.campaign.witness import is_ready
from tests.support.canonical import COLLECTIONS, unchanging

OF_HISTORY = ("FixedFieldChanged", "CheckpointVolumeLost", "CheckpointVolumeFull")
"""Why a training may stand still that would run if it were new."""
OF_THE_CLUSTER = ("no PriorityClass with name", "pod rejected: RuntimeClass")
"""What the messages say where a spec names something of the cluster that nobody made: nothing runs then."""
AWAKE_ALONE = ("HorizontalPodAutoscaler", "Deployment", "PodDisruptionBudget", "ConfigMap")
"""Children of a serving that are gone, or say something else, while it sleeps."""
OF_ITS_OWN = ("generation", "status", "creationTimestamp", "finalizers", "resourceVersion", "uid", "annotations")
READ_LATER = "DEEPSEEK_"
"""Variables of the pods that count from the next attempt on, or differ from attempt to attempt."""
USUAL_BAKE_S, LATE_S = 300, 20
"""How long a step bakes that does not say it, and how late a busy machine may be."""
MEMORY_MIB = 250.0
"""A process at rest takes 80 to 120; more than this after a few hundred operations is a leak or an unbounded object."""


@dataclass
class Oracle:
    """Judges one bed.

    Attributes:
        asked: rehearsals by what they were made from: sizing may take a second.
        complete: uids of trainings that said so: whatever is wiped, they never run again.
    """

    bed: Bed
    asked: dict[str, Rehearsal] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)

    def complaints(self) -> list[str]:
        """What is not yet, or not, as it must be; empty when all is well."""
        found: list[str] = []
        for tenant in TENANTS:
            kinds = {kind: self.bed.items(kind, tenant) for kind in COLLECTIONS}
            found += self._of_tenant(kinds)
        return found

    def processes(self) -> Iterator[str]:
        """What is wrong with the processes themselves."""
        for number, replica in enumerate(self.bed.replicas):
            for unexplained in self.bed.faults.unexplained(replica.process):
                yield f"operator-{number} exits: {unexplained}"
            if not replica.is_healthy:
                yield f"operator-{number} is not healthy: {replica.page(0, '/healthz').strip() or 'no answer'}"
            if replica.memory_mib > MEMORY_MIB:
                yield f"operator-{number} takes {replica.memory_mib:.0f} MiB"
            for raised in _raised(replica.process.log.read_text(errors="replace")):
                yield f"operator-{number} logged an exception: {raised}"

    def floors(self) -> dict[str, int]:
        """Ready replicas of every serving that is available, by its uid: nobody may take them away unasked."""
        found = {}
        for item in self.bed.owners():
            spec = item["spec"]
            fixed = item["kind"] == "DeepSeekServing" and not spec.get("suspend") and "autoscaling" not in spec
            if fixed and spec["rollout"]["strategy"] == "RollingUpdate" and item["status"].get("phase") == "Available":
                found[item["metadata"]["uid"]] = int(item["status"].get("readyReplicas") or 0)
        return found

    # --- one tenant ----------------------------------------------------------------------------------------------

    def _of_tenant(self, kinds: Mapping[str, list[Manifest]]) -> Iterator[str]:
        owners = [item for kind in OWNERS for item in kinds[kind]]
        uids = {item["metadata"]["uid"] for item in owners}
        for owner in owners:
            name = f"{owner['kind']} {owner['metadata']['namespace']}/{owner['metadata']['name']}"
            mine = {
                kind: [item for item in items if _owner_uid(item) == owner["metadata"]["uid"]]
                for kind, items in kinds.items()
            }
            uid = owner["metadata"]["uid"]
            living = [pod for pod in kinds["Pod"] if _lives(pod) and not is_let_go(pod, self.bed.disowned)]
            mine["Pod"] = [pod for pod in living if self.bed.witness.owner_of(pod) == uid]
            for complaint in self._of_owner(owner, mine, kinds):
                yield f"{name}: {complaint}"
        for kind, items in kinds.items():
            for item in items:
                if (stray := self._of_orphan(kind, item, uids, kinds)) is not None:
                    yield f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}: {stray}"

    def _of_owner(
        self, owner: Manifest, mine: Mapping[str, list[Manifest]], all_: Mapping[str, list[Manifest]]
    ) -> Iterator[str]:
        metadata, status = owner["metadata"], spread(owner.get("status") or {})
        if "deletionTimestamp" in metadata:
            yield "is still being deleted"
            return
        if status.get("observedGeneration") != metadata["generation"]:
            yield f"observedGeneration {status.get('observedGeneration')} of {metadata['generation']}"
            return
        running = [job for job in mine["Job"] if not _is_over(job)]
        if len(running) > 1:
            yield f"{len(running)} Jobs at once"
        if metadata["uid"] in self.bed.lied:
            return
        if (parked := told(status.get("conditions", ())))[1] == "InternalError":
            yield f"the operator can't bear it: {parked}"
        if status.get("result") == "Complete":
            self.complete.add(metadata["uid"])
        elif metadata["uid"] in self.complete:
            yield "was Complete, and is so no more"
        messages = [str(condition.get("message", "")) for condition in status.get("conditions", ())]
        if any(word in message for word in OF_THE_CLUSTER for message in messages):
            return
        reference = self._rehearsed(owner, all_)
        judge = _of_training if owner["kind"] == "DeepSeekTraining" else of_serving
        yield from judge({**owner, "status": status}, reference, mine)

    def _of_orphan(
        self, kind: str, item: Manifest, owners: set[str], kinds: Mapping[str, list[Manifest]]
    ) -> str | None:
        metadata = item["metadata"]
        labels = metadata.get("labels") or {}
        controller = next((o for o in metadata.get("ownerReferences", ()) if o.get("controller")), None)
        if kind == "Pod" and "deletionTimestamp" in metadata:
            return "is still being deleted"
        if controller is not None:
            living = owners | {i["metadata"]["uid"] for k in ("Job", "ReplicaSet", "Deployment") for i in kinds[k]}
            return None if controller["uid"] in living else f"its {controller['kind']} {controller['name']} is gone"
        if kind in OWNERS or kind in ("PersistentVolumeClaim", "ReplicaSet") or labels.get(MANAGED_BY) != MANAGER:
            return None
        is_left = labels.get(OWNER_UID) in self.bed.orphaned or metadata["uid"] in self.bed.disowned
        return None if is_left else "nobody owns it"

    def _rehearsed(self, owner: Manifest, kinds: Mapping[str, list[Manifest]]) -> Rehearsal:
        uid = owner["metadata"]["uid"]
        owners = {item["metadata"]["uid"] for kind in OWNERS for item in kinds[kind]}
        existing = [_bare(CLAIM, claim) for claim in kinds["PersistentVolumeClaim"] if _owner_uid(claim) != uid]
        trainings = [item for item in kinds["DeepSeekTraining"] if item is not owner]
        existing += [{**_bare(TRAINING, item), "status": item.get("status") or {}} for item in trainings]
        existing += [
            _bare(resource, item)
            for resource in KINDS.children
            if resource.kind in kinds and resource not in (CLAIM, POD)
            for item in kinds[resource.kind]
            if _owner_uid(item) not in owners and not item["metadata"].get("ownerReferences")
        ]
        wanted = _bare(TRAINING if owner["kind"] == TRAINING.kind else SERVING, owner)
        asked = json.dumps([wanted, existing], sort_keys=True)
        if asked not in self.asked:
            (self.asked[asked],) = asyncio.run(rehearse([wanted], existing, Configuration(), KINDS))
        return self.asked[asked]


# --- one resource ---------------------------------------------------------------------------------------------------


def _of_training(owner: Manifest, reference: Rehearsal, mine: Mapping[str, list[Manifest]]) -> Iterator[str]:
    status = owner["status"]
    kind, reason = told(status.get("conditions", ()))
    running = [job for job in mine["Job"] if not _is_over(job)]
    living = mine["Pod"]
    if status.get("result"):
        yield from _nothing_runs(running, living, f"it is {status['result']}")
        return
    expected = next((item for item in reference.made if item["kind"] == "Job"), None)
    if owner["spec"].get("suspend"):
        yield from _nothing_runs(running, living, "it is suspended")
        if kind != "Suspended" and reason not in OF_HISTORY and expected is not None:
            yield f"suspended, and says {kind}/{reason}"
    elif reason == "BackingOff":
        until = parse_time(status.get("notBefore"))
        if until is None or until < datetime.now(UTC):
            yield f"still waits, though notBefore is {status.get('notBefore')}"
        yield from _nothing_runs(running, living, "it waits")
    elif running:
        yield from of_a_gang(status, running[0], living, (kind, reason), expected)
    elif expected is None:
        new = told(reference.conditions)
        if (kind, reason) != new and reason not in OF_HISTORY:
            yield f"says {kind}/{reason}; new it would say {new[0]}/{new[1]}"
    elif reason not in OF_HISTORY:
        yield f"has no Job and says {kind}/{reason}; new it would run"


def of_a_gang(
    status: Manifest, job: Manifest, pods: list[Manifest], says: tuple[str, str], expected: Mapping[str, Any] | None
) -> Iterator[str]:
    """What is wrong with a training whose Job is under way; `expected` is the Job that it would get if it were new."""
    attempt = status.get("attempt") or {}
    if (attempt.get("job"), attempt.get("jobUID")) != (job["metadata"]["name"], job["metadata"]["uid"]):
        yield f"Job {job['metadata']['name']} runs, status.attempt is {attempt.get('job')} ({attempt.get('jobUID')})"
    count = job["spec"]["parallelism"]
    if job["spec"].get("suspend"):
        # Queues hold Jobs back by this field, so the operator never takes it back; it says who waits for whom.
        yield from _nothing_runs([], pods, f"Job {job['metadata']['name']} is suspended by a stranger")
        words = f"Job {job['metadata']['name']} has spec.suspend true"
        if says[0] != "Stalled" and not any(words in item["message"] for item in status["conditions"]):
            yield f"{words}, and no condition says so"
        return
    if len([pod for pod in pods if is_ready(pod)]) != count or len(pods) != count:
        yield f"{len(pods)} pods of {count}, {len([pod for pod in pods if is_ready(pod)])} of them ready"
    if says[0] == "Stalled":
        return  # It goes on with what it was started with; the condition says so.
    if says != ("Ready", "Running"):
        yield f"runs and says {says[0]}/{says[1]}"
    if expected is not None:
        yield from lacks(_without_moods(job), _without_moods(expected), "Job")


def of_serving(owner: Manifest, reference: Rehearsal, mine: Mapping[str, list[Manifest]]) -> Iterator[str]:
    """What is wrong with a serving; `reference` is what it would be if it were new, and no canary ran."""
    spec, status = owner["spec"], owner["status"]
    kind, reason = told(status.get("conditions", ()))
    canary = tried(owner, reference)
    if canary is not None:
        yield from _of_canary(owner, canary, reference, mine)
        return
    is_asleep = status.get("sleep", {}).get("phase") == "Asleep"
    for expected in reference.made:
        if is_asleep and expected["kind"] in AWAKE_ALONE:
            continue
        if expected["kind"] not in mine:  # Of an optional API, which this cluster does not serve.
            if reason != "WaitingForAPI":
                yield f"{expected['kind']} can't be made here, and it says {kind}/{reason}"
            continue
        live = next((item for item in mine[expected["kind"]] if _called(item) == _called(expected)), None)
        name = f"{expected['kind']} {expected['metadata']['name']}"
        if live is None:
            yield f"{name} is not there ({kind}/{reason})"
        else:
            yield from lacks(_without_moods(live), _without_moods(expected), name)
    wanted = {item["metadata"]["name"] for item in reference.made if item["kind"] == "Deployment"}
    others = {item["metadata"]["name"] for item in mine["Deployment"]} - wanted
    if wanted and others:
        yield f"Deployments of other revisions are left: {', '.join(sorted(others))}"
    for job in mine["Job"]:
        if "-exam-" in job["metadata"]["name"]:
            yield f"Job {job['metadata']['name']} is left, and nobody waits for its exam"
    ready = len([pod for pod in mine["Pod"] if is_ready(pod)])
    asked = 0 if spec.get("suspend") else spec["replicas"]
    if not wanted:
        new = told(reference.conditions)
        if (kind, reason) != new:
            yield f"says {kind}/{reason}; new it would say {new[0]}/{new[1]}"
    elif "autoscaling" not in spec or spec.get("suspend"):
        if (ready, len(mine["Pod"])) != (asked, asked) or status.get("readyReplicas", 0) != asked:
            yield f"{ready} pods of {len(mine['Pod'])} ready, status says {status.get('readyReplicas')}; wanted {asked}"
        phase = "Suspended" if spec.get("suspend") else "Available"
        if status.get("phase") != phase and reason != "WaitingForAPI":
            yield f"phase {status.get('phase')} ({kind}/{reason}), not {phase}"
    elif is_asleep:
        yield from _nothing_runs([], mine["Pod"], "it is asleep")
        if (kind, reason, status.get("phase")) != ("Ready", "Asleep", "Asleep"):
            yield f"asleep, and says {kind}/{reason} in phase {status.get('phase')}"
    elif ready < 1 or ready != len(mine["Pod"]):
        yield f"{ready} pods of {len(mine['Pod'])} ready under an autoscaler without a metric"


def tried(owner: Manifest, reference: Rehearsal) -> Mapping[str, Any] | None:
    """The canary run by which two revisions run, or another than the spec asks for; None where none has a say: a new serving
    of the same spec never has one."""
    canary: Mapping[str, Any] = owner["status"].get("canary") or {}
    phase = canary.get("phase")
    if not canary or phase == Phase.COMPLETED:
        return None
    target = f"{owner['metadata']['name']}-serve-{canary['target']}"
    is_asked = any((one["kind"], one["metadata"]["name"]) == ("Deployment", target) for one in reference.made)
    return canary if is_asked or phase != Phase.ROLLED_BACK else None


def _of_canary(
    owner: Manifest, canary: Mapping[str, Any], reference: Rehearsal, mine: Mapping[str, list[Manifest]]
) -> Iterator[str]:
    """The revision that served before has all its replicas, and the one that is tried no more than its step; after a
    rollback the first alone runs. A step that nobody keeps is over in time."""
    spec, status, phase = owner["spec"], owner["status"], str(canary["phase"])
    says = (phase, *told(status.get("conditions", ())))
    stable, target = (f"{owner['metadata']['name']}-serve-{canary[which]}" for which in ("stable", "target"))
    asked = {item["metadata"]["name"]: int(item["spec"]["replicas"]) for item in mine["Deployment"]}
    ready = len([pod for pod in mine["Pod"] if is_ready(pod) and "-exam-" not in pod["metadata"]["name"]])
    if others := sorted(set(asked) - {stable, target}):
        yield f"Deployments beside a canary run: {', '.join(others)} {says}"
    for expected in reference.made:
        name = expected["metadata"]["name"]
        if expected["kind"] in mine and name == f"{owner['metadata']['name']}-serve":
            found = [one for one in mine[expected["kind"]] if one["metadata"]["name"] == name]
            live: Manifest = found[0] if found else {"metadata": {}}
            yield from lacks(_without_moods(live), _without_moods(expected), f"{expected['kind']} {name}")
    if spec.get("suspend"):
        yield from _nothing_runs([], mine["Pod"], "it is suspended")
        if status.get("phase") != "Suspended" and says[2] != "WaitingForAPI":
            yield f"suspended, and says {says}"
        return
    if asked.get(stable, 0) < 1 or ("autoscaling" not in spec and asked[stable] != spec["replicas"]):
        yield f"the stable revision has {asked.get(stable)} replicas of {spec['replicas']} {says}"
    if ready != sum(asked.values()):
        yield f"{ready} ready pods of {sum(asked.values())} {says}"
    if phase == Phase.ROLLED_BACK:
        if asked.get(target):
            yield f"what was rolled back has {asked[target]} replicas"
        if status.get("phase") != "RolledBack" and says[2] not in ("WaitingForAPI", "Rolling"):
            yield f"it was rolled back, and says {says} in phase {status.get('phase')}"
        return
    most = _capacity(canary, asked.get(stable, 0))
    if asked.get(target, 0) > most:
        yield f"the new version has {asked[target]} replicas of {most} {says}"
    is_held_up = says[1] == "Stalled" or says[2].startswith("WaitingFor")
    if status.get("phase") != "Canary" and not is_held_up:
        yield f"a canary runs, and it says {says} in phase {status.get('phase')}"
    left = _overdue(canary)
    if left is not None:
        yield f"{phase} since {canary['enteredAt']}, {left:.0f} s longer than its step says"


def _capacity(canary: Mapping[str, Any], wanted: int) -> int:
    """Replicas of the present step."""
    by_weight = -(-wanted * int(canary.get("weight") or 0) // 100)
    return min(wanted, max(1, int(canary.get("replicas") or 0), by_weight))


def _overdue(canary: Mapping[str, Any]) -> float | None:
    """Seconds by which a step without an analysis that bakes is late; None where it is not, or somebody keeps it."""
    steps = json.loads(canary.get("pinned") or "{}").get("steps") or []
    step = steps[int(canary["step"]) - 1] if 0 < int(canary.get("step") or 0) <= len(steps) else {}
    since = parse_time(canary.get("enteredAt"))
    if canary["phase"] != Phase.BAKING or "analysis" in step or since is None:
        return None
    late = (datetime.now(UTC) - since).total_seconds() - float(step.get("bakeSeconds", USUAL_BAKE_S)) - LATE_S
    return late if late > 0 else None


def _nothing_runs(jobs: list[Manifest], pods: list[Manifest], why: str) -> Iterator[str]:
    if jobs or pods:
        yield f"{why}, but {len(jobs)} Jobs and {len(pods)} pods go on"


# --- comparing ------------------------------------------------------------------------------------------------------


def lacks(live: Any, expected: Any, path: str) -> Iterator[str]:
    """Where the live object does not say what the expected one says; what it says beside that is others' business."""
    if isinstance(expected, Mapping):
        for key, item in expected.items():
            if not isinstance(live, Mapping) or (key not in live and item not in ({}, [], None)):
                yield f"{path}.{key} is not there"
            elif key in live:
                yield from lacks(live[key], item, f"{path}.{key}")
    elif isinstance(expected, list):
        if not isinstance(live, list) or len(live) != len(expected):
            yield f"{path} is {str(live)[:200]}, not {str(expected)[:200]}"
            return
        for index, (a, b) in enumerate(zip(live, expected, strict=True)):
            yield from lacks(a, b, f"{path}[{index}]")
    elif live != expected and not _same_quantity(live, expected):
        yield f"{path} is {str(live)[:200]!r}, not {str(expected)[:200]!r}"


def _same_quantity(one: Any, other: Any) -> bool:
    try:
        return bool(quantity(str(one)) == quantity(str(other)))
    except ValueError:
        return False


def _called(child: Mapping[str, Any]) -> str:
    """Its name; of a fetch, whose name is a digest of the owner's uid that a rehearsal doesn't know, what it fetches."""
    about = json.loads(child["metadata"].get("annotations", {}).get(ABOUT, "{}"))
    return str({**about, "attempt": None} if about else child["metadata"]["name"])


def _without_moods(item: Mapping[str, Any]) -> Any:
    """The object without what follows from chance, from the number of the attempt, or from the moment."""
    metadata = {key: part for key, part in item["metadata"].items() if key not in OF_ITS_OWN and key != "name"}
    body = {key: part for key, part in item.items() if key not in ("status", "metadata", "apiVersion", "kind")}
    return _pruned(_of_any_attempt(unchanging({"metadata": metadata, **body})))


def _of_any_attempt(value: Any) -> Any:
    """A Job's name ends with the number of its attempt, or, of a fetch, with a digest of it."""
    text = re.sub(r"(-train-<hash>)-\d+", r"\1-<attempt>", json.dumps(value))
    return json.loads(re.sub(r"-fetch-[0-9a-f]{7}f\b", "-fetch-<attempt>", text))


def _pruned(value: Any) -> Any:
    match value:
        case Mapping():
            return {
                key: _pruned(part)
                for key, part in value.items()
                if key not in (ATTEMPT_LABEL, "replicas", "annotations", "revision", "ownerReferences")
            }
        case list():
            kept = [part for part in value if not _is_read_later(part)]
            return [_pruned(part) for part in kept]
        case _:
            return value


def _is_read_later(part: Any) -> bool:
    return isinstance(part, Mapping) and str(part.get("name", "")).startswith(READ_LATER)


def _bare(resource: Resource, item: Manifest) -> Manifest:
    """As somebody would write it; its labels and annotations are part of that."""
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {key: item["metadata"][key] for key in kept if key in item["metadata"]}
    body = {key: part for key, part in item.items() if key not in ("status", "metadata")}
    return {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def told(conditions: Any) -> tuple[str, str]:
    """The condition that says most, and its reason."""
    found = {condition["type"]: condition for condition in conditions}
    for kind in ("Stalled", "Suspended", "Reconciling", "Ready"):
        if kind in found and (kind == "Ready" or found[kind]["status"] == "True"):
            return kind, str(found[kind]["reason"])
    return "", ""


def is_let_go(pod: Manifest, disowned: Container[str]) -> bool:
    """True of a replica that a stranger took out of its set by a label, as one does to look into it: it is theirs now.

    The set lets it go and makes another; the Services' selectors pass it over too.
    """
    controllers = [owner for owner in pod["metadata"].get("ownerReferences") or () if owner.get("controller")]
    return not controllers and pod["metadata"]["uid"] in disowned


def _owner_uid(item: Manifest) -> str:
    return str((item["metadata"].get("labels") or {}).get(OWNER_UID, ""))


def _is_over(job: Manifest) -> bool:
    ends = ("Complete", "Failed")
    return any(c["type"] in ends and c["status"] == "True" for c in job.get("status", {}).get("conditions") or ())


def _lives(pod: Manifest) -> bool:
    """It may still do something. Nobody takes failed pods away, and new ones come beside them."""
    return pod.get("status", {}).get("phase") in ("Pending", "Running")


def _raised(log: str) -> Iterator[str]:
    """What the process logged with a traceback, but for objects that are parked for their size, which is its right."""
    for part in log.split("Traceback (most recent call last)")[1:]:
        last = next((line for line in part.splitlines()[1:] if line and not line.startswith("    ")), "")
        if "TooLarge" not in last:
            yield last[:300]
