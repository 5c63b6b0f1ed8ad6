"""Where a serving is between its revisions: which one is the target, what runs of it and of older ones, the next step.

A revision is the target once nothing stands in its way; until then what runs goes on running, scaled as before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, Manifest, Ref, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.canary import Run, replicas_of, restored
from deepseek_operator.domain.policy.rollout import NONE, Replicas, next_step
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.devices import nodes_of
from deepseek_operator.kinds.serving.labels import revision_of
from deepseek_operator.kinds.serving.model import Resolution, Unresolved, claims_of, is_shared
from deepseek_operator.kinds.serving.revision import pods_of, template_of
from deepseek_operator.kinds.serving.rollback import obstacle_of
from deepseek_operator.kinds.serving.running import group, reach_of_resting
from deepseek_operator.kinds.serving.sources import wanted_sources
from deepseek_operator.workloads.reasons import HOST_ACCESS_NOT_ALLOWED
from deepseek_operator.workloads.replicas.group import keeper_for


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


@dataclass(frozen=True)
class Rollout:
    """The way from the revisions that run to the target.

    Attributes:
        stable: the revision that was fully rolled out last; empty before the first.
        target: the revision to run.
        current: what runs of the target.
        older: what runs of every other revision, oldest first.
        step: replicas to specify for each revision now; empty while there is no target.
        is_complete: only the target runs, as many replicas as wanted, and all serve.
    """

    stable: str
    target: Target
    current: Replicas
    older: Mapping[str, Replicas]
    step: Mapping[str, int]
    is_complete: bool

    @property
    def spent(self) -> frozenset[str]:
        """Older revisions that have nothing left: no replica specified, no pod."""
        return frozenset(name for name, r in self.older.items() if (r.specified, r.total) == (0, 0))


def rollout(
    owner: DeepSeekServing, goal: Target, running: Mapping[str, Replicas], wanted: int, pods: Sequence[Manifest]
) -> Rollout:
    """The way on.

    Args:
        running: what runs, by revision, oldest first.
        wanted: replicas that shall run in the end, none while suspended.
        pods: the living ones, of all revisions.
    """
    name = goal.revision
    older = {other: replicas for other, replicas in running.items() if other != name}
    current = running.get(name, NONE) if name is not None else NONE
    ending = sum(revision_of(pod) == name and is_terminating(pod) for pod in pods)
    is_complete = name is not None and _is_complete(current, older.values(), wanted, ending)
    before = owner.status.stable
    return Rollout(
        stable=name if name and is_complete and not owner.spec.suspend else before,
        target=goal,
        current=current,
        older=older,
        step=next_step(owner.spec.rollout.strategy, wanted, name, running) if name is not None else {},
        is_complete=is_complete,
    )


def rollout_of_run(
    owner: DeepSeekServing,
    run: Run,
    goal: Target,
    running: Mapping[str, Replicas],
    wanted: int,
    pods: Sequence[Manifest],
) -> Rollout:
    """The way on during a canary run, and after one that was rolled back: to its stable revision.

    `goal`: what the spec asks for, with what stands in its way.
    """
    if not run.is_open:
        way = rollout(owner, Target(run.stable, obstacle=goal.obstacle), running, wanted, pods)
        return replace(way, step=restored(wanted, run.stable, running))
    model = goal.model if goal.revision == run.target else None
    way = rollout(owner, Target(run.target, model, goal.obstacle), running, wanted, pods)
    step = replicas_of(run, wanted, running)
    return replace(way, stable=run.stable, step=step, is_complete=False)


def _is_complete(current: Replicas, older: Iterable[Replicas], wanted: int, ending: int) -> bool:
    """Those that are ending are no replicas any more."""
    stay = current.total - min(ending, max(current.total - wanted, 0))
    alone = all((replicas.specified, replicas.total) == (0, 0) for replicas in older)
    return alone and current.specified == stay == current.serving == wanted


def target(seen: Seen[DeepSeekServing], resolution: Resolution, asked: str, running: dict[str, Replicas]) -> Target:
    """The revision that the spec asks for, or the one that runs meanwhile. `asked`: its name, once it is resolved."""
    devices = seen.owner.status.plan
    # What only an edit cures is told before what merely is not there yet.
    if devices is not None and devices.refused and not (isinstance(resolution, Unresolved) and resolution.final):
        meanwhile = _runs_meanwhile(seen, running)
        if devices.refused == HOST_ACCESS_NOT_ALLOWED and meanwhile is not None and reach_of_resting(seen, meanwhile):
            meanwhile = None
        return Target(meanwhile, obstacle=Unresolved(reasons.of_plan(devices.refused), devices.reason, final=True))
    if (found := unkept(seen, asked, resolution, nodes_of(seen.owner))) is not None:
        return Target(_runs_meanwhile(seen, running), obstacle=found)
    if isinstance(resolution, Unresolved):
        return Target(_runs_meanwhile(seen, running), obstacle=resolution)
    absent = [name for name in claims_of(resolution) if Ref(CLAIM, name) not in seen.references]
    if not absent or group(seen, asked) is not None:
        return Target(asked, resolution)
    missing = f"there is no PersistentVolumeClaim {absent[0]} in this namespace"
    return Target(_runs_meanwhile(seen, running), obstacle=Unresolved(reasons.WAITING_FOR_CLAIM, missing))


def unkept(seen: Seen[DeepSeekServing], asked: str, resolution: Resolution, planned: int) -> Unresolved | None:
    """Why replicas over several nodes can't be: nothing here keeps them, or a claim is for one node alone. None of others.

    Of what is fetched that is known before it is there. `planned`: pods of one replica of a revision that is not stored yet.
    """
    if isinstance(resolution, Unresolved):
        names = () if resolution.final else tuple(one.source.claim for one in wanted_sources(seen.owner))
        if not names:
            return None
    else:
        names = claims_of(resolution)
    pods = pods_of(seen, asked)
    nodes = pods.nodes if pods is not None else planned
    if nodes == 1:
        return None
    if (why := seen.unserved.get(keeper_for(nodes).resource)) is not None:
        told = f"a replica has {nodes} pods, which a LeaderWorkerSet keeps together: {why}"
        return Unresolved(reasons.WAITING_FOR_API, told)
    claims = [seen.references.get(Ref(CLAIM, name)) for name in names]
    if (claim := next((claim for claim in claims if claim is not None and not is_shared(claim)), None)) is None:
        return None
    told = f"claim {claim['metadata']['name']} may be mounted by one node, and a replica has pods on {nodes}"
    return Unresolved(reasons.CLAIM_NOT_SHARED, told, final=True)


def target_of_rollback(
    seen: Seen[DeepSeekServing], revision: str, running: dict[str, Replicas], configuration: Configuration
) -> Target:
    """A kept revision that an annotation names, or what runs meanwhile where that can't start."""
    if (obstacle := obstacle_of(seen, revision, configuration)) is not None:
        meanwhile = _runs_meanwhile(seen, running)
        return Target(meanwhile if meanwhile != revision else None, obstacle=obstacle)
    return Target(revision)


def _runs_meanwhile(seen: Seen[DeepSeekServing], running: dict[str, Replicas]) -> str | None:
    """The revision recorded as current, else the newest one that runs."""
    current = seen.owner.status.current
    if current is not None and template_of(seen, current.name) is not None:
        return current.name
    return next(reversed(running), None)
