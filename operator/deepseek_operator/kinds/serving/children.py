"""The objects that a serving consists of, as far as we have an opinion on them.

Per revision a group of replicas and a Service; over all revisions the Service that users call, a PodDisruptionBudget and,
under autoscaling, what scales it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.core.names import OWNER_UID, ROLE_LABEL, handed_on
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    BUDGET,
    GRPC_ROUTE,
    LEASE,
    SECURITY_POLICY,
    SERVICE,
    Manifest,
)
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.kinds.serving.authorization import grpc_security_policy, models_map, security_policy
from deepseek_operator.kinds.serving.autoscaler import autoscalers
from deepseek_operator.kinds.serving.cache import cache_of, caches_budget
from deepseek_operator.kinds.serving.grpc_routes import grpc_of, grpc_route, grpc_traffic_policy
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.keyed import key_filters
from deepseek_operator.kinds.serving.labels import (
    ENGINE_ROLE,
    WORKER_ROLE,
    child_labels,
    replica_selector,
    revision_labels,
    revision_selector,
)
from deepseek_operator.kinds.serving.names import serving_revision, serving_service
from deepseek_operator.kinds.serving.revision import pods_of
from deepseek_operator.kinds.serving.routes import Judged, http_route, matching, pins_of, places_of, traffic_policy
from deepseek_operator.kinds.serving.sleep import held
from deepseek_operator.kinds.serving.template import PORT_NAME
from deepseek_operator.kinds.serving.traffic import slots
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.replicas.group import Pods, Wanted, group_named, keeper_for
from deepseek_operator.workloads.replicas.keeper import loading_seconds

SERVICE_PORT = 8000
"""Port of the Services, whatever the engine listens on: another engine must not change the address."""


def children(view: View, target: str) -> tuple[Manifest, ...]:
    """The manifests to apply, what serves before what is taken away: the target first, then older revisions."""
    owner, way = view.owner, view.rollout
    lives = [name for name in way.step if way.step[name] or (name not in way.spent and _exists(view.seen, name))]
    revisions = [target, *(name for name in lives if name != target)]
    return (
        service(owner),
        *(revision_service(owner, revision) for revision in revisions),
        *(
            replica_group(owner, revision, pods, view.step[revision])
            for revision in revisions
            if (pods := pods_of(view.seen, revision)) is not None
        ),
        budget(owner, view.wanted, view.pods_each),
        *models(view),
        *caches(view),
        *leases(view),
        *(autoscalers(view.seen, view.configuration, view.bounds) if not view.is_asleep else ()),
    )


def routes(view: View) -> tuple[Manifest, ...]:
    """The way from the gateway, what judges and limits requests before what brings them. What Envoy Gateway alone
    understands is left out where it is not known; without the gate that is to judge there is no way."""
    gateway, gate = view.spec.gateway, view.gate
    if gateway is None or (gateway.auth is not None and gate is None):
        return ()
    policies: list[Manifest] = []
    judged: Judged | None = None
    before = view.route or {}
    if gateway.auth is not None and gate is not None:
        if SECURITY_POLICY not in view.seen.unserved:
            policies.append(security_policy(view.owner, gateway, gateway.auth, gate))
        places = [(name, 1) for name in pins_of(before)]
        pins = slots(places, dict.fromkeys(view.pins, 1), view.pins) if view.pins else []
        judged = Judged(gate, gateway.auth, view.is_guarded, [name for name, _ in pins], view.through, view.is_kept)
    if BACKEND_TRAFFIC_POLICY not in view.seen.unserved:
        policies.append(traffic_policy(view.owner, gateway))
    policies += key_filters(view.owner, view.keys.values())
    alive = [name for name, one in view.running.items() if one.specified or one.total]
    # One that has just been closed names nobody, while proxies may still follow the one before it.
    named = places_of(before) or [(name, 0) for name in view.reached if name in alive]
    parts = slots(named, view.shares, alive) if view.shares else []
    # Named by the usual rule too: once its own is gone, whoever reads the route knows that it may still be reached.
    if view.matched is not None and view.matched[1] not in dict(parts):
        parts = [*parts, (view.matched[1], 0)]
    route: Manifest = http_route(view.owner, gateway, parts, SERVICE_PORT, judged, view.keys)
    if view.matched is not None:
        route = matching(view.owner, route, parts, SERVICE_PORT, *view.matched, view.through, view.keys)
    return (*policies, route, *_grpc_routes(view, gateway, parts, judged))


def _grpc_routes(
    view: View, gateway: Gateway, parts: Sequence[tuple[str, int]], judged: Judged | None
) -> tuple[Manifest, ...]:
    """The same for gRPC, where it is asked for and the cluster has such routes; after the HTTPRoute, which of two under one host
    name is to be the older one. `parts`: those of the HTTPRoute."""
    grpc = grpc_of(view.owner)
    if grpc is None or GRPC_ROUTE in view.seen.unserved:
        return ()
    policies: list[Manifest] = []
    if gateway.auth is not None and judged is not None:
        if SECURITY_POLICY not in view.seen.unserved:
            policies.append(grpc_security_policy(view.owner, gateway.auth, judged.gate))
        judged = replace(judged, is_open=view.is_grpc_guarded)
    if BACKEND_TRAFFIC_POLICY not in view.seen.unserved:
        policies.append(grpc_traffic_policy(view.owner, gateway))
    return (*policies, grpc_route(view.owner, gateway, grpc, parts, judged, view.matched))


def caches(view: View) -> tuple[Manifest, ...]:
    """What stands before each revision that gets requests; nothing where no answers are kept."""
    gateway = view.spec.gateway
    cache = gateway.cache if gateway is not None else None
    if gateway is None or cache is None:
        return ()
    made = tuple(part for name in view.cached for part in cache_of(view.seen, gateway, cache, name))
    return (*made, caches_budget(view.owner)) if made else ()


def models(view: View) -> tuple[Manifest, ...]:
    """What the gate knows of this serving; nothing where it judges nobody."""
    gateway = view.spec.gateway
    if gateway is None or gateway.auth is None or view.gate is None:
        return ()
    told = held(view.seen, view.sleep, view.serving, view.is_led)
    return (models_map(view.owner, gateway.auth, view.offered, told),)


def leases(view: View) -> tuple[Manifest, ...]:
    """Where the gate marks that somebody waits; none where it never sleeps. All of its `spec` is the gate's."""
    name = serving_service(view.owner.metadata.name)
    return (head(LEASE, view.owner, name, child_labels(view.owner)),) if view.sleep is not None else ()


def _exists(seen: Seen[DeepSeekServing], revision: str) -> bool:
    return group_named(seen, serving_revision(seen.owner.metadata.name, revision)) is not None


def service(owner: DeepSeekServing) -> Manifest:
    """The address that users call: every replica of every revision that is ready."""
    name = serving_service(owner.metadata.name)
    return {**head(SERVICE, owner, name, child_labels(owner)), "spec": _service_spec(owner, replica_selector(owner))}


def revision_service(owner: DeepSeekServing, revision: str) -> Manifest:
    """The replicas of one revision, for a look at a new version beside the old."""
    name, labels = serving_revision(owner.metadata.name, revision), revision_labels(owner, revision)
    return {**head(SERVICE, owner, name, labels), "spec": _service_spec(owner, revision_selector(owner, revision))}


def _service_spec(owner: DeepSeekServing, selector: Mapping[str, str]) -> dict[str, Any]:
    """Pods are found by the names of their ports: those of another engine have none of gRPC, and are left out of it."""
    port = {"name": PORT_NAME, "port": SERVICE_PORT, "targetPort": PORT_NAME, "protocol": "TCP"}
    if (grpc := ENGINES[owner.spec.engine.type].grpc) is None:
        return {"selector": dict(selector), "ports": [port]}
    beside = {"name": "grpc", "targetPort": "grpc", "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}
    return {"selector": dict(selector), "ports": [port, {**beside, "port": grpc.port}]}


def replica_group(owner: DeepSeekServing, revision: str, pods: Pods, replicas: int) -> Manifest:
    """Keeps `replicas` of one revision alive, each of as many pods as nodes that it spans."""
    name, labels = serving_revision(owner.metadata.name, revision), revision_labels(owner, revision)
    keeper = keeper_for(pods.nodes)
    wanted = Wanted(replicas, revision_selector(owner, revision), pods, loading_seconds(pods.leader))
    return {
        **head(keeper.resource, owner, keeper.named(name), {**handed_on(owner.metadata.labels), **labels}),
        "spec": keeper.spec(wanted),
    }


def budget(owner: DeepSeekServing, replicas: int, nodes: int = 1) -> Manifest:
    """Lets a drain take one of the `replicas` that are wanted, over all revisions, and the next once it is replaced.

    Said as `minAvailable`: what counts is how many answer. `maxUnavailable: 1` is measured against the Deployments'
    sum, which a rollout raises by its surge: a new replica that never comes would then hold the drain of a single old
    one for ever. Pods that are not ready answer nothing, and may always go. While suspended it asks for nothing.

    `nodes`: pods of a replica. Where they are several, each of them takes its whole replica with it, so that all are counted
    and one may go: two that go at once might be of two replicas.
    """
    selector: dict[str, Any] = {"matchLabels": replica_selector(owner)}
    if nodes > 1:
        roles = {"key": ROLE_LABEL, "operator": "In", "values": [ENGINE_ROLE, WORKER_ROLE]}
        selector = {"matchLabels": {OWNER_UID: owner.metadata.uid}, "matchExpressions": [roles]}
    spec = {
        "minAvailable": max(replicas * nodes - 1, 0),
        "maxUnavailable": None,  # If somebody else wrote it, the server would refuse ours: only one may be set.
        "selector": selector,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {**head(BUDGET, owner, serving_service(owner.metadata.name), child_labels(owner)), "spec": spec}
