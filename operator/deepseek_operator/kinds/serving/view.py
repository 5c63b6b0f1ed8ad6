"""One pass over one serving: what was seen, and each fact that follows from it, derived once. Plan and status read it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.rollout import HeaderMatch
from deepseek_operator.api.v1alpha1.serving.scaling import Bounds
from deepseek_operator.api.v1alpha1.serving.spec import ServingSpec
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.configuration import Configuration, GateAddress
from deepseek_operator.core.resources import (
    CONFIG_MAP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    SECURITY_POLICY,
    Manifest,
    Ref,
    is_terminating,
)
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.canary import Run, advance
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.domain.policy.zero import Phase, State
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.answering import Answering, answering
from deepseek_operator.kinds.serving.authorization import is_accepted, names_told
from deepseek_operator.kinds.serving.baking import Baking, baking
from deepseek_operator.kinds.serving.cache import is_ready, names_of
from deepseek_operator.kinds.serving.called import recorded_names
from deepseek_operator.kinds.serving.canary import drift, facts, header_of, is_rejected, run_of
from deepseek_operator.kinds.serving.comparing import Comparison, comparison
from deepseek_operator.kinds.serving.devices import nodes_of
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.gate import running_replicas
from deepseek_operator.kinds.serving.keyed import key_of
from deepseek_operator.kinds.serving.matched import is_matched
from deepseek_operator.kinds.serving.model import Resolution, Unresolved, resolve
from deepseek_operator.kinds.serving.names import serving_grpc, serving_service
from deepseek_operator.kinds.serving.record import wanted_plan
from deepseek_operator.kinds.serving.revision import (
    numbers,
    pods_of,
    record_of,
    revision_name,
    stored_revisions,
    template_of,
)
from deepseek_operator.kinds.serving.rivals import Rivals, rivals
from deepseek_operator.kinds.serving.rollback import rejected, rolled_back
from deepseek_operator.kinds.serving.rollback import verdict as rollback_verdict
from deepseek_operator.kinds.serving.rollout import (
    Rollout,
    Target,
    rollout,
    rollout_of_run,
    target,
    target_of_rollback,
    unkept,
)
from deepseek_operator.kinds.serving.routed import unrouted
from deepseek_operator.kinds.serving.routes import foreign_controller, gateway_of, is_settled, leads, reached
from deepseek_operator.kinds.serving.running import answering_pods, living_pods, running_revisions
from deepseek_operator.kinds.serving.scaling import Scaling, scaling_of
from deepseek_operator.kinds.serving.sleep import runs_alone, slept
from deepseek_operator.kinds.serving.sources import fetches
from deepseek_operator.kinds.serving.taken import taken
from deepseek_operator.kinds.serving.traffic import canary_shares, held, others_of, shares
from deepseek_operator.kinds.serving.update import update_of
from deepseek_operator.workloads.batch.fetch import Fetching, unallowed


@dataclass(frozen=True)
class View:
    """The serving as seen now. Pure: everything below is read off `seen`, and nothing is derived twice."""

    seen: Seen[DeepSeekServing]
    fresh: Fresh

    @property
    def configuration(self) -> Configuration:
        return self.fresh.configuration

    @property
    def owner(self) -> DeepSeekServing:
        return self.seen.owner

    @property
    def spec(self) -> ServingSpec:
        return self.seen.owner.spec

    @property
    def status(self) -> ServingStatus:
        """What was last written."""
        return self.seen.owner.status

    @property
    def now(self) -> datetime:
        return self.seen.now

    @cached_property
    def resolution(self) -> Resolution:
        """The folder that the spec refers to, or why there is none yet."""
        return resolve(self.seen, self.configuration.web)

    @cached_property
    def fetches(self) -> tuple[Fetching, ...]:
        """The sources that are fetched to a claim, or were; none is begun for what is refused."""
        if not self.is_refused:
            return self._found
        recorded = {one.reference for one in self.status.sources}
        return tuple(replace(one, is_held=True) for one in self._found if one.wanted.reference in recorded)

    @cached_property
    def _found(self) -> tuple[Fetching, ...]:
        """The same, whether what they are for is refused or not."""
        return fetches(self.seen)

    @property
    def is_refused(self) -> bool:
        """What the spec asks for can't be served, whatever is fetched for it."""
        said = self.resolution
        is_unsupported = isinstance(said, Unresolved) and said.reason == reasons.UNSUPPORTED
        does_not_fit = self.devices is not None and bool(self.devices.refused)
        if is_unsupported or does_not_fit or unallowed(self._found, self.configuration.web):
            return True
        planned = (self.devices.nodes or 1) if self.devices is not None else nodes_of(self.owner)
        return unkept(self.seen, self.asked, said, planned) is not None

    @cached_property
    def asked(self) -> str:
        """The name of the revision that the spec asks for; empty while its model is not resolved."""
        return revision_name(self.owner, self.resolution) if isinstance(self.resolution, ResolvedModel) else ""

    @cached_property
    def stored(self) -> tuple[Manifest, ...]:
        """The ControllerRevisions, oldest first."""
        return stored_revisions(self.seen)

    @cached_property
    def ages(self) -> Mapping[str, int]:
        """The number of each stored revision: a higher one was made later."""
        return numbers(self.stored)

    @cached_property
    def all_pods(self) -> tuple[Manifest, ...]:
        """Pods that hold what they were given, of all revisions, those that others answer for among them."""
        return living_pods(self.seen)

    @cached_property
    def pods(self) -> tuple[Manifest, ...]:
        """Of these, one for each replica."""
        return answering_pods(self.all_pods)

    @cached_property
    def running(self) -> dict[str, Replicas]:
        """What runs of every revision that has a Deployment or a pod, oldest first."""
        return running_revisions(self.seen, self.pods, self.ages)

    @cached_property
    def scaling(self) -> Scaling:
        """What our autoscaler is and says."""
        return scaling_of(self.seen, self.configuration, self.bounds)

    @cached_property
    def bounds(self) -> Bounds | None:
        """Within which the autoscaler's replicas come and go now; None without autoscaling."""
        autoscaling = self.spec.autoscaling
        return autoscaling.bounds(self.now) if autoscaling is not None else None

    @cached_property
    def replicas(self) -> int:
        """Replicas that may run now, suspension aside."""
        return running_replicas(self.seen, self.bounds, self.scaling.heeded, self.scaling.window_left)

    @property
    def wanted(self) -> int:
        """Replicas that shall run in the end: none while suspended or asleep."""
        return 0 if self.spec.suspend or self.is_asleep else self.replicas

    @cached_property
    def sleep(self) -> State | None:
        """Where it stands between its last replica and none, as it is to be recorded; None where it never sleeps.

        By the recorded run: how a run goes on follows from the replicas that are wanted, which follow from this."""
        if self.gate is None or self.spec.sleep is None:
            return None
        run, goal = run_of(self.status.canary), self.goal.revision
        stands = run.stable if run is not None and self.rolled_back is None and is_rejected(run, self.asked) else goal
        is_still = self.is_guarded and (run is None or not run.is_open)
        is_settled = is_still and stands is not None and runs_alone(stands, self.running)
        another = stands not in (None, self.status.stable)
        return slept(self.seen, is_settled, self.serving, another, bool(self.bounds and self.bounds.schedules))

    @property
    def is_asleep(self) -> bool:
        """No replica shall run because nobody asks."""
        return self.sleep is not None and self.sleep.phase is Phase.ASLEEP

    @property
    def is_kept(self) -> bool:
        """The gate keeps requests, and there is no replica that they could be led to."""
        return self.sleep is not None and (self.is_asleep or not self.serving)

    @property
    def is_led(self) -> bool:
        """The gateway has taken a route to a replica, so that the gate may let requests go on."""
        gateway, route = self.spec.gateway, self.route
        return gateway is not None and route is not None and leads(self.owner, gateway, route)

    @property
    def serving(self) -> int:
        """Ready replicas of all revisions that can be relied on."""
        return sum(replicas.serving for replicas in self.running.values())

    @cached_property
    def devices(self) -> PlanStatus | None:
        """How a replica lies on its devices, to be recorded; None without a profile."""
        return wanted_plan(self.seen, self.asked, self.stored, self.fresh)

    @cached_property
    def goal(self) -> Target:
        """The revision that the spec or an annotation asks for, or what runs meanwhile."""
        if self.rolled_back is not None:
            return target_of_rollback(self.seen, self.rolled_back, self.running, self.configuration)
        return target(self.seen, self.resolution, self.asked, self.running)

    @cached_property
    def run(self) -> Run | None:
        """The canary run as it is to be recorded; None without one."""
        startable = self.rolled_back is not None or self.goal.obstacle is None
        before = run_of(self.status.canary)
        analysed = self.baking.analysed if self.baking is not None else None
        way = unrouted(self.owner, self.route, before)
        compared = self.comparison is not None and self.comparison.is_answered
        now = facts(self.seen, self.asked, startable, self.wanted, self.running, before, analysed, way, compared)
        return advance(before, now)

    @cached_property
    def baking(self) -> Baking | None:
        """The analysis of the recorded run's step; None where nothing is judged."""
        return baking(self.seen, self.configuration)

    @cached_property
    def comparison(self) -> Comparison | None:
        """What the recorded run compares; None while it does not."""
        return comparison(self.seen)

    @cached_property
    def rollout(self) -> Rollout:
        """The way from what runs to the revision that shall."""
        run, goal = self.run, self.goal
        by_run = run is not None and (run.is_open or is_rejected(run, self.asked))
        if run is not None and by_run and self.rolled_back in (None, run.stable):
            return rollout_of_run(self.owner, run, goal, self.running, self.wanted, self.pods)
        return rollout(self.owner, goal, self.running, self.wanted, self.pods)

    @property
    def is_rejected(self) -> bool:
        """What the spec asks for was tried and rolled back: the stable revision runs."""
        return self.rolled_back is None and is_rejected(self.run, self.asked)

    @cached_property
    def route(self) -> Manifest | None:
        """The live route from the gateway; None when there is none, or it is on its way out."""
        return self._standing(Ref(HTTP_ROUTE, serving_service(self.owner.metadata.name)))

    @cached_property
    def grpc_route(self) -> Manifest | None:
        """The same for gRPC."""
        return self._standing(Ref(GRPC_ROUTE, serving_grpc(self.owner.metadata.name)))

    def _standing(self, ref: Ref) -> Manifest | None:
        live = self.seen.child(ref.resource, ref.name)
        return live if live is not None and not is_terminating(live) else None

    @cached_property
    def shares(self) -> Mapping[str, int]:
        """Parts of the requests by the gateway, of each revision that gets some; empty while there is no target, and while the
        gate keeps them all."""
        way, run = self.rollout, self.run
        if way.target.revision is None or self.is_kept:
            return {}
        parts = shares(way.step, self.running, way.target.revision)
        if run is not None and run.is_open and self.header is not None:
            return others_of(parts, run.target)
        return canary_shares(parts, run, self.wanted, self.running) if run is not None and run.is_open else parts

    @cached_property
    def header(self) -> HeaderMatch | None:
        """By which the recorded run tells requests apart; None where by none, or none runs."""
        return header_of(self.status.canary, self.run)

    @cached_property
    def matched(self) -> tuple[HeaderMatch, str] | None:
        """The header by which requests go to a revision of their own, and that revision; None where by none."""
        run, header = self.run, self.header
        if run is None or header is None or not is_matched(run, self.wanted, self.running):
            return None
        return header, run.target

    @cached_property
    def gate(self) -> GateAddress | None:
        """Who judges requests; None where nobody is to, or the gate does not read this namespace's keys."""
        gateway = self.spec.gateway
        is_judged = gateway is not None and gateway.auth is not None
        return self.configuration.gate_of(self.owner.metadata.namespace) if is_judged else None

    @cached_property
    def is_guarded(self) -> bool:
        """The policy by which requests are judged is in force at the Gateway."""
        return self._is_in_force(serving_service(self.owner.metadata.name))

    @cached_property
    def is_grpc_guarded(self) -> bool:
        """And so is that by which calls by gRPC are."""
        return self._is_in_force(serving_grpc(self.owner.metadata.name))

    def _is_in_force(self, name: str) -> bool:
        gateway, policy = self.spec.gateway, self._standing(Ref(SECURITY_POLICY, name))
        return gateway is not None and policy is not None and is_accepted(policy, gateway_of(self.owner, gateway))

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """Secrets with the keys that the gateway shows to engines, by revision; empty where none asks for one, and where the
        gateway can't: what it doesn't know would close the route."""
        if self.spec.gateway is None or not self.can_show_keys:
            return {}
        return self.keyed

    @cached_property
    def keyed(self) -> Mapping[str, str]:
        """Secrets of the revisions whose engine asks for a key."""
        target = self.rollout.target.revision
        names = dict.fromkeys((*self.running, *((target,) if target is not None else ())))
        found = {name: key_of(template_of(self.seen, name)) for name in names}
        return {name: key["name"] for name, key in found.items() if key is not None}

    @property
    def can_show_keys(self) -> bool:
        """The API is there by which the gateway shows an engine's key, and no controller has answered that doesn't know it."""
        return HTTP_ROUTE_FILTER not in self.seen.unserved and foreign_controller(self.owner, self.route) is None

    @cached_property
    def pins(self) -> tuple[str, ...]:
        """Revisions that a key can be pinned to: they serve, and stay after this step; where none does and the gate keeps
        requests until one does, the one that will."""
        step, target = self.rollout.step, self.rollout.target.revision
        names = tuple(name for name, one in self.running.items() if one.serving > 0 and step.get(name, 0) > 0)
        return names or ((target,) if self.sleep is not None and target is not None else ())

    @cached_property
    def answering(self) -> Mapping[str, Answering]:
        """Who answers to each name by which clients may ask; empty while there is no target."""
        target = self.rollout.target.revision
        if target is None:
            return {}
        alive = {name for name, one in self.running.items() if one.specified or one.total}
        ordered = sorted(alive | {target}, key=lambda name: (name == target, self.ages.get(name, 0), name))
        names = {name: recorded_names(self.owner, record_of(self.seen, name)) for name in ordered}
        return answering(names, self.pins, self.shares)

    @cached_property
    def taken(self) -> Mapping[str, str]:
        """Those of these names that another serving of the namespace has, and which."""
        told = self.status.gateway.models if self.status.gateway is not None else []
        live = self.seen.child(CONFIG_MAP, serving_service(self.owner.metadata.name))
        had = (*told, *(names_told(live) if live is not None and not is_terminating(live) else ()))
        return taken(self.owner.metadata, self.answering, had, self.seen.neighbours)

    @cached_property
    def offered(self) -> Mapping[str, Answering]:
        """What the gate is told: who answers to each name that is the serving's own."""
        return {name: who for name, who in self.answering.items() if name not in self.taken}

    @cached_property
    def cached(self) -> tuple[str, ...]:
        """Revisions that shall have a cache: those that get requests by the gateway."""
        gateway = self.spec.gateway
        if gateway is None or gateway.cache is None or self.gate is None or self.spec.suspend:
            return ()
        return tuple(dict.fromkeys((*self.shares, *self.pins)))

    @cached_property
    def through(self) -> frozenset[str]:
        """Those of them whose requests go through it now."""
        return frozenset(revision for revision in self.cached if is_ready(self.seen, revision))

    def is_cache_reached(self, name: str) -> bool:
        """Whether the gateway may send requests through the cache whose Service has that name: the live route says so,
        or its controller has not said that it has seen the route as it is."""
        live = self.seen.child(HTTP_ROUTE, serving_service(self.owner.metadata.name))
        if live is None:
            return HTTP_ROUTE in self.seen.unserved
        gateway = self.spec.gateway
        return gateway is None or name in names_of(live) or not is_settled(self.owner, gateway, live)

    @cached_property
    def reached(self) -> tuple[str, ...]:
        """Revisions that the gateway may send requests to, by either route."""
        gateway, alive = self.spec.gateway, tuple(self.running)
        if gateway is None:
            return ()
        found = (reached(self.owner, gateway, route, alive) for route in (self.route, self.grpc_route))
        return tuple(dict.fromkeys(name for names in found for name in names))

    @cached_property
    def step(self) -> Mapping[str, int]:
        """Replicas to specify for each revision now: the rollout's, but for what the gateway has not let go yet, and what another
        autoscaler scales."""
        step = held(self.rollout.step, self.running, self.shares, self.reached)
        return self.rivals.left(step, self.running)

    @cached_property
    def rivals(self) -> Rivals:
        """Autoscalers of others over this serving, and over its replicas."""
        return rivals(self.seen)

    @property
    def pods_each(self) -> int:
        """Pods of a replica: the most that one has which serves, else what one will have."""
        target = self.rollout.target.revision
        serving = [name for name, one in self.running.items() if one.serving > 0]
        told = (pods_of(self.seen, name) for name in serving or [target or ""])
        return max((pods.nodes for pods in told if pods is not None), default=1)

    @cached_property
    def update(self) -> tuple[Verdict, ...]:
        """What the present operator would make otherwise than it runs; empty where that is nothing."""
        return update_of(self.seen, self.rollout.target, self.fresh)

    @cached_property
    def rolled_back(self) -> str | None:
        """The kept revision that runs in place of what the spec asks for; None where the spec is followed."""
        return rolled_back(self.seen, self.asked)

    @cached_property
    def rollback(self) -> tuple[Verdict, ...]:
        """What became of the annotation for a rollback and of a canary run; empty where there is nothing to tell."""
        model = self.resolution if isinstance(self.resolution, ResolvedModel) else None
        said = rollback_verdict(self.seen, self.asked, model)
        if self.is_rejected and self.run is not None:
            said = (rejected(self.seen, self.run.stable, self.run.target, self.run.why, model),)
        return (*said, *drift(self.owner, self.run))
