"""Whether a revision ever got requests without a replica that serves, from every change of route and pods in order.

All objects of one API server count in one revision number, which orders the changes of two watches.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepseek_operator.kinds.serving.routes import condition_of, places_of

REVISION = "deepseek-operator.io/revision"
Event = dict[str, Any]


@dataclass
class Parts:
    """What is known after some changes.

    Attributes:
        written: parts by revision, as the route says.
        sent: parts as the Gateway's controller has last seen the route.
        pods: revision, and whether it serves and stays, by uid.
    """

    written: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    pods: dict[str, tuple[str, bool]] = field(default_factory=dict)

    @property
    def serving(self) -> set[str]:
        """Revisions with a replica that is ready and stays."""
        return {revision for revision, serves in self.pods.values() if serves}


def in_order(*watches: Iterable[Event]) -> list[Event]:
    """The events of all watches, as the API server had them."""
    events = [event for watch in watches for event in watch if event["type"] in ("ADDED", "MODIFIED", "DELETED")]
    return sorted(events, key=lambda event: int(event["object"]["metadata"]["resourceVersion"]))


def breaches(events: Iterable[Event]) -> Iterator[str]:
    """What must not be, once a revision with a part serves for the first time: a part is given to one that does not serve,
    or the last replica of one is told to end that the route or the Gateway's controller gives a part."""
    now, has_begun = Parts(), False
    for event in events:
        before = Parts(now.written, now.sent, dict(now.pods))
        _follow(now, event)
        if has_begun:
            yield from _breach(before, now, event["object"])
        has_begun = has_begun or bool(now.serving & now.sent.keys())


def _follow(now: Parts, event: Event) -> None:
    live = event["object"]
    if live["kind"] == "HTTPRoute":
        now.written = {name: part for name, part in places_of(live) if part > 0}
        told = [condition_of(parent, "Accepted") for parent in (live.get("status") or {}).get("parents") or ()]
        if told and all(one.get("observedGeneration", 0) >= live["metadata"]["generation"] for one in told):
            now.sent = now.written
        return
    uid, revision = live["metadata"]["uid"], live["metadata"]["labels"].get(REVISION, "")
    if event["type"] == "DELETED":
        now.pods.pop(uid, None)
    else:
        now.pods[uid] = revision, is_serving(live)


def is_serving(pod: Mapping[str, Any]) -> bool:
    """It is ready and stays."""
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions") or ())
    return ready and "deletionTimestamp" not in pod["metadata"]


def _breach(before: Parts, now: Parts, live: dict[str, Any]) -> Iterator[str]:
    at = live["metadata"]["resourceVersion"]
    for name in sorted(now.written.keys() - before.written.keys() - now.serving):
        yield f"at {at} revision {name} was given a part without a replica that serves: {now.written}, {now.pods}"
    if live["kind"] == "Pod" and "deletionTimestamp" in live["metadata"]:
        for name in sorted((before.serving - now.serving) & (now.written.keys() | now.sent.keys())):
            yield f"at {at} the last replica of {name} was told to end: {now.written}, seen {now.sent}"
