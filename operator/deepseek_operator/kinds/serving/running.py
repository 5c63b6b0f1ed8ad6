"""What runs of each revision: its group of replicas, the pods that hold what they were given, and when one is given up."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import POD, Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.kinds.serving.labels import is_worker, revision_named, revision_of
from deepseek_operator.kinds.serving.names import is_of_a_cache, serving_revision
from deepseek_operator.kinds.serving.revision import template_of
from deepseek_operator.workloads.pod.reach import asked
from deepseek_operator.workloads.replicas.group import Group, group_named, groups

UNANSWERED = timedelta(seconds=120)
"""A pod that is still there so long after its grace period is on a node that does not answer, and may stay for ever. It
is not waited for: if its node holds devices yet, the scheduler places no other pod on them."""


def group(seen: Seen[DeepSeekServing], revision: str) -> Group | None:
    """The living group of a revision's replicas; None when there is none, or it is on its way out."""
    live = group_named(seen, serving_revision(seen.owner.metadata.name, revision))
    return live if live is not None and not live.is_going else None


def replica_groups(seen: Seen[DeepSeekServing]) -> tuple[Group, ...]:
    """All groups of replicas, those that are going included, by name; a cache is none."""
    return tuple(group for group in groups(seen) if not is_of_a_cache(seen.owner.metadata.name, group.name))


def living_pods(seen: Seen[DeepSeekServing]) -> tuple[Manifest, ...]:
    """Replicas' pods that hold what they were given, workers among them: those that are ending included; those that ended,
    or never will, left out. The pod of a Job is no replica, whatever it is labelled."""
    replicas = (pod for pod in seen.all(POD) if not job_uid_of(pod))
    pods = (pod for pod in replicas if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"))
    return tuple(pod for pod in pods if (over := _given_up(pod)) is None or seen.now < over)


def answering_pods(pods: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """One of the pods of each replica: the one that answers."""
    return tuple(pod for pod in pods if not is_worker(pod))


def ending_left(pods: Sequence[Manifest], now: datetime) -> timedelta | None:
    """Time until the next of the living pods that are ending is given up; None when none is ending."""
    return min((over - now for pod in pods if (over := _given_up(pod)) is not None), default=None)


def _given_up(pod: Manifest) -> datetime | None:
    """When a pod that is ending is not waited for any longer; None when it is not ending."""
    deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
    return deadline + UNANSWERED if deadline is not None else None


def running_revisions(
    seen: Seen[DeepSeekServing], pods: Sequence[Manifest], ages: Mapping[str, int]
) -> dict[str, Replicas]:
    """What runs of every revision that has a group or one of the living `pods`, of which each answers for a replica, oldest
    first by `ages`."""
    names = {*(revision_named(group.manifest) for group in replica_groups(seen)), *map(revision_of, pods)} - {""}
    return {name: _replicas(seen, pods, name) for name in sorted(names, key=lambda name: (ages.get(name, 0), name))}


def _replicas(seen: Seen[DeepSeekServing], pods: Sequence[Manifest], revision: str) -> Replicas:
    count = sum(revision_of(pod) == revision for pod in pods)
    live = group(seen, revision)
    return live.counted(count) if live is not None else Replicas(specified=0, total=count, ready=0)


def reach_of_resting(seen: Seen[DeepSeekServing], revision: str) -> tuple[str, ...]:
    """What pods of a revision would ask of their nodes; nothing where it asks nothing, or some were asked for already."""
    live, template = group(seen, revision), template_of(seen, revision)
    runs = live is not None and live.specified > 0
    return () if runs or template is None else asked(template)
