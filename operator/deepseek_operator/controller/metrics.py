"""The operator's own metrics, under controller-runtime's names where it has them, so that its dashboards work.

No label carries an object's name: their number is bounded by kinds, verbs and status codes. What objects have is `told.py`'s.
"""

from collections.abc import Callable, Iterable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.resources import Resource

RESULTS = ("success", "requeue_after", "requeue", "error")
"""How a pass may end, as controller-runtime names it."""
_PASS_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """One process's metrics in a registry of their own; two operators may live in one test."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._passes = counter(
            "controller_runtime_reconcile", "Passes by controller and result.", ["controller", "result"]
        )
        self._pass_s = histogram(
            "controller_runtime_reconcile_time_seconds", "Duration of a pass.", ["controller"], buckets=_PASS_BUCKETS_S
        )
        self._requests = counter(
            "deepseek_operator_api_requests",
            "Requests to the API server by verb, resource and status code; without the watches.",
            ["verb", "resource", "code"],
        )
        self._request_s = histogram(
            "deepseek_operator_api_request_duration_seconds",
            "Duration of a request to the API server.",
            ["verb"],
            buckets=_PASS_BUCKETS_S,
        )
        self._events = counter("deepseek_operator_watch_events", "Watch events by resource.", ["resource"])
        self._ends = counter(
            "deepseek_operator_watch_ends",
            "Ended attempts to watch by resource and cause; end: the server ended it, as it does every half minute.",
            ["resource", "cause"],
        )
        self._down_s = gauge(
            "deepseek_operator_watch_down_seconds",
            "Seconds for which a resource's watch has not stood; 0 while it does.",
            ["resource"],
        )
        self._depth = gauge("workqueue_depth", "Keys that wait for a worker.", ["name"])
        self._leading = gauge("leader_election_master_status", "1 while this process holds the Lease.", ["name"])
        self._mirrored = gauge("deepseek_operator_mirror_objects", "Objects in the mirror.", ["resource"])
        self._ghosts = counter(
            "deepseek_operator_audit_repairs", "What the watches lost and an audit found.", ["resource", "finding"]
        )

        self._certificate = gauge(
            "deepseek_operator_certificate_expiry_timestamp_seconds",
            "When the certificate that is served with ends, seconds since 1970.",
            ["use"],
        )

    def expect(self, owners: Iterable[Resource]) -> None:
        """Passes over these may come: until then none is told as 0, so that the first that fails is seen to be one."""
        for resource in owners:
            for result in RESULTS:
                self._passes.labels(resource.kind.lower(), result)

    def passed(self, controller: str, result: str, seconds: float) -> None:
        """`workers.Meter`."""
        self._passes.labels(controller, result).inc()
        self._pass_s.labels(controller).observe(seconds)

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """`kube.Requests`."""
        self._requests.labels(verb, resource, code).inc()
        self._request_s.labels(verb).observe(seconds)

    def told(self, resource: str) -> None:
        """One watch event arrived."""
        self._events.labels(resource).inc()

    def ended(self, resource: str, cause: str) -> None:
        """One attempt to watch ended."""
        self._ends.labels(resource, cause).inc()

    def repaired(self, resource: str, ghosts: int, missed: int) -> None:
        """An audit ended."""
        self._ghosts.labels(resource, "ghost").inc(ghosts)
        self._ghosts.labels(resource, "missed").inc(missed)

    def follow(self, depth: Callable[[], int], leads: Callable[[], bool], lease_name: str) -> None:
        """Gauges that are read when they are asked for."""
        self._depth.labels("deepseek").set_function(depth)
        self._leading.labels(lease_name).set_function(lambda: float(leads()))

    def follow_mirror(self, mirror: Mirror, resources: Iterable[Resource]) -> None:
        """More gauges that are read when they are asked for."""
        for resource in resources:
            self._mirrored.labels(resource.plural).set_function(partial(_size, mirror, resource))

    def follow_certificate(self, use: str, ends_at: Callable[[], float]) -> None:
        """Another gauge that is read when it is asked for."""
        self._certificate.labels(use).set_function(ends_at)

    def follow_watch(self, resource: str, down_s: Callable[[], float]) -> None:
        """Another gauge that is read when it is asked for."""
        self._down_s.labels(resource).set_function(down_s)

    def documented(self) -> tuple[tuple[str, str, str], ...]:
        """Name, type and text of each, ordered by name."""
        families = {family.name: family for family in self._registry.collect()}.values()
        named = ((f"{one.name}_total" if one.type == "counter" else one.name, one) for one in families)
        return tuple(sorted((name, one.type, one.documentation) for name, one in named))

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)


def _size(mirror: Mirror, resource: Resource) -> float:
    return float(mirror.sizes().get(resource, 0))
