"""The driver: look, plan, execute, write the status. One for every kind; it knows no kind.

A round decides from the mirror; if that asks for anything final, it looks live and decides again. A record is written
and ends the round. Otherwise the actions run, then the status says what was seen before them: one write, only if it
changed, and events after it, on transitions only. A pass is one round after the other while they act, so that what a
new resource needs is made in one go: what was read live still holds a moment later, and the last round's status tells
of all that was made.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from deepseek_operator.api.base import ApiModel
from deepseek_operator.api.record import KEY as RECORD_KEY
from deepseek_operator.api.record import spread
from deepseek_operator.controller.announcer import Announce
from deepseek_operator.controller.aside import Aside
from deepseek_operator.controller.execute import Executor
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.look import Look
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.parking import parked, parked_status
from deepseek_operator.controller.view import View
from deepseek_operator.core.actions import Action, Delete, Done, Failure, Plan
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.kept import TooLarge
from deepseek_operator.core.kind import Decision, Event, Kind
from deepseek_operator.core.ownership import is_child
from deepseek_operator.core.resources import POD, Manifest, Resource, controller_of, uid_of
from deepseek_operator.ports.cluster import Cluster, ClusterError, Conflict, Throttled

log = logging.getLogger(__name__)

SLOW_RETRY_S = 60.0
"""What the API server refuses for its content, a right or a quota, or doesn't serve, is tried again after this, or at an
event."""
_NOTE_LENGTH = 1024
MOST_ROUNDS = 5
"""Of a pass. A new training takes four: its claim, what is recorded of it, its Job, whose Job that is."""
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

    async def park(self, key: Key, error: Exception, now: datetime) -> Outcome:
        """Says on the object that raised `error` that it is left alone, and when it is looked at again."""


@dataclass
class _Way(Generic[OwnerT]):
    """How far a pass has come.

    Attributes:
        left: rounds that it may still take.
        read: its latest look, which holds for the next round where it was live.
        actions: what its latest round did.
        presumes: names that nobody is known to have may count as free; until one was taken.
    """

    left: int
    read: View[OwnerT] | None = None
    actions: tuple[Action, ...] = ()
    presumes: bool = True

    def doubt(self) -> None:
        """A name was taken that counted as free: the next look reads all of them."""
        self.read, self.actions, self.presumes = None, (), False


class Reconciler(Generic[OwnerT, StatusT]):
    """The driver of one kind. `caught_up` hears of each key all of whose news a round is about to look
    at, and of the version of its object that a pass has written."""

    def __init__(
        self,
        kind: Kind[OwnerT, StatusT],
        cluster: Cluster,
        mirror: Mirror,
        look: Look[OwnerT, StatusT],
        aside: Aside | None = None,
        announce: Announce | None = None,
        most_rounds: int = MOST_ROUNDS,
        caught_up: Callable[[Key, str | None], None] = lambda key, own: None,
    ) -> None:
        self._kind = kind
        self._cluster = cluster
        self._mirror = mirror
        self._look = look
        self._aside = aside or Aside()
        self._announce = announce or cluster.publish
        self._most_rounds = most_rounds
        self._caught_up = caught_up
        self._executor = Executor(cluster, mirror, kind.owns)
        self._parked: dict[Key, tuple[Verdict, ...]] = {}
        self._pruning: set[Resource] = set()

    async def reconcile(self, key: Key) -> Outcome:
        """One pass over one custom resource."""
        try:
            outcome = await self._pass(key)
            self._parked.pop(key, None)
            return outcome
        except Conflict:
            await self._refresh(key)
            return Acted()
        except Throttled as error:
            return Failed("Throttled", error.retry_after_s)
        except ClusterError as error:
            log.warning("%s: %s", key, error)
            return Failed(type(error).__name__)

    async def park(self, key: Key, error: Exception, now: datetime) -> Outcome:
        """Tells it once in the log and in the object's conditions; an edit ends it, or a pass that gets through.

        Such a pass is tried with the queue's backoff, of what is too large only an edit makes less. Nothing here parses
        the object: that may be what failed.
        """
        manifest = self._mirror.get(key.resource, key.namespace, key.name)
        if manifest is None:
            return Gone()
        verdicts = parked(error)
        if self._parked.get(key) != verdicts:
            self._parked[key] = verdicts
            version = manifest["metadata"]["resourceVersion"]
            # What is too large is its owner's matter; any other failure is this program's, and its place is wanted.
            place = None if isinstance(error, TooLarge) else error
            log.error("%s, version %s: %s; this object is parked", key, version, verdicts[0].message, exc_info=place)
        status = parked_status(manifest, verdicts, now)
        unsaid = None
        if status != manifest.get("status"):
            unsaid = await self._say(key, {**manifest, "status": status}, verdicts[0])
        if unsaid is not None:
            return Failed(verdicts[0].reason, unsaid.retry_after_s if isinstance(unsaid, Throttled) else 0.0)
        return Settled() if isinstance(error, TooLarge) else Failed(verdicts[0].reason)

    async def _say(self, key: Key, manifest: Manifest, verdict: Verdict) -> ClusterError | None:
        """An object whose status can't be written either is parked all the same; returns why it can't."""
        try:
            self._mirror.learn(key, key.resource, stored := await self._cluster.put_status(key.resource, manifest))
            event = Event("Warning", verdict.reason, "Park", verdict.message[:_NOTE_LENGTH])
            await self._announce(key.resource, stored, event)
        except Conflict as error:
            await self._refresh(key)
            return error
        except ClusterError as error:
            log.warning("%s: its status can't be written: %s", key, error)
            return error
        return None

    async def _pass(self, key: Key) -> Outcome:
        way = _Way[OwnerT](self._most_rounds)
        while True:
            # A watch often tells of a write before its answer is here: the next round sees it, and no pass is due for it.
            self._caught_up(key, None)
            await self._part(key)
            for uid in sorted(self._mirror.forsaken(key)):
                await self._sweep(key, uid)
            outcome = await self._round(key, way)
            if not isinstance(outcome, Acted) or not way.left:
                return outcome

    async def _round(self, key: Key, way: "_Way[OwnerT]") -> Outcome:
        """One look, and what follows from it."""
        way.left -= 1
        # Behind a live look the mirror alone knows less: deciding from it first would be for nothing.
        read = way.read if way.read is not None and self._look.holds(key, way.read) else None
        if read is not None:
            view: View[OwnerT] | None = await self._look.renewed(key, read)
        else:
            view = await self._look.first(key, way.presumes)
        decision = await self._decided(key, view) if view is not None else None
        if view is not None and decision is not None and not view.suffices(decision.plan):
            view = await self._look.live(key)
            decision = await self._decided(key, view) if view is not None else None
        if view is None or decision is None:
            return Gone()
        way.read, plan = view, decision.plan
        if plan.record is not None:
            outcome = await self._record(key, view, plan.record)
            way.read = view.confirmed()
            return outcome
        if plan.actions and plan.actions == way.actions:  # It is undone, or never shows: the queue slows that down.
            way.left = 0
            await self._report(key, view, decision.status(Done()))
            return Acted()
        done = await self._executor.execute(key, uid_of(view.manifest), plan.actions, view.free)
        if way.left and view.reading is not None and view.reading.presumes and _is_conflict(done):
            way.doubt()
            return Acted()
        outcome, way.actions = _outcome(plan, done), plan.actions
        if not way.left or not isinstance(outcome, Acted):
            await self._report(key, view, decision.status(done))
        return outcome

    async def _decided(self, key: Key, view: View[OwnerT]) -> Decision[StatusT]:
        if not self._kind.is_dear(view.seen):
            return self._kind.decide(view.seen)
        return await self._aside.run(key.namespace, partial(self._kind.decide, view.seen))

    async def _part(self, key: Key) -> None:
        """Tells what an owner that has gone leaves behind; a successor of its name may be there already."""
        if (manifest := self._mirror.departed(key)) is None:
            return
        for event in self._farewell(key, manifest):
            log.info("%s: %s: %s", key, event.reason, event.note)
            await self._announce(key.resource, manifest, event)
        await self._sweep(key, uid_of(manifest))

    def _farewell(self, key: Key, manifest: Manifest) -> tuple[Event, ...]:
        """Nothing of one that could not be borne: it was parked while it lived, and is not its successor's matter."""
        try:
            return self._kind.farewell(self._kind.parse(manifest))
        except Exception as error:
            log.info("%s has gone, and what it leaves can't be told: %s", key, type(error).__name__)
            return ()

    async def _sweep(self, key: Key, owner_uid: str) -> None:
        """Ends the pods of an owner that is no more and that nobody controls: nothing else ever would.

        What was left behind on purpose (`--cascade=orphan`) and has a controller, as pods have in their Job, stays.
        """
        left = self._mirror.children(key.namespace, owner_uid)
        pods = [(ref, pod) for ref, pod in sorted(left.items()) if ref.resource == POD and controller_of(pod) is None]
        pods = [(ref, pod) for ref, pod in pods if is_child(key.resource, key.name, owner_uid, POD, pod)]
        if not pods:
            return
        owner = await self._cluster.get(key.resource, key.namespace, key.name)
        for ref, pod in pods if owner is None or uid_of(owner) != owner_uid else ():
            log.info("%s: deletes %s because its owner is gone and nobody controls it", key, ref)
            await self._cluster.delete(POD, key.namespace, ref.name, uid_of(pod), "Background")

    async def _record(self, key: Key, view: View[OwnerT], record: StatusT) -> Outcome:
        if not await self._report(key, view, record):
            raise RuntimeError(f"{key}: the plan records what is recorded already; it would never end")
        return Acted()

    async def _report(self, key: Key, view: View[OwnerT], status: StatusT) -> bool:
        """Writes the status if it changed, then its events. Returns whether it was written."""
        wire = status.to_wire()
        known = view.manifest.get("status")
        if known == wire or known == spread(wire):
            return False
        stored = await self._put(key.resource, view.manifest, wire)
        self._mirror.learn(key, key.resource, stored)
        self._caught_up(key, stored["metadata"]["resourceVersion"])  # A watch may have told of it before the answer.
        before = cast(StatusT, view.seen.owner.status)
        for event in self._kind.events(before, status):
            log.info("%s: %s: %s", key, event.reason, event.note)
            await self._announce(key.resource, stored, event)
        return True

    async def _put(self, resource: Resource, manifest: Manifest, wire: dict[str, Any]) -> Manifest:
        """Writes a status; where the definitions are of an earlier release, which prune the record, in its old places."""
        if resource not in self._pruning:
            stored = await self._cluster.put_status(resource, {**manifest, "status": wire})
            if RECORD_KEY not in wire or RECORD_KEY in (stored.get("status") or {}):
                return stored
            self._pruning.add(resource)
            log.warning("the definition of %s is of an earlier release: apply this release's crds/", resource.plural)
            manifest = stored
        return await self._cluster.put_status(resource, {**manifest, "status": spread(wire)})

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
            self._mirror.learn(key, key.resource, live)


def _is_conflict(done: Done) -> bool:
    return done.failure is not None and done.failure.reason == "Conflict"


def _outcome(plan: Plan[StatusT], done: Done) -> Outcome:
    after_s = plan.requeue_after.total_seconds() if plan.requeue_after is not None else None
    match done.failure:
        case None if not plan.actions:
            return Settled(after_s)
        case None if any(isinstance(action, Delete) for action in plan.actions):
            return Settled(min(AFTER_DELETE_S, after_s) if after_s is not None else AFTER_DELETE_S)
        case None:
            return Acted()
        case Failure(reason="Rejected" | "NotServed" | "Forbidden" | "Quota"):
            return Settled(min(SLOW_RETRY_S, after_s) if after_s is not None else SLOW_RETRY_S)
        case Failure(reason=reason, retry_after_s=retry_after_s):
            return Failed(reason, retry_after_s)
