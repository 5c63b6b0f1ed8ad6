"""Which devices the pods of objects hold, and for how long: told of every kind alike, read off the pods themselves.

Held is what a scheduled pod asks for until it is over, whether it computes or loads. The time is added up at each scrape:
what begins and ends between two of them is not in it, and a process that begins to lead begins at zero, as counters may.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from deepseek_operator.api.base import parse_time
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.metrics import Metric, Row
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import POD, Manifest, labels_of
from deepseek_operator.workloads.pod.state import devices_held

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
DEVICE_POD_INFO = Metric(
    "deepseek_operator_device_pod_info",
    "1 for each pod that holds some, with its node: what a device exporter tells is found by it.",
    labels=("kind", "pod", "node"),
)
CONTAINER_RESTARTS = Metric(
    "deepseek_operator_container_restarts_total",
    "Starts of containers over again in the object's pods, as of each scrape.",
    labels=("kind",),
)
HELD = (DEVICES, DEVICE_SECONDS, DEVICE_POD_INFO, CONTAINER_RESTARTS)


@dataclass(frozen=True)
class _Pod:
    version: int
    name: str
    node: str
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
    _restarts: dict[str, float] = field(default_factory=dict)
    _last: datetime | None = None

    def forget(self) -> None:
        """Another process leads: what is held meanwhile is its to count."""
        self._pods, self._seconds, self._restarts, self._last = {}, {}, {}, None

    def look(self, owners: Mapping[str, tuple[str, Key]], now: datetime) -> Mapping[Metric, list[tuple[Key, Row]]]:
        """Rows of each metric, by whose they are; `owners` has word and key of every object by uid."""
        before, self._pods = self._pods, dict(self._read())
        devices: dict[tuple[str, str], float] = {}
        for uid, pod in self._pods.items():
            if pod.owner_uid not in owners:
                continue
            self._restarts[pod.owner_uid] = self._restarts.get(pod.owner_uid, 0.0) + self._new_restarts(
                pod, before.get(uid)
            )
            for resource, count in pod.devices.items():
                at = pod.owner_uid, resource
                devices[at] = devices.get(at, 0.0) + count
                self._seconds[at] = self._seconds.get(at, 0.0) + count * self._new_s(pod, now)
        self._seconds = {at: seconds for at, seconds in self._seconds.items() if at[0] in owners}
        self._restarts = {uid: count for uid, count in self._restarts.items() if uid in owners}
        self._last = now
        return {
            DEVICES: list(_rows(owners, devices)),
            DEVICE_SECONDS: list(_rows(owners, self._seconds)),
            DEVICE_POD_INFO: list(_info(owners, self._pods.values())),
            CONTAINER_RESTARTS: [(owners[uid][1], ((owners[uid][0],), count)) for uid, count in self._restarts.items()],
        }

    def _new_restarts(self, pod: _Pod, before: _Pod | None) -> float:
        """Since the last scrape; none of what was there before the first."""
        if self._last is None:
            return 0.0
        return max(0.0, pod.restarts - (before.restarts if before is not None else 0.0))

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
                known = _pod(version, key.name, self.mirror.get(POD, key.namespace, key.name) or {})
            yield uid, known


def _rows(owners: Mapping[str, tuple[str, Key]], found: Mapping[tuple[str, str], float]) -> Iterator[tuple[Key, Row]]:
    for (uid, resource), number in found.items():
        word, key = owners[uid]
        yield key, ((word, resource), number)


def _info(owners: Mapping[str, tuple[str, Key]], pods: Iterable[_Pod]) -> Iterator[tuple[Key, Row]]:
    for pod in pods:
        if pod.devices and pod.owner_uid in owners:
            word, key = owners[pod.owner_uid]
            yield key, ((word, pod.name, pod.node), 1.0)


def _pod(version: int, name: str, pod: Manifest) -> _Pod:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return _Pod(
        version,
        name,
        str(spec.get("nodeName") or ""),
        owner_uid=labels_of(pod).get(OWNER_UID, ""),
        since=parse_time(status.get("startTime")),
        devices=devices_held(pod),
        restarts=sum(float(one.get("restartCount") or 0) for one in status.get("containerStatuses") or ()),
    )
