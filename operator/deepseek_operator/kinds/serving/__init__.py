"""`DeepSeekServing`: replicas of an engine over one version of a model, rolled out step by step and scaled by load."""

from functools import partial

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kind import Decision, Event, Kind
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BACKEND_TRAFFIC_POLICY,
    BUDGET,
    CONFIG_MAP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    LEASE,
    POD,
    REVISION,
    SCALED_OBJECT,
    SECURITY_POLICY,
    SERVICE,
    Manifest,
    Ref,
    Resource,
)
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.serving.autoscaler import is_by_keda
from deepseek_operator.kinds.serving.believed import believed
from deepseek_operator.kinds.serving.devices import nodes_of
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.exams import exam_names
from deepseek_operator.kinds.serving.fetches import fetch_names
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.names import (
    serving_cache,
    serving_caches,
    serving_grpc,
    serving_revision,
    serving_service,
)
from deepseek_operator.kinds.serving.needs import needs
from deepseek_operator.kinds.serving.plan import plan
from deepseek_operator.kinds.serving.revision import revision_name
from deepseek_operator.kinds.serving.rights import OWNS
from deepseek_operator.kinds.serving.sources import reference_digest
from deepseek_operator.kinds.serving.status import status
from deepseek_operator.kinds.serving.verbs import ROLLBACK, verb
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.replicas.group import RESOURCES, names


class ServingKind:
    """The behaviour of `DeepSeekServing` under one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._fresh = Fresh(configuration)
        self.resource: Resource = SERVING
        self.owns: tuple[Resource, ...] = tuple(OWNS)
        self.many: tuple[Resource, ...] = (*RESOURCES, REVISION, SERVICE, POD)
        self.records_first = True  # The model that its spec means.

    def parse(self, manifest: Manifest) -> DeepSeekServing:
        """The typed resource, with what is believed of its status. Raises pydantic.ValidationError."""
        return believed(DeepSeekServing.model_validate(manifest))

    def wanted_names(self, owner: DeepSeekServing) -> tuple[Ref, ...]:
        """Names that the children take now; those of a revision once its model is recorded."""
        name = serving_service(owner.metadata.name)
        scaler = SCALED_OBJECT if is_by_keda(owner) else AUTOSCALER
        scaled = (Ref(scaler, name),) if owner.spec.autoscaling is not None and not owner.spec.suspend else ()
        target = (*_revision_names(owner, owner.status.resolved), *_rollback_names(owner))
        gateway = owner.spec.gateway
        routed = _routed_names(owner.metadata.name, gateway) if gateway is not None else ()
        marked = (Ref(LEASE, name),) if owner.spec.sleep is not None else ()
        always = (Ref(SERVICE, name), Ref(BUDGET, name))
        cached = _cache_names(owner) if gateway is not None and gateway.cache is not None else ()
        others = (*_running_names(owner), *exam_names(owner), *fetch_names(owner), *cached)
        return tuple(dict.fromkeys((*always, *marked, *scaled, *routed, *target, *others)))

    def recorded_names(self, owner: DeepSeekServing) -> tuple[Ref, ...]:
        """Those of the children, the autoscaler that a suspended one has lost or shall lose, the route that was seen last,
        and what every revision that was seen last consists of."""
        meta, told = owner.metadata, (*owner.status.previous, *filter(None, [owner.status.current]))
        parts = (part for revision in told for part in _parts(meta.name, revision.name, revision.pods))
        name = serving_service(meta.name)
        routes = (*_route_names(name, is_judged=True), *_grpc_names(meta.name, is_judged=True), *_cache_names(owner))
        routed = routes if owner.status.gateway is not None else ()
        marked = (Ref(LEASE, name),) if owner.status.sleep is not None else ()
        return tuple(
            dict.fromkeys(
                (*self.wanted_names(owner), Ref(AUTOSCALER, name), Ref(SCALED_OBJECT, name), *marked, *routed, *parts)
            )
        )

    def recorded_uids(self, owner: DeepSeekServing) -> frozenset[str]:
        """None: every child of a serving can be made again."""
        return frozenset()

    def needs(self, seen: Seen[DeepSeekServing]) -> Needs:
        """The training and the claim that the spec refers to, and what a canary is judged by."""
        return needs(seen, self._fresh.configuration)

    def is_dear(self, seen: Seen[DeepSeekServing]) -> bool:
        """True the first time that the devices of this input are sized: what to do and what is told asks for it."""
        return not self._fresh.has_plan(seen.owner)

    def decide(self, seen: Seen[DeepSeekServing]) -> Decision[ServingStatus]:
        """What to do now, and what is true."""
        view = View(seen, self._fresh)
        return Decision(plan(view), partial(status, view, view.update))

    def events(self, before: ServingStatus, after: ServingStatus) -> tuple[Event, ...]:
        """Transitions worth telling."""
        return events(before, after)

    def farewell(self, owner: DeepSeekServing) -> tuple[Event, ...]:
        """Nothing stays of a serving."""
        return ()


def _routed_names(name: str, gateway: Gateway) -> tuple[Ref, ...]:
    """What brings requests to the serving `name`."""
    is_judged = gateway.auth is not None
    called = _grpc_names(name, is_judged) if gateway.grpc is not None else ()
    return (*_route_names(serving_service(name), is_judged), *called)


def _grpc_names(name: str, is_judged: bool) -> tuple[Ref, ...]:
    called = serving_grpc(name)
    judging = (Ref(SECURITY_POLICY, called),) if is_judged else ()
    return (Ref(GRPC_ROUTE, called), Ref(BACKEND_TRAFFIC_POLICY, called), *judging)


def _route_names(name: str, is_judged: bool) -> tuple[Ref, ...]:
    judging = (Ref(SECURITY_POLICY, name), Ref(CONFIG_MAP, name)) if is_judged else ()
    return (Ref(HTTP_ROUTE, name), Ref(BACKEND_TRAFFIC_POLICY, name), *judging)


def _cache_names(owner: DeepSeekServing) -> tuple[Ref, ...]:
    """What stands before the revisions that were seen last, one of which gets all requests."""
    told = (*owner.status.previous, *filter(None, [owner.status.current]))
    caches = [serving_cache(owner.metadata.name, revision.name) for revision in told]
    parts = (ref for name in caches for ref in (Ref(CONFIG_MAP, name), Ref(SERVICE, name), *names(name, 1)))
    return (Ref(BUDGET, serving_caches(owner.metadata.name)), *parts)


def _revision_names(owner: DeepSeekServing, resolved: ResolvedModel | None) -> tuple[Ref, ...]:
    if resolved is None or resolved.reference != reference_digest(owner.spec.model):
        return ()
    return _parts(owner.metadata.name, revision_name(owner, resolved), nodes_of(owner))


def _rollback_names(owner: DeepSeekServing) -> tuple[Ref, ...]:
    """Of the revision that an annotation goes back to, where the status lists it, and that a canary run may."""
    wish, pods = verb(owner, ROLLBACK), {revision.name: revision.pods for revision in owner.status.revisions}
    run, wished = owner.status.canary, [wish.revision] if wish is not None and wish.revision in pods else []
    names = (*wished, *([run.stable] if run else []))
    return tuple(part for name in names for part in _parts(owner.metadata.name, name, pods.get(name)))


def _parts(name: str, revision: str, nodes: int | None) -> tuple[Ref, ...]:
    """What one revision of the serving `name` consists of, a replica of it of so many pods."""
    called = serving_revision(name, revision)
    return (*names(called, nodes), Ref(REVISION, called), Ref(SERVICE, called))


def _running_names(owner: DeepSeekServing) -> tuple[Ref, ...]:
    """The groups that were seen last, so that none is lost from sight with its labels."""
    told = (*owner.status.previous, *((owner.status.current,) if owner.status.current is not None else ()))
    return tuple(
        ref for revision in told for ref in names(serving_revision(owner.metadata.name, revision.name), revision.pods)
    )


def serving_kind(configuration: Configuration) -> Kind[DeepSeekServing, ServingStatus]:
    """The kind, for the composition root."""
    return ServingKind(configuration)


__all__ = ["ServingKind", "serving_kind"]
