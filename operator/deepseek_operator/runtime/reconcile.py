"""The driver: look, plan, execute, write the status. One for every kind; it knows no kind.

A pass plans from the mirror; if that asks for anything final, it looks live and plans again. A record is written
and ends the pass. Otherwise the actions run, then the status says what was seen before them: one write, only if it
changed, and events after it, on transitions only.
"""

import logging
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

from deepseek_operator.api.base import ApiModel
from deepseek_operator.core.actions import Delete, Done, Failure, Plan
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.resources import Manifest, uid_of
from deepseek_operator.ports.cluster import Cluster, ClusterError, Conflict, Throttled
from deepseek_operator.runtime.execute import Executor
from deepseek_operator.runtime.key import Key
from deepseek_operator.runtime.look import Look, View
from deepseek_operator.runtime.mirror import Mirror

log = logging.getLogger(__name__)

SLOW_RETRY_S = 60.0
"""What the API server refuses for its content, a right or a quota is tried again after this, or at an event."""
AFTER_DELETE_S = 1.0
"""A delete's answer tells the mirror nothing; its event usually comes within milliseconds and wakes the key."""


class HasStatus(Protocol):
    """An owner as its kind parses it."""

    @property
    def status(self) -> ApiModel:
        """What was last written."""


OwnerT = TypeVar("OwnerT", bound=HasStatus)
StatusT = TypeVar("StatusT", bound=ApiModel)


@dataclass(frozen=True)
class Settled:
    """Nothing was left to do; look again after `requeue_after_s`, or at the next event when it is None."""

    requeue_after_s: float | None = None


@dataclass(frozen=True)
class Acted:
    """Something was written: look again at once, what is true has changed."""


@dataclass(frozen=True)
class Failed:
    """Look again after a backoff, and no earlier than `at_least_s`."""

    reason: str
    at_least_s: float = 0.0


@dataclass(frozen=True)
class Gone:
    """There is no such object any more; nothing is ever due again."""


Outcome: TypeAlias = Settled | Acted | Failed | Gone


class Reconciles(Protocol):
    """One kind's driver as the workers see it."""

    async def reconcile(self, key: Key) -> Outcome:
        """One pass. Raises what the kind raises on an object that it can't bear."""


class Reconciler(Generic[OwnerT, StatusT]):
    """The driver of one kind."""

    def __init__(
        self, kind: Kind[OwnerT, StatusT], cluster: Cluster, mirror: Mirror, look: Look[OwnerT, StatusT]
    ) -> None:
        self._kind = kind
        self._cluster = cluster
        self._mirror = mirror
        self._look = look
        self._executor = Executor(cluster, mirror)

    async def reconcile(self, key: Key) -> Outcome:
        """One pass over one custom resource."""
        try:
            return await self._pass(key)
        except Conflict:
            await self._refresh(key)
            return Acted()
        except Throttled as error:
            return Failed("Throttled", error.retry_after_s)
        except ClusterError as error:
            log.warning("%s: %s", key, error)
            return Failed(type(error).__name__)

    async def _pass(self, key: Key) -> Outcome:
        await self._part(key)
        view = await self._look.from_mirror(key)
        plan = self._kind.plan(view.seen) if view is not None else None
        if view is not None and plan is not None and plan.is_irreversible:
            view = await self._look.live(key)
            plan = self._kind.plan(view.seen) if view is not None else None
        if view is None or plan is None:
            return Gone()
        if plan.record is not None:
            return await self._record(key, view, plan.record)
        done = await self._executor.execute(key, uid_of(view.manifest), plan.actions)
        await self._report(key, view, self._kind.status(view.seen, done))
        return _outcome(plan, done)

    async def _part(self, key: Key) -> None:
        """Tells what an owner that has gone leaves behind; a successor of its name may be there already."""
        if (manifest := self._mirror.departed(key)) is None:
            return
        for event in self._kind.farewell(self._kind.parse(manifest)):
            log.info("%s: %s: %s", key, event.reason, event.note)
            await self._cluster.publish(key.resource, manifest, event)

    async def _record(self, key: Key, view: View[OwnerT], record: StatusT) -> Outcome:
        if not await self._report(key, view, record):
            raise RuntimeError(f"{key}: the plan records what is recorded already; it would never end")
        return Acted()

    async def _report(self, key: Key, view: View[OwnerT], status: StatusT) -> bool:
        """Writes the status if it changed, then its events. Returns whether it was written."""
        wire = status.to_wire()
        if view.manifest.get("status") == wire:
            return False
        stored = await self._cluster.put_status(key.resource, {**view.manifest, "status": wire})
        self._mirror.observe(key.resource, stored)
        before = cast(StatusT, view.seen.owner.status)
        for event in self._kind.events(before, status):
            log.info("%s: %s: %s", key, event.reason, event.note)
            await self._cluster.publish(key.resource, stored, event)
        return True

    async def _refresh(self, key: Key) -> None:
        """Somebody was faster: the mirror must not stay behind what the conflict was about."""
        try:
            live: Manifest | None = await self._cluster.get(key.resource, key.namespace, key.name)
        except ClusterError as error:
            log.warning("%s: %s", key, error)
            return
        if live is None:
            self._mirror.drop(key)
        else:
            self._mirror.observe(key.resource, live)


def _outcome(plan: Plan[StatusT], done: Done) -> Outcome:
    after_s = plan.requeue_after.total_seconds() if plan.requeue_after is not None else None
    match done.failure:
        case None if not plan.actions:
            return Settled(after_s)
        case None if any(isinstance(action, Delete) for action in plan.actions):
            return Settled(min(AFTER_DELETE_S, after_s) if after_s is not None else AFTER_DELETE_S)
        case None:
            return Acted()
        case Failure(reason="Rejected" | "Forbidden" | "Quota"):
            return Settled(min(SLOW_RETRY_S, after_s) if after_s is not None else SLOW_RETRY_S)
        case Failure(reason=reason, retry_after_s=retry_after_s):
            return Failed(reason, retry_after_s)
