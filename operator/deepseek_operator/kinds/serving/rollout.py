"""Which revision is the target, what runs of each, and the next step between them.

A revision is the target once nothing stands in its way; until then what runs goes on running, scaled as before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.names import serving_revision
from deepseek_operator.core.resources import CLAIM, DEPLOYMENT, POD, Manifest, Ref, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import Replicas, next_step
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.gate import running_replicas
from deepseek_operator.kinds.serving.labels import revision_named, revision_of
from deepseek_operator.kinds.serving.model import Unresolved, resolve
from deepseek_operator.kinds.serving.revision import numbers, revision_name, template_of
from deepseek_operator.workloads.pod.reach import asked
from deepseek_operator.workloads.reasons import HOST_ACCESS_NOT_ALLOWED

UNANSWERED = timedelta(seconds=120)
"""A pod that is still there so long after its grace period is on a node that does not answer, and may stay for ever. It
is not waited for: if its node holds devices yet, the scheduler places no other pod on them."""


@dataclass(frozen=True)
class Target:
    """The revision to run.

    Attributes:
        revision: its name; None when nothing can run yet.
        model: what it serves; None when it is an older revision that runs on in place of one that can't start.
        obstacle: why the revision that the spec asks for can't start; None when it can.
    """

    revision: str | None
    model: ResolvedModel | None = None
    obstacle: Unresolved | None = None


def target(seen: Seen[DeepSeekServing]) -> Target:
    """The revision that the spec asks for, or the one that runs meanwhile."""
    resolution = resolve(seen)
    if isinstance(resolution, Unresolved):
        return Target(_runs_meanwhile(seen), obstacle=resolution)
    devices = seen.owner.status.plan
    if devices is not None and devices.refused:
        meanwhile = _runs_meanwhile(seen)
        if devices.refused == HOST_ACCESS_NOT_ALLOWED and meanwhile is not None and reach_of_resting(seen, meanwhile):
            meanwhile = None
        return Target(meanwhile, obstacle=Unresolved(reasons.of_plan(devices.refused), devices.reason, final=True))
    name = revision_name(seen.owner, resolution)
    if Ref(CLAIM, resolution.claim_name) in seen.references or deployment(seen, name) is not None:
        return Target(name, resolution)
    missing = f"there is no PersistentVolumeClaim {resolution.claim_name} in this namespace"
    return Target(_runs_meanwhile(seen), obstacle=Unresolved(reasons.CLAIM_NOT_FOUND, missing))


def _runs_meanwhile(seen: Seen[DeepSeekServing]) -> str | None:
    """The revision recorded as current, else the newest one that runs."""
    current = seen.owner.status.current
    if current is not None and template_of(seen, current.name) is not None:
        return current.name
    running = list(running_revisions(seen))
    return running[-1] if running else None


def reach_of_resting(seen: Seen[DeepSeekServing], revision: str) -> tuple[str, ...]:
    """What pods of a revision would ask of their nodes; nothing where it asks nothing, or some were asked for already."""
    live, template = deployment(seen, revision), template_of(seen, revision)
    runs = live is not None and live["spec"].get("replicas", 1) > 0
    return () if runs or template is None else asked(template)


def deployment(seen: Seen[DeepSeekServing], revision: str) -> Manifest | None:
    """The living Deployment of a revision; None when there is none, or it is on its way out."""
    live = seen.child(DEPLOYMENT, serving_revision(seen.owner.metadata.name, revision))
    return live if live is not None and not is_terminating(live) else None


def running_revisions(seen: Seen[DeepSeekServing]) -> dict[str, Replicas]:
    """What runs of every revision that has a Deployment or a pod, oldest first."""
    ages = numbers(seen)
    names = {*map(revision_named, seen.all(DEPLOYMENT)), *map(revision_of, living_pods(seen))} - {""}
    return {name: _replicas(seen, name) for name in sorted(names, key=lambda name: (ages.get(name, 0), name))}


def living_pods(seen: Seen[DeepSeekServing]) -> tuple[Manifest, ...]:
    """Pods that hold what they were given: those that are ending included; those that ended, or never will, left out."""
    pods = (pod for pod in seen.all(POD) if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"))
    return tuple(pod for pod in pods if (over := _given_up(pod)) is None or seen.now < over)


def ending_left(seen: Seen[DeepSeekServing]) -> timedelta | None:
    """Time until the next of the pods that are ending is given up; None when none is ending."""
    return min((over - seen.now for pod in living_pods(seen) if (over := _given_up(pod)) is not None), default=None)


def _given_up(pod: Manifest) -> datetime | None:
    """When a pod that is ending is not waited for any longer; None when it is not ending."""
    deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
    return deadline + UNANSWERED if deadline is not None else None


def _replicas(seen: Seen[DeepSeekServing], revision: str) -> Replicas:
    pods = sum(revision_of(pod) == revision for pod in living_pods(seen))
    live = deployment(seen, revision)
    if live is None:
        return Replicas(specified=0, total=pods, ready=0)
    status = live.get("status") or {}
    return Replicas(
        specified=live["spec"].get("replicas", 1),
        total=max(pods, status.get("replicas", 0)),
        ready=status.get("readyReplicas", 0),
    )


def wanted_replicas(seen: Seen[DeepSeekServing]) -> int:
    """Replicas that shall run in the end: none while suspended."""
    return 0 if seen.owner.spec.suspend else running_replicas(seen)


def step(seen: Seen[DeepSeekServing], revision: str) -> Mapping[str, int]:
    """Replicas to specify for every revision now, `revision` being the target."""
    return next_step(seen.owner.spec.rollout.strategy, wanted_replicas(seen), revision, running_revisions(seen))


def spent(seen: Seen[DeepSeekServing], revision: str) -> frozenset[str]:
    """Revisions other than `revision` that have nothing left: no replica specified, no pod."""
    running = running_revisions(seen)
    return frozenset(n for n, r in running.items() if n != revision and r.specified == 0 and r.total == 0)
