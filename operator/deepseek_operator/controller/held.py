"""Which devices the pods of objects hold, and for how long: told of every kind alike, read off the pods themselves.

Held is what a scheduled pod asks for until it is over, whether it computes or loads. The time is added up at each scrape:
what begins and ends between two of them is not in it, and a process that begins to lead begins at zero, as counters may.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from deepseek_operator.api.base import parse_time
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.metrics import Metric, Row
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import POD, Manifest, labels_of
from deepseek_operator.workloads.pod.state import is_active, is_placed

_LABELS = ("kind", "resource")


DEVICES = Metric(
    "deepseek_operator_devices",
    "Extended resources, such as devices, that placed pods of the object hold.",
    labels=_LABELS,
)
DEVICE_SECONDS = Metric(
    "deepseek_operator_device_seconds_total",
    "Seconds for which they were held, times their number, as of each scrape.",
    labels=_LABELS,
)
CONTAINER_RESTARTS = Metric(
    "deepseek_operator_container_restarts",
    "Starts of containers over again in the object's living pods.",
    labels=("kind",),
)
HELD = (DEVICES, DEVICE_SECONDS, CONTAINER_RESTARTS)


@dataclass(frozen=True)
class _Pod:
    version: int
    owner_uid: str
    since: datetime | None
    devices: Mapping[str, float]
    restarts: float


@dataclass
class Held:
    """What one process has seen held. `look` at each scrape."""

    mirror: Mirror
    _pods: dict[str, _Pod] = field(default_factory=dict)
    _seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    _last: datetime | None = None

    def forget(self) -> None:
        """Another process leads: what is held meanwhile is its to count."""
        self._pods, self._seconds, self._last = {}, {}, None

    def look(self, owners: Mapping[str, tuple[str, Key]], now: datetime) -> Mapping[Metric, list[tuple[Key, Row]]]:
        """Rows of each metric, by whose they are; `owners` has word and key of every object by uid."""
        self._pods = dict(self._read())
        devices: dict[tuple[str, str], float] = {}
        restarts: dict[str, float] = {}
        for pod in self._pods.values():
            if pod.owner_uid not in owners:
                continue
            restarts[pod.owner_uid] = restarts.get(pod.owner_uid, 0.0) + pod.restarts
            for resource, count in pod.devices.items():
                at = pod.owner_uid, resource
                devices[at] = devices.get(at, 0.0) + count
                self._seconds[at] = self._seconds.get(at, 0.0) + count * self._new_s(pod, now)
        self._seconds = {at: seconds for at, seconds in self._seconds.items() if at[0] in owners}
        self._last = now
        return {
            DEVICES: list(_rows(owners, devices)),
            DEVICE_SECONDS: list(_rows(owners, self._seconds)),
            CONTAINER_RESTARTS: [(owners[uid][1], ((owners[uid][0],), count)) for uid, count in restarts.items()],
        }

    def _new_s(self, pod: _Pod, now: datetime) -> float:
        """Seconds for which the pod has held what it holds since the last scrape."""
        if self._last is None:
            return 0.0
        since = max(self._last, pod.since) if pod.since is not None else self._last
        return max(0.0, (now - since).total_seconds())

    def _read(self) -> Iterator[tuple[str, _Pod]]:
        for key, uid, version in self.mirror.versions(POD):
            known = self._pods.get(uid)
            if known is None or known.version != version:
                known = _pod(version, self.mirror.get(POD, key.namespace, key.name) or {})
            yield uid, known


def _rows(owners: Mapping[str, tuple[str, Key]], found: Mapping[tuple[str, str], float]) -> Iterator[tuple[Key, Row]]:
    for (uid, resource), number in found.items():
        word, key = owners[uid]
        yield key, ((word, resource), number)


def _pod(version: int, pod: Manifest) -> _Pod:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    restarts = sum(float(one.get("restartCount") or 0) for one in status.get("containerStatuses") or ())
    living = is_active(pod)
    devices = dict(_devices(spec)) if living and is_placed(pod) else {}
    owner_uid = labels_of(pod).get(OWNER_UID, "")
    return _Pod(version, owner_uid, parse_time(status.get("startTime")), devices, restarts if living else 0.0)


def _devices(spec: Manifest) -> Iterator[tuple[str, float]]:
    """By extended resource, whose names alone have a domain; they are whole, and limits are what is asked for."""
    found: dict[str, float] = {}
    for container in spec.get("containers") or ():
        limits = (container.get("resources") or {}).get("limits") or {}
        for resource, count in limits.items():
            if "/" in resource and str(count).isdecimal():
                found[resource] = found.get(resource, 0.0) + float(count)
    yield from found.items()
