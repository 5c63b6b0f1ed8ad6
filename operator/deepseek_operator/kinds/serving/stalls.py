"""Which replicas a watchdog has restarted: read off the last words of their engines, and kept in status.

A container's status tells of its last end only, and goes with its pod. So what was seen is recorded: the newest ends by pod
and moment, and how many there were in all. An end that is older than all recorded ones of a full record counts as known.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving.status import MOST_STALLS, StallStatus, WatchdogStatus
from deepseek_operator.core.resources import Manifest
from deepseek_operator.workloads.last_words import document, tail

RESULT = "Stalled"
"""What our watchdog says at the end."""
EXIT_CODE = 76
_LONGEST = 300


def watchdog_status(before: WatchdogStatus | None, pods: Sequence[Manifest], is_watched: bool) -> WatchdogStatus | None:
    """The record with what these pods tell; None where no watchdog is asked for, and none ever restarted anything."""
    known = before or WatchdogStatus()
    kept = {(one.pod, one.at): one for one in known.last}
    seen = {(one.pod, one.at): one for pod in pods for one in _stalls(pod)}
    newest = sorted({**seen, **kept}.values(), key=lambda one: (one.at, one.pod), reverse=True)[:MOST_STALLS]
    fresh = [one for one in newest if (one.pod, one.at) not in kept]
    if not is_watched and not newest:
        return None
    return WatchdogStatus(restarts=known.restarts + len(fresh), last=newest)


def fresh_stalls(before: WatchdogStatus | None, after: WatchdogStatus | None) -> tuple[StallStatus, ...]:
    """Those that were seen between two statuses, the oldest first."""
    known = {(one.pod, one.at) for one in (before.last if before is not None else ())}
    found = [one for one in (after.last if after is not None else ()) if (one.pod, one.at) not in known]
    return tuple(reversed(found))


def _stalls(pod: Manifest) -> Iterator[StallStatus]:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        for state in ("state", "lastState"):
            ended: Mapping[str, Any] = (container.get(state) or {}).get("terminated") or {}
            said = document(str(ended.get("message") or "")) or {}
            at = str(ended.get("finishedAt") or "")
            if ended.get("exitCode") == EXIT_CODE and said.get("result") == RESULT and parse_time(at) is not None:
                message = tail(str(said.get("message") or ""))[:_LONGEST]
                yield StallStatus(pod=str(pod["metadata"]["name"]), at=at, message=message)
