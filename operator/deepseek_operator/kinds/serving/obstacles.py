"""Why replicas of the wanted revision are missing, as the cluster itself says it: the scheduler, a quota, the kubelet.

Messages are quoted, because they name what is missing better than we could. Replicas of other revisions are no reason:
they go, or serve meanwhile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.resources import CLAIM, Manifest, Ref, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.failing import failure, in_users_words, is_invalid, is_overdue
from deepseek_operator.kinds.serving.labels import revision_of
from deepseek_operator.kinds.serving.model import is_shared
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.revision import pods_of
from deepseek_operator.kinds.serving.running import group
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads import obstacles
from deepseek_operator.workloads.obstacles import condition_of, uninitialized, unplaced, unstarted
from deepseek_operator.workloads.reasons import REJECTED
from deepseek_operator.workloads.replicas.leader_worker_set import group_of

_NO_FOLDER = "failed to prepare subPath"
_NO_IMAGE = "InvalidImageName"


@dataclass(frozen=True)
class Obstacle:
    """One cause, in the cluster's words. `final`: a person must edit this object."""

    reason: Reason
    message: str
    final: bool = False


def obstacle(view: View, revision: str, model: ResolvedModel | None) -> Obstacle | None:
    """What keeps replicas of the revision from running; the one to solve first. None when they are on their way.

    `model`: what the revision serves; None where that is not known.
    """
    staying = tuple(pod for pod in view.all_pods if not is_terminating(pod))
    pods = tuple(pod for pod in staying if revision_of(pod) == revision)
    found = (
        *_refused_pods(view.seen, revision),
        *(found for pod in pods for found in _failing(pod, model, is_overdue(view.seen, pod, revision))),
        *(replace(one, message=in_users_words(one.message, model)) for one in _named(uninitialized(pods))),
        *_named(_unplaced(view.seen, pods, revision)),
        *_unmounted_pods(view.seen, pods, staying),
    )
    return found[0] if found else None


def _named(found: Iterable[obstacles.Obstacle]) -> Iterator[Obstacle]:
    for one in found:
        yield Obstacle(reasons.BY_NAME[one.reason], one.message)


def _unplaced(seen: Seen[DeepSeekServing], pods: tuple[Manifest, ...], revision: str) -> Iterator[obstacles.Obstacle]:
    """What pods wait for that have no node. Of a replica of several, how far it has come is told: it starts as one."""
    kept = pods_of(seen, revision)
    if kept is None or kept.nodes == 1:
        yield from unplaced(pods)
        return
    for number, found_of in groupby(sorted(pods, key=group_of), key=group_of):
        replica = tuple(found_of)
        placed = sum(bool(_node(pod)) for pod in replica)
        for found in unplaced(replica):
            told = f"replica {number} has a node for {placed} of its {kept.nodes} pods, which start together: {found.message}"
            yield replace(found, message=told)


def _refused_pods(seen: Seen[DeepSeekServing], revision: str) -> Iterator[Obstacle]:
    live = group(seen, revision)
    if live is not None and (found := live.refused) is not None:
        yield Obstacle(reasons.BY_NAME[found.reason], found.message, final=found.reason == REJECTED)


def _failing(pod: Manifest, model: ResolvedModel | None, is_late: bool) -> Iterator[Obstacle]:
    """What the kubelet can't start, and an engine that ends, or does not answer in time."""
    for found in _named(unstarted([pod])):
        if _NO_FOLDER in found.message and model is not None:
            yield Obstacle(reasons.MODEL_NOT_FOUND, _no_folder(model))
        else:
            is_final = found.message.startswith(_NO_IMAGE) or (is_late and found.reason == reasons.IMAGE_PULL_FAILED)
            yield Obstacle(found.reason, found.message, is_final)
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if (words := failure(container, model)) is not None:
            yield Obstacle(reasons.ENGINE_FAILING, words, final=is_late or is_invalid(container))
        elif is_late and container.get("started") is False and "running" in (container.get("state") or {}):
            yield Obstacle(reasons.ENGINE_FAILING, "the engine runs and does not get ready", final=True)


def _no_folder(model: ResolvedModel) -> str:
    mounted = (model, *(model.adapters or ()))
    told = (f"claim {one.claim_name} has no folder {one.sub_path} ({one.folder})" for one in mounted if one.sub_path)
    return f"{', or '.join(told)}, and is mounted read-only"


def _unmounted_pods(
    seen: Seen[DeepSeekServing], pods: tuple[Manifest, ...], staying: tuple[Manifest, ...]
) -> Iterator[Obstacle]:
    """Those of `pods` that wait for a volume which one node may mount, and another node has. Their sandbox is made once
    it is mounted; the kubelet tells why it is not in events only."""
    resolved = seen.owner.status.resolved
    claim = seen.references.get(Ref(CLAIM, resolved.claim_name)) if resolved is not None else None
    if claim is None or is_shared(claim):
        return
    nodes = {_node(pod) for pod in staying if condition_of(pod, "Ready").get("status") == "True"}
    for pod in pods:
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
