"""Crashes, and watch events that come late, twice, out of order or never."""

from collections import deque
from collections.abc import Callable

from deepseek_operator.adapters.memory import Change, Fault, MemoryCluster
from deepseek_operator.core.resources import Ref, Resource

PipeKey = tuple[Resource, str, str]


class Crash(BaseException):
    """The operator's process is killed here; no `except Exception` may catch it."""


def crash_at_write(cluster: MemoryCluster, nth: int, committed: bool) -> None:
    """The n-th write from now (1 is the next) kills the operator, before or after the server carried it out."""
    cluster.faults[cluster.attempts + nth] = Fault(Crash(f"at write {nth}"), committed)


def happens_before_request(cluster: MemoryCluster, nth: int, happens: Callable[[], None]) -> None:
    """`happens` just before the n-th request from now (1 is the next), and never if there are not so many."""
    left = nth

    def asked(verb: str, namespace: str, ref: Ref) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            cluster.refuse = lambda verb, namespace, ref: None
            happens()

    cluster.refuse = asked


class EventPipe:
    """Watch events between the cluster and a mirror, kept in order per object until they are let through.

    Attributes:
        is_eager: a watch tells of each write before its answer is here.
    """

    def __init__(self, cluster: MemoryCluster, deliver: Callable[[Change], None]) -> None:
        self._deliver = deliver
        self.is_eager = False
        self._queues: dict[PipeKey, deque[Change]] = {}
        cluster.listeners.append(self._arrived)

    def redirect(self, deliver: Callable[[Change], None]) -> None:
        """A new process takes the events; what the old one had not seen is lost to it."""
        self._deliver = deliver
        self._queues.clear()

    def waiting(self) -> list[PipeKey]:
        """Objects with undelivered events, in a stable order."""
        return sorted(key for key, queue in self._queues.items() if queue)

    def let_through(self, key: PipeKey) -> None:
        """Delivers the oldest event of one object."""
        self._deliver(self._queues[key].popleft())

    def drop(self, key: PipeKey) -> None:
        """The oldest event of one object is lost."""
        self._queues[key].popleft()

    def repeat(self, key: PipeKey) -> None:
        """The oldest event is delivered, and will be again."""
        self._deliver(self._queues[key][0])

    def swap(self, key: PipeKey) -> None:
        """The two oldest events of one object change places."""
        queue = self._queues[key]
        if len(queue) > 1:
            queue[0], queue[1] = queue[1], queue[0]

    def flush(self) -> None:
        """Delivers everything that waits."""
        for key in self.waiting():
            while self._queues[key]:
                self.let_through(key)

    def _arrived(self, change: Change) -> None:
        metadata = change.manifest["metadata"]
        key = (change.resource, metadata["namespace"], metadata["name"])
        self._queues.setdefault(key, deque()).append(change)
        while self.is_eager and self._queues[key]:
            self.let_through(key)
