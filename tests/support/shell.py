"""The shell around one kind on a memory cluster, as a state machine drives it: passes are explicit."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from deepseek_operator.adapters.memory import Change, MemoryCluster
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.look import Look
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.pulls import Pulls
from deepseek_operator.controller.readings import Readings
from deepseek_operator.controller.reconcile import MOST_ROUNDS, Acted, Outcome, Reconciler
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.resources import CLAIM, Manifest
from deepseek_operator.core.seen import Answer, SignalWish, Unavailable
from deepseek_operator.kinds.registry import KINDS
from tests.support.argocd import health
from tests.support.faults import EventPipe
from tests.support.kstatus import broken_rules, kstatus
from tests.support.world import StoppedClock

T = TypeVar("T")
SHOWN = {
    "Current": ("Healthy", "Suspended"),
    "InProgress": ("Progressing", "Suspended"),
    "Failed": ("Degraded",),
    "Terminating": ("Progressing", "Degraded"),
}
"""What Argo CD may show of an object, by what kstatus says of it."""
TOLD_TO_TOOLS = ("Ready", "Suspended", "Reconciling", "Stalled")
"""The conditions that kstatus reads: each is ours, whoever wrote it last."""
_LOOP = asyncio.new_event_loop()
"""One for all passes: to make a loop takes a tenth of the time of what runs on it, and a machine makes thousands."""


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; nothing else runs meanwhile."""
    return _LOOP.run_until_complete(work)


class SilentProgress:
    """A `Progress` whose answers a test sets, by pod name."""

    def __init__(self) -> None:
        self.answers: dict[str, Mapping[str, object]] = {}

    async def pull(self, pod: Manifest) -> Mapping[str, object] | Unavailable:
        """The answer set for the pod; Unavailable when there is none."""
        return self.answers.get(pod["metadata"]["name"], Unavailable("connection refused"))


class SilentStore:
    """A metrics store whose answers a test sets, and what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[str, datetime], Answer] = lambda query, at: Unavailable("connection refused")
        self.asked: list[str] = []

    async def read_all(self, query: str, at: datetime) -> Answer:
        """The answer that the test has set; Unavailable until it has."""
        self.asked.append(query)
        return self.answer(query, at)


class Operator:
    """One process of the operator with one kind. `restart` is what a crash leaves: the mirror is empty again.

    Attributes:
        pipe: watch events that have not reached the mirror yet.
        progress: what pods answer.
        store: what the metrics store answers.
        wishes: what the signals of its owners say.
        woken: keys that the events let through so far ask to look at.

    `most_rounds` is how often a pass acts at most.
    """

    def __init__(
        self, kind: Kind[Any, Any], cluster: MemoryCluster, clock: StoppedClock, most_rounds: int = MOST_ROUNDS
    ) -> None:
        self._most_rounds = most_rounds
        self.kind = kind
        self.cluster = cluster
        self.clock = clock
        self.progress = SilentProgress()
        self.store = SilentStore()
        self.wishes: tuple[SignalWish, ...] = ()
        self.woken: set[Key] = set()
        self._told: dict[Key, set[str]] = {}
        self.pipe = EventPipe(cluster, self._deliver)
        self._start()

    def restart(self) -> None:
        """A new process: it lists everything once and knows nothing else."""
        self.pipe.redirect(self._deliver)
        self._start()

    def _start(self) -> None:
        self.mirror = Mirror(self._wake)
        pulls = Pulls(self.progress, self.clock, timedelta(seconds=5))
        readings = Readings(self.store, self.clock, lambda key: self._wake((key,)))
        self.look = Look(
            self.kind, self.cluster, self.mirror, self.clock, pulls, readings, lambda key, owner: self.wishes
        )
        self._driver = Reconciler(
            self.kind,
            self.cluster,
            self.mirror,
            self.look,
            most_rounds=self._most_rounds,
            caught_up=self._caught_up,
        )
        for resource in sorted({*KINDS.owners, CLAIM, *self.kind.owns}):
            for item in self.cluster.watched(resource):
                self.mirror.observe(resource, item)
        self.woken = set(self._keys())

    def _caught_up(self, key: Key, own: str | None) -> None:
        """As the queue does."""
        if own is None or self._told.get(key, set()) <= {own}:
            self.woken.discard(key)
            self._told.pop(key, None)

    def reconcile(self, key: Key) -> Outcome:
        """One pass. What the kind or a planted crash raises comes through.

        Raises:
            AssertionError: a tool that waits would make nothing, or something else, of the status that it has written.
        """
        self._told.pop(key, None)
        before = self._status(key)
        outcome = finished(self._driver.reconcile(key))
        if (now := self._owner(key)) is not None and now.get("status") not in (None, before):
            self._judge(now, before or {})
        return outcome

    def _judge(self, owner: Manifest, before: Mapping[str, Any]) -> None:
        """Of the kinds that there are; a sham has no conditions, or no script. What a stranger has put among the conditions and
        the pass has not touched is the stranger's."""
        conditions = owner["status"].get("conditions")
        if self.kind.resource not in KINDS.owners or not conditions:
            return
        left = [one for one in before.get("conditions") or () if one.get("type") not in TOLD_TO_TOOLS]
        own = [one for one in conditions if one not in left]
        owner = {**owner, "status": {**owner["status"], "conditions": own}}
        broken = list(broken_rules(owner))
        assert not broken, f"{broken}: {owner['status']}"
        shown, message = health(owner)
        assert shown in SHOWN[kstatus(owner)], f"Argo CD shows {shown} ({message}) of {owner['status']}"

    def _owner(self, key: Key) -> Manifest | None:
        return self.cluster.read(key.resource, key.namespace, key.name)

    def _status(self, key: Key) -> Any:
        return (self._owner(key) or {}).get("status")

    def park(self, key: Key, error: Exception) -> Outcome:
        """What a worker does when a pass over the object has raised."""
        return finished(self._driver.park(key, error, self.clock.now()))

    def audit(self) -> None:
        """What the minute's audit does: ghosts go, missed objects are read."""
        finished(self._audit())

    async def _audit(self) -> None:
        for resource in sorted({*KINDS.owners, CLAIM, *self.kind.owns}):
            found = self.mirror.audit(resource, await self.cluster.list_metadata(resource))
            self._wake(found.woken)
            for at in found.missed:
                live = await self.cluster.get(at.resource, at.namespace, at.name)
                if live is not None:
                    self._wake(self.mirror.observe(resource, live))
        self._wake(self.mirror.forsake(KINDS.owners))

    def settle(self, limit: int = 200) -> None:
        """Delivers all events and passes over every owner, and once over those that have gone, until none acts.

        Raises:
            AssertionError: that never ends.
        """
        for _ in range(limit):
            self.pipe.flush()
            gone = {key for key in self.woken if key.resource == self.kind.resource} - set(self._keys())
            self.woken -= gone
            outcomes = [self.reconcile(key) for key in (*self._keys(), *sorted(gone))]
            if not self.pipe.waiting() and not any(isinstance(outcome, Acted) for outcome in outcomes):
                return
        raise AssertionError(f"still acting after {limit} rounds")

    def _keys(self) -> list[Key]:
        return [key for key in self.mirror.owners() if key.resource == self.kind.resource]

    def _deliver(self, change: Change) -> None:
        feed = self.mirror.forget if change.type == "DELETED" else self.mirror.observe
        metadata, woken = change.manifest["metadata"], feed(change.resource, change.manifest)
        own = Key(change.resource, metadata["namespace"], metadata["name"])
        if change.type == "MODIFIED" and own in woken:
            self._wake((own,), metadata["resourceVersion"])
            woken -= {own}
        self._wake(woken)

    def _wake(self, keys: Iterable[Key], version: str = "") -> None:
        for key in keys:
            self.woken.add(key)
            self._told.setdefault(key, set()).add(version)
