"""The composition root: one process of the operator, put together from its settings."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from random import Random

from deepseek_operator.adapters.api_server import WRITE_TIMEOUT_S, ApiServer
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.adapters.kube import KubeCluster
from deepseek_operator.adapters.progress import HttpProgress
from deepseek_operator.adapters.prometheus import Prometheus
from deepseek_operator.adapters.watch import KubeStreams
from deepseek_operator.controller.announcer import Announcer
from deepseek_operator.controller.aside import Aside
from deepseek_operator.controller.audit import Auditor
from deepseek_operator.controller.bucket import FairBucket, TokenBucket
from deepseek_operator.controller.doors import EXTERNAL_METRICS, METRICS, PROBES, WANTED, raise_file_limit
from deepseek_operator.controller.external_metrics import Aggregator, ExternalMetrics, aggregator_of
from deepseek_operator.controller.fence import FencedCluster
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.lease import AlwaysHeld, Lease
from deepseek_operator.controller.look import Look
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.probes import Pages
from deepseek_operator.controller.pulls import Pulls
from deepseek_operator.controller.queue import Queue
from deepseek_operator.controller.readings import Readings
from deepseek_operator.controller.reconcile import Reconciler, Reconciles
from deepseek_operator.controller.settings import Settings
from deepseek_operator.controller.signals import SignalBoard
from deepseek_operator.controller.stream import Stream
from deepseek_operator.controller.told import Told
from deepseek_operator.controller.wanted import WantedPages
from deepseek_operator.controller.workers import work
from deepseek_operator.controller.writer import Writer
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.resources import Manifest, Resource

log = logging.getLogger(__name__)

_RESYNC_SPREAD = 0.1
_STOP_S = 3.0
"""Of everything that is asked to end; together with the release of the Lease well below what an end may take."""
UNREADY_AFTER_S = 10.0
"""A watch that breaks is back within two seconds; one that isn't for this long has a trouble that somebody must know."""


class App:
    """One process. `start` and `stop` are called by the frame around it; `told`, `listed`, `unwatched` and `missing` by its
    watches.

    Attributes:
        ending: set when the process is to end, by the frame or because a task died that must not.
        failure: what that task died of; None: nothing did.

    `dying` is called when a task died; from then on the frame's limit to an end runs.
    """

    def __init__(
        self, settings: Settings, credentials: Credentials, kinds: Kinds, dying: Callable[[], None] = lambda: None
    ) -> None:
        clock, random = SystemClock(), Random()
        self._settings = settings
        self._kinds = kinds
        self._clock = clock
        self.ending = asyncio.Event()
        self._dying = dying
        self.failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._metrics = Metrics()
        self._mirror = Mirror(self._wake)
        # A quarter of the workers is always left to other namespaces.
        self._queue = Queue[Key](random, lambda key: key.namespace, settings.workers - settings.workers // 4)
        self._aside = Aside()
        self._server = ApiServer(credentials, clock, self._metrics)
        self._progress = HttpProgress()
        self._prometheus = Prometheus(settings.prometheus_url, manner=settings.prometheus)
        self._kube = KubeCluster(self._server, clock, settings.identity, settings.watch_namespaces)
        # Connections of their own: each watch holds one for as long as it stands.
        self._watch_server = ApiServer(credentials, clock, self._metrics, connections=0)
        # And again: a renewal must not wait behind slow reads until the lease is over.
        self._lease_server = ApiServer(credentials, clock, self._metrics)
        self._lease, self._writer = self._leading(KubeCluster(self._lease_server, clock, settings.identity))
        self._board = self._signals(clock)
        self._words = [entry.word for entry in kinds if entry.demand is not None]
        self._wanted = WantedPages(self._board, self._words)
        self._streams = self._watches(clock, random)
        self._auditor = Auditor(
            self._kube, self._mirror, clock, self._metrics, kinds.watched, self._wake, settings.audit_interval_s
        )
        self._told = Told(self._mirror, kinds, settings.configuration, clock, lambda: self._lease.left_s() > 0)
        self._pages = Pages(self._unhealthy, self._unready, self._exposition)
        self._resync_s = lambda: settings.resync_interval_s * random.uniform(1 - _RESYNC_SPREAD, 1 + _RESYNC_SPREAD)
        self._drivers = self._composed()
        self._metrics.expect(kinds.owners)
        self._metrics.follow(self._queue.__len__, lambda: self._lease.left_s() > 0, settings.lease_name)
        self._metrics.follow_mirror(self._mirror, kinds.watched)
        if settings.external_metrics and settings.certificate_dir is not None:
            from deepseek_operator.controller.certificates import ends_at

            self._metrics.follow_certificate("external-metrics", partial(ends_at, settings.certificate_dir))

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports of the probes and of the metrics, once started."""
        return tuple(self._pages.ports)

    @property
    def wanted_port(self) -> int:
        """TCP port of the replicas wanted, once started; 0 where it is closed."""
        return self._wanted.port

    async def start(self) -> None:
        """Opens sessions and ports and starts all tasks; needs nobody's answer."""
        settings = self._settings
        is_asked = settings.configuration.wanted_url is not None
        more = [*([EXTERNAL_METRICS] if settings.external_metrics else []), *([WANTED] if is_asked else [])]
        raise_file_limit((PROBES, METRICS, *more))
        await self._stack.enter_async_context(self._server)
        await self._stack.enter_async_context(self._watch_server)
        await self._stack.enter_async_context(self._lease_server)
        await self._stack.enter_async_context(self._progress)
        self._stack.callback(self._prometheus.close)
        await self._pages.start(settings.bind_host, settings.health_port, settings.metrics_port)
        self._stack.push_async_callback(self._pages.stop)
        if is_asked:
            await self._wanted.start(settings.bind_host, settings.wanted_port)
            self._stack.push_async_callback(self._wanted.stop)
        for stream in self._streams:
            self._spawn(str(stream), stream.run())
        self._spawn("audit", self._auditor.run())
        self._spawn("signals", self._evaluate())
        self._spawn("leader", self._lead())
        if settings.external_metrics:
            server = ExternalMetrics(
                self._board,
                settings.configuration.metric_prefix,
                self._words,
                self._aggregator,
                settings.certificate_dir,
                settings.signal_interval_s,
            )
            self._spawn("external metrics", server.run(settings.bind_host, settings.external_metrics_port))

    async def stop(self) -> None:
        """Ends all tasks, then gives the Lease back, so that nothing of ours is still writing when another begins."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        self._queue.close()
        self._aside.close()
        await self._pulls.close()
        await self._readings.close()
        await self._announcer.close()
        if all(task.done() for task in self._writers):
            await self._lease.release()
        await self._stack.aclose()

    def told(self, resource: Resource, type_: str | None, manifest: Manifest) -> None:
        """An object in a watch: ADDED, MODIFIED, DELETED, or None when it is one of a list."""
        self._metrics.told(resource.plural)
        feed = self._mirror.forget if type_ == "DELETED" else self._mirror.observe
        woken = feed(resource, manifest)
        metadata = manifest["metadata"]
        own = Key(resource, metadata.get("namespace", ""), metadata["name"])
        if type_ == "MODIFIED" and own in woken:
            self._queue.add(own, metadata["resourceVersion"])
            woken -= {own}
        self._wake(woken)

    def listed(self, resource: Resource, namespace: str | None, version: int, uids: Collection[str]) -> None:
        """All that there was at that version, when a watch began or had to begin anew."""
        self._wake(self._mirror.relisted(resource, namespace, version, uids))

    def unwatched(self, resource: Resource, cause: str) -> None:
        """A watch ended, and begins again."""
        self._metrics.ended(resource.plural, cause)

    def missing(self, resource: Resource, namespace: str | None, why: str | None) -> None:
        """An optional API can't be had, for that reason, or (None) can: whoever uses it looks again when that is news, and
        whoever was turned away when it can."""
        if why is None:
            self._wake(self._mirror.turned_away(resource, namespace))
        if self._mirror.missing(resource, namespace, why):
            users = self._kinds.users(resource)
            owners = (key for key in self._mirror.owners() if key.resource in users)
            self._wake(key for key in owners if namespace in {None, key.namespace})

    def _wake(self, keys: Iterable[Key]) -> None:
        for key in sorted(keys):
            self._queue.add(key)

    async def _evaluate(self) -> None:
        await self._auditor.synced()
        await self._board.run()

    async def _lead(self) -> None:
        await self._auditor.synced()
        await self._lease.acquire()
        await self._writer.claim()
        settings = self._settings
        bucket = TokenBucket(settings.passes_per_s, settings.pass_burst)
        for number in range(settings.workers):
            worker = work(self._queue, self._drivers, bucket, self._metrics, self._clock, self._resync_s)
            self._writers.append(self._spawn(f"worker {number}", worker))
        await self._lease.hold()

    def _leading(self, cluster: KubeCluster) -> tuple[Lease | AlwaysHeld, Writer]:
        """Our share in the Lease, and the claim to write that follows from it."""
        settings = self._settings
        lease: Lease | AlwaysHeld = AlwaysHeld()
        if settings.leader_election:
            lease = Lease(cluster, self._clock, settings.namespace, settings.lease_name, settings.identity)
        writer = Writer(
            cluster,
            settings.namespace,
            settings.writer_account,
            settings.identity,
            lease.left_s,
            WRITE_TIMEOUT_S,
            lease.term,
        )
        return lease, writer

    def _signals(self, clock: SystemClock) -> SignalBoard:
        settings, wake = self._settings, self._queue.add
        interval_s = settings.signal_interval_s
        return SignalBoard(self._mirror, self._prometheus, clock, settings.configuration, self._kinds, interval_s, wake)

    def _composed(self) -> dict[Resource, Reconciles]:
        settings, clock = self._settings, self._clock
        bucket = FairBucket(settings.writes_per_s, settings.write_burst)
        fenced = FencedCluster(self._kube, self._lease.left_s, WRITE_TIMEOUT_S, bucket)
        announcer = self._announcer = Announcer(fenced.publish)
        interval = timedelta(seconds=settings.configuration.first_progress_s)
        pulls = self._pulls = Pulls(self._progress, clock, interval, self._queue.add)
        readings = self._readings = Readings(self._prometheus, clock, self._queue.add)
        mirror = self._mirror
        return {
            resource: Reconciler(
                kind,
                fenced,
                mirror,
                Look(kind, fenced, mirror, clock, pulls, readings, self._board.wishes),
                self._aside,
                announcer.publish,
                caught_up=self._queue.caught_up,
            )
            for resource, kind in self._kinds.behaviours(settings.configuration).items()
        }

    def _watches(self, clock: SystemClock, random: Random) -> list[Stream]:
        source = KubeStreams(self._watch_server)
        streams: list[Stream] = []
        for resource in self._kinds.watched:
            scopes = self._settings.watch_namespaces or (None,)
            of_it = [
                Stream(source, resource, scope, self, clock, random, self._stand, self._settings.optional_interval_s)
                for scope in scopes
            ]
            self._metrics.follow_watch(resource.plural, partial(_longest_down_s, of_it))
            streams += of_it
        return streams

    def _stand(self) -> bool:
        """All is well with the watches of what every cluster has."""
        return max(stream.down_s for stream in self._streams if not stream.is_optional) == 0

    async def _aggregator(self) -> Aggregator:
        found = await self._kube.read_config_map("kube-system", "extension-apiserver-authentication")
        return aggregator_of(found or {})

    def _spawn(self, name: str, work_: "asyncio._CoroutineLike[None]") -> asyncio.Task[None]:
        task = asyncio.create_task(work_, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        failure = task.exception() or RuntimeError(f"the task {task.get_name()} ended")
        self.failure = self.failure or failure
        log.critical("%s: %s: %s; the process exits", task.get_name(), type(failure).__name__, failure)
        self._dying()
        self.ending.set()

    async def _exposition(self) -> bytes:
        return self._metrics.exposition() + await self._told.exposition()

    def _unhealthy(self) -> str | None:
        dead = sorted(task.get_name() for task in self._tasks if task.done())
        return f"dead: {', '.join(dead)}" if dead else None

    def _unready(self) -> str | None:
        if wrong := self._unhealthy():
            return wrong
        down = max((stream for stream in self._streams if not stream.is_optional), key=lambda stream: stream.down_s)
        if down.down_s > UNREADY_AFTER_S:
            return f"for {down.down_s:.0f} s: {down.problem or f'{down} has not begun'}"
        return None if self._auditor.is_fresh else "the mirror is not complete, or its last audit is old"


def _longest_down_s(streams: Collection[Stream]) -> float:
    return max(stream.down_s for stream in streams)
