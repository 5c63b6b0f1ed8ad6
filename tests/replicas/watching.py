"""Whether clients were ever led to a replica that was not whole, by every change that the API server tells of it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException

from examples.local_cluster.api import Api, ApiError, Manifest
from tests.support.groups import NUMBER, RANK, SERVICE, set_of

SIZE = "leaderworkerset.sigs.k8s.io/size"
WATCH_S = 1800


@dataclass(frozen=True)
class Change:
    """One change: its number among all of the store, when it was heard of (monotonic), and the object after it."""

    number: int
    at_s: float
    is_gone: bool
    found: Manifest


@dataclass(frozen=True)
class State:
    """Since when, which leaders clients were led to, and those of them that lacked a worker; by uid."""

    at_s: float
    led_to: frozenset[str]
    halves: frozenset[str]


class Watched:
    """Pods of replicas and endpoints of `x` in a namespace, from its making on. Changes of both have one order, the store's."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._changes: list[Change] = []
        self._api = api
        pods = (f"/api/v1/namespaces/{namespace}/pods", "leaderworkerset.sigs.k8s.io/name")
        slices = (
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            f"kubernetes.io/service-name={SERVICE}",
        )
        for path, selector in (pods, slices):
            threading.Thread(target=self._watch, args=(path, selector), daemon=True).start()

    def states(self, since_s: float = 0.0) -> Iterator[State]:
        """What was so after each change since then."""
        pods: dict[str, Manifest] = {}
        ready: dict[str, frozenset[str]] = {}
        at_s = 0.0
        for change in sorted(self._changes, key=lambda change: change.number):
            found, at_s = change.found, max(at_s, change.at_s)
            into = pods if "containers" in (found.get("spec") or {}) else None
            uid = found["metadata"]["uid"]
            if into is not None and change.is_gone:
                into.pop(uid, None)
            elif into is not None:
                into[uid] = found
            else:
                ready[uid] = frozenset() if change.is_gone else _ready(found)
            led_to = frozenset[str]().union(*ready.values())
            if at_s >= since_s:
                yield State(at_s, led_to, frozenset(one for one in led_to if not _is_whole(one, pods)))

    def longest_half_s(self, since_s: float = 0.0) -> float:
        """For how long at most clients were led to a leader that lacked a worker, in one go."""
        began: dict[str, float] = {}
        longest = 0.0
        for state in self.states(since_s):
            for at_s in began.values():
                longest = max(longest, state.at_s - at_s)
            began = {leader: began.get(leader, state.at_s) for leader in state.halves}
        return max([longest, *(time.monotonic() - at_s for at_s in began.values())])

    def fewest(self, since_s: float) -> int:
        """How many leaders clients were led to at the worst moment since then."""
        return min(len(state.led_to) for state in self.states(since_s))

    def _watch(self, path: str, selector: str) -> None:
        try:
            for event in self._api.watch(path, timeout_s=WATCH_S, labelSelector=selector):
                found = event["object"]
                number = int(found["metadata"]["resourceVersion"])
                self._changes.append(Change(number, time.monotonic(), event["type"] == "DELETED", found))
        except (OSError, HTTPException, ApiError, ValueError):
            return


def _ready(piece: Manifest) -> frozenset[str]:
    return frozenset(one["targetRef"]["uid"] for one in piece.get("endpoints") or () if one["conditions"].get("ready"))


def _is_whole(leader: str, pods: dict[str, Manifest]) -> bool:
    """All workers of its replica run, by containers that never ended."""
    found = pods.get(leader)
    if found is None:
        return False
    number, labels = int(found["metadata"]["annotations"][SIZE]), found["metadata"]["labels"]
    workers = [
        one
        for one in pods.values()
        if set_of(one) == set_of(found)
        and one["metadata"]["labels"][NUMBER] == labels[NUMBER]
        and one["metadata"]["labels"][RANK] != "0"
    ]
    return sum(map(_runs, workers)) >= number - 1


def _runs(pod: Manifest) -> bool:
    containers = pod["status"].get("containerStatuses") or ()
    return bool(containers) and all("running" in one["state"] and one["restartCount"] == 0 for one in containers)
