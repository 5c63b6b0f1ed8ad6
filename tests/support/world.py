"""What controllers and kubelets do to a memory cluster, one explicit step at a time. No step happens by itself.

The facts are those of Kubernetes 1.36: an Indexed Job with backoffLimit 0 gets FailureTarget as soon as one pod
failed, its other pods are told to end, and Failed comes only when the last of them is gone or terminal.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from deepseek_operator.adapters.memory import MemoryCluster, Stored
from deepseek_operator.adapters.memory_rules import PVC_PROTECTION
from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import (
    AUTOSCALER,
    CLAIM,
    DEPLOYMENT,
    JOB,
    LEADER_WORKER_SET,
    POD,
    Manifest,
    Resource,
    is_terminating,
    labels_of,
    uid_of,
)
from deepseek_operator.kinds.registry import KINDS
from tests.support.moments import START

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
POD_TEMPLATE_HASH = "pod-template-hash"
GROUP_INDEX = "leaderworkerset.sigs.k8s.io/group-index"
WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"


class StoppedClock:
    """A `Clock` that moves only when told; both faces move together unless the wall clock is set apart."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock; may go back."""
        self._now += timedelta(seconds=seconds)


class World:
    """The rest of the cluster: controllers, scheduler and kubelet of one memory cluster."""

    def __init__(self, cluster: MemoryCluster, clock: StoppedClock) -> None:
        self.cluster = cluster
        self.clock = clock

    # --- controllers --------------------------------------------------------------------------------------------

    def run_job_controller(self) -> None:
        """One sync of every Job: pods of missing indexes, FailureTarget, Failed, SuccessCriteriaMet, Complete.

        An ended pod that terminates stays until it was counted here: its finalizer goes in this step.
        """
        for job in self.cluster.shown(JOB):
            if not is_terminating(job):
                self._let_go(job, {CONTROLLER_UID: uid_of(job)})
                self._sync_job(job)
        jobs = {uid_of(job) for job in self.cluster.shown(JOB)}
        for pod in self.cluster.shown(POD):
            orphan = not any(owner["uid"] in jobs for owner in pod["metadata"].get("ownerReferences", []))
            if TRACKING in pod["metadata"].get("finalizers", []) and (orphan or is_ended(pod) or _never_ran(pod)):
                self._without_finalizer(POD, pod, TRACKING)

    def run_deployment_controller(self) -> None:
        """One sync of every Deployment: as many pods as wanted of the present template; counts in status.

        Pods of an older template go when as many of the present one are ready; ReplicaSets are left out.
        """
        for deployment in self.cluster.shown(DEPLOYMENT):
            if not is_terminating(deployment):
                self._let_go(deployment, deployment["spec"]["selector"]["matchLabels"])
                self._sync_deployment(deployment)

    def run_leader_worker_set_controller(self) -> None:
        """One sync of every LeaderWorkerSet: groups of a leader and its workers, made and ended as one; counts in status.

        StatefulSets are left out: pods are the set's own. A group goes whole once one of its pods has ended or is told to.
        """
        for found in self.cluster.shown(LEADER_WORKER_SET):
            if not is_terminating(found):
                self._sync_groups(found)

    def run_garbage_collector(self) -> None:
        """Deletes objects whose owners are gone, ends foreground deletions and releases unused claims; to the end."""
        while self._collect_once():
            pass

    def _collect_once(self) -> bool:
        moved = False
        live = {
            uid_of(item) for resource in (TRAINING, SERVING, *KINDS.children) for item in self.cluster.shown(resource)
        }
        for resource in (*KINDS.children, TRAINING, SERVING):
            for item in self.cluster.shown(resource):
                moved |= self._collect(resource, item, live)
        return moved

    def _collect(self, resource: Resource, item: Manifest, live: set[str]) -> bool:
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        owners = item["metadata"].get("ownerReferences", [])
        finalizers = item["metadata"].get("finalizers", [])
        if owners and not any(owner["uid"] in live for owner in owners) and not is_terminating(item):
            self.cluster.remove(resource, namespace, name, "Background")
            return True
        if is_terminating(item) and "foregroundDeletion" in finalizers:
            return self._collect_foreground(resource, item)
        if is_terminating(item) and PVC_PROTECTION in finalizers and not self._mounted(namespace, name):
            self._without_finalizer(resource, item, PVC_PROTECTION)
            return True
        return False

    def _collect_foreground(self, resource: Resource, item: Manifest) -> bool:
        dependents = [(r, d) for r in KINDS.children for d in self.cluster.shown(r) if _owned_by(d, uid_of(item))]
        for dependent_resource, dependent in dependents:
            if not is_terminating(dependent):
                metadata = dependent["metadata"]
                self.cluster.remove(dependent_resource, metadata["namespace"], metadata["name"], "Background")
        if any(_owned_by(d, uid_of(item)) for r in KINDS.children for d in self.cluster.shown(r)):
            return bool([d for _, d in dependents if not is_terminating(d)])
        self._without_finalizer(resource, item, "foregroundDeletion")
        return True

    def _without_finalizer(self, resource: Resource, item: Manifest, finalizer: str) -> None:
        def change(live: Stored) -> None:
            live["metadata"]["finalizers"] = [f for f in live["metadata"]["finalizers"] if f != finalizer]

        self.cluster.edit(resource, item["metadata"]["namespace"], item["metadata"]["name"], change, "collector")

    def _mounted(self, namespace: str, claim: str) -> bool:
        return any(
            volume.get("persistentVolumeClaim", {}).get("claimName") == claim
            for pod in self.cluster.shown(POD, namespace)
            if not is_ended(pod)
            for volume in pod["spec"].get("volumes", [])
        )

    # --- Jobs ---------------------------------------------------------------------------------------------------

    def _let_go(self, owner: Manifest, selector: Mapping[str, str]) -> None:
        """A controller lets go of pods that its selector does not match any more."""
        for pod in self._pods_of(owner):
            if not selector.items() <= labels_of(pod).items():
                self.cluster.edit(
                    POD,
                    pod["metadata"]["namespace"],
                    pod["metadata"]["name"],
                    lambda live: live["metadata"].pop("ownerReferences"),
                    "controller",
                )

    def _sync_job(self, job: Manifest) -> None:
        namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
        pods = self._pods_of(job)
        spec = job["spec"]
        if _has(job, "Failed") or _has(job, "Complete"):
            return
        if spec["suspend"]:
            for pod in pods:
                self.cluster.remove(POD, namespace, pod["metadata"]["name"], "Background")
            self._set_job(job, [("Suspended", "JobSuspended", "Job suspended")], pods)
            return
        failing = [pod for pod in pods if phase_of(pod) == "Failed"]
        if failing or _has(job, "FailureTarget"):
            self._fail_job(job, pods)
        elif len([pod for pod in pods if phase_of(pod) == "Succeeded"]) >= spec["completions"]:
            conditions = [("SuccessCriteriaMet", "CompletionsReached", ""), ("Complete", "CompletionsReached", "")]
            self._set_job(job, conditions, pods)
        else:
            self._start_missing(job, pods)
            self._set_job(job, [], self._pods_of(job))
        assert self.cluster.read(JOB, namespace, name) is not None

    def _fail_job(self, job: Manifest, pods: list[Manifest]) -> None:
        reason = "PodFailurePolicy" if job["spec"].get("podFailurePolicy") else "BackoffLimitExceeded"
        target = ("FailureTarget", reason, "Job has reached the specified backoff limit")
        for pod in pods:
            if not is_ended(pod) and not is_terminating(pod):
                self.cluster.remove(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], "Background")
        left = [pod for pod in self._pods_of(job) if not is_ended(pod)]
        self._set_job(job, [target] if left else [target, ("Failed", reason, target[2])], self._pods_of(job))

    def _start_missing(self, job: Manifest, pods: list[Manifest]) -> None:
        done = {labels_of(pod).get(INDEX) for pod in pods}
        template = job["spec"]["template"]
        for index in range(job["spec"]["completions"]):
            if str(index) not in done:
                name = f"{job['metadata']['name']}-{index}-{digest([uid_of(job), index, self._serial()], 5)}"
                labels = {**template["metadata"]["labels"], INDEX: str(index)}
                self._make_pod(JOB, job, name, labels, template["spec"])

    def _set_job(self, job: Manifest, conditions: list[tuple[str, str, str]], pods: list[Manifest]) -> None:
        def change(live: Stored) -> None:
            status = live.setdefault("status", {})
            status["active"] = sum(not is_ended(pod) and not is_terminating(pod) for pod in pods)
            status["terminating"] = sum(not is_ended(pod) and is_terminating(pod) for pod in pods)
            status["ready"] = sum(is_ready(pod) for pod in pods)
            status["succeeded"] = sum(phase_of(pod) == "Succeeded" for pod in pods)
            status["failed"] = sum(phase_of(pod) == "Failed" for pod in pods)
            status.setdefault("startTime", rfc3339(self.clock.now()))
            for type_, reason, message in conditions:
                self._condition(status, type_, "True", reason, message)

        self.cluster.edit(JOB, job["metadata"]["namespace"], job["metadata"]["name"], change, "job-controller")

    def _pods_of(self, owner: Manifest) -> list[Manifest]:
        return [pod for pod in self.cluster.shown(POD, owner["metadata"]["namespace"]) if _owned_by(pod, uid_of(owner))]

    # --- Deployments --------------------------------------------------------------------------------------------

    def _sync_deployment(self, deployment: Manifest) -> None:
        template, wanted = deployment["spec"]["template"], deployment["spec"]["replicas"]
        hashed = digest(template, 10)
        pods = [pod for pod in self._pods_of(deployment) if not is_ended(pod) and not is_terminating(pod)]
        present = [pod for pod in pods if labels_of(pod).get(POD_TEMPLATE_HASH) == hashed]
        for _ in range(wanted - len(present)):
            name = f"{deployment['metadata']['name']}-{digest([hashed, self._serial()], 5)}"
            labels = {**template["metadata"]["labels"], POD_TEMPLATE_HASH: hashed}
            self._make_pod(DEPLOYMENT, deployment, name, labels, template["spec"])
        surplus = sorted(present, key=lambda pod: (is_ready(pod), pod["metadata"]["name"]))[
            : max(0, len(present) - wanted)
        ]
        old = [pod for pod in pods if pod not in present]
        if sum(is_ready(pod) for pod in present) >= wanted:
            surplus += old
        for pod in surplus:
            self.cluster.remove(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], "Background")
        self._set_deployment(deployment, hashed)

    def _set_deployment(self, deployment: Manifest, hashed: str) -> None:
        pods = [pod for pod in self._pods_of(deployment) if not is_ended(pod) and not is_terminating(pod)]
        ready = sum(is_ready(pod) for pod in pods)

        def change(live: Stored) -> None:
            status = live.setdefault("status", {})
            status["observedGeneration"] = live["metadata"]["generation"]
            status["replicas"] = len(pods)
            status["updatedReplicas"] = sum(labels_of(pod).get(POD_TEMPLATE_HASH) == hashed for pod in pods)
            status["readyReplicas"] = status["availableReplicas"] = ready
            status["unavailableReplicas"] = max(0, live["spec"]["replicas"] - ready)
            enough = "True" if ready >= live["spec"]["replicas"] else "False"
            self._condition(status, "Available", enough, "MinimumReplicasAvailable", "")

        metadata = deployment["metadata"]
        self.cluster.edit(DEPLOYMENT, metadata["namespace"], metadata["name"], change, "deployment-controller")

    # --- LeaderWorkerSets ---------------------------------------------------------------------------------------

    def _sync_groups(self, found: Manifest) -> None:
        spec, name = found["spec"]["leaderWorkerTemplate"], found["metadata"]["name"]
        size, wanted = spec["size"], found["spec"]["replicas"]
        groups: dict[int, list[Manifest]] = {}
        for pod in self._pods_of(found):
            groups.setdefault(int(labels_of(pod)[GROUP_INDEX]), []).append(pod)
        for number in sorted({*groups, *range(wanted)}):
            pods = groups.get(number, [])
            if number >= wanted or any(is_ended(pod) or is_terminating(pod) for pod in pods):
                for pod in pods:
                    if not is_terminating(pod):
                        self.cluster.remove(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], "Background")
                continue
            for rank in range(len(pods), size):
                template = spec["workerTemplate"] if rank else spec["leaderTemplate"]
                labels = {**template["metadata"]["labels"], GROUP_INDEX: str(number), WORKER_INDEX: str(rank)}
                called = f"{name}-{number}" + (f"-{rank}" if rank else "")
                self._make_pod(LEADER_WORKER_SET, found, called, labels, template["spec"])
        self._set_groups(found, size)

    def _set_groups(self, found: Manifest, size: int) -> None:
        pods = [pod for pod in self._pods_of(found) if not is_ended(pod) and not is_terminating(pod)]
        leaders = [pod for pod in pods if labels_of(pod)[WORKER_INDEX] == "0"]
        numbers = [labels_of(pod)[GROUP_INDEX] for pod in pods if is_ready(pod)]
        ready = sum(numbers.count(labels_of(leader)[GROUP_INDEX]) == size for leader in leaders)

        def change(live: Stored) -> None:
            status = live.setdefault("status", {})
            status.update(replicas=len(leaders), readyReplicas=ready, updatedReplicas=len(leaders))

        metadata = found["metadata"]
        self.cluster.edit(LEADER_WORKER_SET, metadata["namespace"], metadata["name"], change, "lws-controller")

    # --- HPA and claims -----------------------------------------------------------------------------------------

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """What an HPA does to a serving: `spec.replicas` through the scale subresource."""

        def change(live: Stored) -> None:
            live["spec"]["replicas"] = replicas

        self.cluster.edit(SERVING, namespace, name, change, "horizontal-pod-autoscaler")

    def set_autoscaler(
        self, namespace: str, name: str, active: bool, desired: int, reason: str = "ValidMetricFound"
    ) -> None:
        """The HPA's status: ScalingActive and desiredReplicas."""

        def change(live: Stored) -> None:
            status = live.setdefault("status", {})
            status["desiredReplicas"] = desired
            self._condition(status, "ScalingActive", "True" if active else "False", reason, "")

        self.cluster.edit(AUTOSCALER, namespace, name, change, "hpa-controller")

    def bind_claim(self, namespace: str, name: str) -> None:
        """The provisioner binds the claim."""

        def change(live: Stored) -> None:
            live["status"] = {"phase": "Bound", "accessModes": live["spec"].get("accessModes", [])}
            live["spec"]["volumeName"] = f"pv-{uid_of(live)[:8]}"

        self.cluster.edit(CLAIM, namespace, name, change, "provisioner")

    # --- kubelet and scheduler ----------------------------------------------------------------------------------

    def schedule(self, pod: Manifest, node: str = "node-1") -> None:
        """The scheduler binds the pod."""

        def change(live: Stored) -> None:
            live["spec"]["nodeName"] = node
            self._condition(live["status"], "PodScheduled", "True", "", "")

        self.kubelet(pod, change, "scheduler")

    def unschedulable(
        self, pod: Manifest, message: str = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    ) -> None:
        """The scheduler finds no place."""
        self.kubelet(
            pod,
            lambda live: self._condition(live["status"], "PodScheduled", "False", "Unschedulable", message),
            "scheduler",
        )

    def run(self, pod: Manifest, ready: bool = True) -> None:
        """The pod is bound if it was not, its containers run; `ready` by its probe."""
        if not pod["spec"].get("nodeName"):
            self.schedule(pod)
        now = rfc3339(self.clock.now())

        def change(live: Stored) -> None:
            status = live["status"]
            status.update(phase="Running", podIP=_ip(live), hostIP="192.0.2.1")
            status.setdefault("startTime", now)
            status["containerStatuses"] = [
                {"name": c["name"], "ready": ready, "restartCount": 0, "state": {"running": {"startedAt": now}}}
                for c in live["spec"]["containers"]
            ]
            self._condition(status, "Ready", "True" if ready else "False", "" if ready else "ContainersNotReady", "")

        self.kubelet(pod, change)

    def end(self, pod: Manifest, exit_code: int, message: str = "", reason: str | None = None) -> None:
        """Every container ends with that code; `message` is the termination message."""
        word = reason or ("Completed" if exit_code == 0 else "Error")
        now = rfc3339(self.clock.now())

        def change(live: Stored) -> None:
            status = live["status"]
            status["phase"] = "Succeeded" if exit_code == 0 else "Failed"
            ended = {"exitCode": exit_code, "reason": word, "message": message, "finishedAt": now}
            status["containerStatuses"] = [
                {"name": c["name"], "ready": False, "restartCount": 0, "state": {"terminated": ended}}
                for c in live["spec"]["containers"]
            ]
            self._condition(status, "Ready", "False", "PodCompleted" if exit_code == 0 else "PodFailed", "")

        self.kubelet(pod, change)

    def evict(self, pod: Manifest, reason: str = "EvictionByEvictionAPI") -> None:
        """Somebody else disrupts the pod: DisruptionTarget, and it terminates."""
        if pod["status"].get("phase") != "Failed":
            self.kubelet(pod, lambda live: self._condition(live["status"], "DisruptionTarget", "True", reason, ""))
        self.cluster.remove(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], "Background")

    def waiting(self, pod: Manifest, reason: str, message: str = "") -> None:
        """A container can't start: ImagePullBackOff, CreateContainerConfigError, CrashLoopBackOff."""

        def change(live: Stored) -> None:
            live["status"]["containerStatuses"] = [
                {
                    "name": c["name"],
                    "ready": False,
                    "restartCount": 0,
                    "state": {"waiting": {"reason": reason, "message": message}},
                }
                for c in live["spec"]["containers"]
            ]

        self.kubelet(pod, change)

    def reap(self, pod: Manifest) -> None:
        """The kubelet confirms the end of a terminating pod: the object goes."""
        self.cluster.drop(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])

    def reap_all(self) -> None:
        """Every terminating pod goes."""
        for pod in self.cluster.shown(POD):
            if is_terminating(pod):
                self.reap(pod)

    def kubelet(self, pod: Manifest, change: Callable[[Stored], None], manager: str = "kubelet") -> None:
        """Any other change to a pod; nothing if it is gone."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        live = self.cluster.read(POD, namespace, name)
        if live is not None and uid_of(live) == uid_of(pod):
            self.cluster.edit(POD, namespace, name, change, manager)

    def _make_pod(
        self, resource: Resource, owner: Manifest, name: str, labels: Mapping[str, str], spec: Mapping[str, Any]
    ) -> None:
        reference = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "name": owner["metadata"]["name"],
            "uid": uid_of(owner),
            "controller": True,
        }
        namespace = owner["metadata"]["namespace"]
        metadata = {"name": name, "namespace": namespace, "labels": dict(labels), "ownerReferences": [reference]}
        if resource == JOB:
            metadata["finalizers"] = [TRACKING]
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(spec)}
        self.cluster.put(manifest, f"{resource.kind.lower()}-controller")
        self.cluster.edit(POD, namespace, name, lambda live: live.update(status={"phase": "Pending"}), "kubelet")

    def _serial(self) -> int:
        return len(self.cluster.shown(POD)) + int(self.cluster.version)

    def _condition(self, status: dict[str, Any], type_: str, value: str, reason: str, message: str) -> None:
        before = {condition["type"]: condition for condition in status.get("conditions", [])}
        old = before.get(type_)
        since = old["lastTransitionTime"] if old and old["status"] == value else rfc3339(self.clock.now())
        before[type_] = {
            "type": type_,
            "status": value,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        }
        status["conditions"] = list(before.values())


def phase_of(pod: Manifest) -> str:
    """The pod's phase; empty before a kubelet saw it."""
    return str(pod.get("status", {}).get("phase", ""))


def is_ended(pod: Manifest) -> bool:
    """No container of the pod runs any more."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_ready(pod: Manifest) -> bool:
    """The pod's Ready condition."""
    return not is_terminating(pod) and _has(pod, "Ready")


def _has(item: Manifest, type_: str) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(condition["type"] == type_ and condition["status"] == "True" for condition in conditions)


def _never_ran(pod: Manifest) -> bool:
    return is_terminating(pod) and not pod["spec"].get("nodeName")


def _owned_by(item: Manifest, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", []))


def _ip(pod: Manifest) -> str:
    serial = int(uid_of(pod)[:8], 16)
    return f"10.244.{serial // 250 % 250}.{serial % 250 + 1}"
