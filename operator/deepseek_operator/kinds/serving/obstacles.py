"""Why replicas are missing, as the cluster itself says it: the scheduler, a quota, the kubelet.

Messages are quoted, because they name what is missing better than we could.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core import obstacles
from deepseek_operator.core.obstacles import condition_of, refused, unplaced, unstarted
from deepseek_operator.core.resources import CLAIM, DEPLOYMENT, Manifest, Ref, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.rollout import living_pods

_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_FAILING_REASONS = frozenset({"CrashLoopBackOff", "RunContainerError"})
REPEATED = 2
"""Restarts from which on an engine that is loading is said to fail: one may be a node's that was started anew."""


@dataclass(frozen=True)
class Obstacle:
    """One cause, in the cluster's words."""

    reason: Reason
    message: str


def obstacle(seen: Seen[DeepSeekServing]) -> Obstacle | None:
    """What keeps replicas from running; the one to solve first. None when they are merely on their way."""
    pods = _staying(seen)
    common = [*_refused_pods(seen), *unstarted(pods)]
    found = [*_named(common), *_failing_pods(seen), *_named(unplaced(pods)), *_unmounted_pods(seen)]
    return found[0] if found else None


def _named(found: Iterable[obstacles.Obstacle]) -> Iterator[Obstacle]:
    for one in found:
        yield Obstacle(reasons.BY_NAME[one.reason], one.message)


def _refused_pods(seen: Seen[DeepSeekServing]) -> Iterator[obstacles.Obstacle]:
    for deployment in seen.all(DEPLOYMENT):
        failure = condition_of(deployment, "ReplicaFailure")
        if failure.get("status") == "True":
            yield refused(str(failure.get("message", "")))


def _failing_pods(seen: Seen[DeepSeekServing]) -> Iterator[Obstacle]:
    for pod in _staying(seen):
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _FAILING_REASONS:
                yield Obstacle(reasons.ENGINE_FAILING, _told(container, waiting["reason"]))
            elif container.get("started") is False and container.get("restartCount", 0) >= REPEATED:
                yield Obstacle(reasons.ENGINE_FAILING, _told(container, "it starts again"))


def _told(container: Mapping[str, Any], why: str) -> str:
    """The kubelet's reason, and how the engine ended last; its numbers of seconds change and are left out."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    how = f", {ended.get('reason', 'ended')} with exit code {ended['exitCode']}" if "exitCode" in ended else ""
    said = str(ended.get("message") or "").strip()
    return f"{why}{how}{': ' + said if said else ''}"


def _unmounted_pods(seen: Seen[DeepSeekServing]) -> Iterator[Obstacle]:
    """Pods that wait for a volume which one node may mount, and another node has. Their sandbox is made once it is
    mounted; the kubelet tells why it is not in events only."""
    resolved = seen.owner.status.resolved
    claim = seen.references.get(Ref(CLAIM, resolved.claim_name)) if resolved is not None else None
    if claim is None or _SHARED.intersection((claim.get("spec") or {}).get("accessModes") or ()):
        return
    nodes = {_node(pod) for pod in _staying(seen) if condition_of(pod, "Ready").get("status") == "True"}
    for pod in _staying(seen):
        if (
            nodes
            and _node(pod) not in nodes
            and condition_of(pod, "PodReadyToStartContainers").get("status") == "False"
        ):
            others = ", ".join(sorted(nodes))
            message = (
                f"a replica on {_node(pod)} waits for claim {claim['metadata']['name']}, which is mounted on {others}"
            )
            yield Obstacle(reasons.CLAIM_NOT_SHARED, message)


def _node(pod: Manifest) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _staying(seen: Seen[DeepSeekServing]) -> tuple[Manifest, ...]:
    return tuple(pod for pod in living_pods(seen) if not is_terminating(pod))
