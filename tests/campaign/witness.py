"""Watches the API server itself while everything else is disturbed, and says what must never be true, even for a moment.

Two things: pods of two attempts of one training that run at the same time, and a serving with fewer ready replicas than
nobody has given up.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import OWNER_UID, owner_label
from examples.local_cluster.api import Api, ApiError, Manifest

PODS = "/api/v1/pods"
WATCH_S = 600
PAUSE_S = 0.2


@dataclass(frozen=True)
class Known:
    """What a pod said of itself when it was first seen: somebody may take its labels away later."""

    owner: str
    controller: str
    trains: bool
    serves: bool


@dataclass
class Witness:
    """A context; `alarms` are sentences, each told once.

    Attributes:
        floors: by uid of a serving, how many replicas must be ready. Set when all is well, lowered by whoever takes one.
    """

    api: Api
    alarms: list[str] = field(default_factory=list)
    floors: dict[str, int] = field(default_factory=dict)
    _pods: dict[str, Manifest] = field(default_factory=dict)
    _known: dict[str, Known] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Witness":
        threading.Thread(target=self._work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def lower(self, uid: str, to: int = 0) -> None:
        """Somebody takes replicas of that serving away on purpose."""
        with self._lock:
            if uid in self.floors:
                self.floors[uid] = min(self.floors[uid], max(0, to))

    def trust(self, floors: dict[str, int]) -> None:
        """All is well: from now on these replicas must be ready."""
        with self._lock:
            self.floors = dict(floors)

    def owner_of(self, pod: Manifest) -> str:
        """uid of the training or serving that the pod was made for, whatever its labels say by now."""
        known = self._known.get(str(pod["metadata"]["uid"]))
        return known.owner if known is not None else ""

    def _work(self) -> None:
        while not self._stopped.is_set():
            with suppress(ApiError, OSError, HTTPException, ValueError):
                listed = self.api.get(PODS)
                with self._lock:
                    self._pods = {}
                    for pod in listed["items"]:
                        self._take(pod)
                    self._judge()
                version = str(listed["metadata"]["resourceVersion"])
                for event in self.api.watch(PODS, WATCH_S, resourceVersion=version):
                    if event["type"] == "ERROR" or self._stopped.is_set():
                        break
                    self.see(event)
            time.sleep(PAUSE_S)

    def see(self, event: Manifest) -> None:
        """One event of the watch of pods."""
        pod = event["object"]
        with self._lock:
            if event["type"] == "DELETED":
                self._pods.pop(pod["metadata"]["uid"], None)
            else:
                self._take(pod)
            self._judge()

    def _take(self, pod: Manifest) -> None:
        metadata = pod["metadata"]
        self._pods[metadata["uid"]] = pod
        if metadata["uid"] not in self._known:
            labels = metadata.get("labels") or {}
            controller = next((o["uid"] for o in metadata.get("ownerReferences", ()) if o.get("controller")), "")
            known = Known(
                labels.get(OWNER_UID, ""), controller, owner_label(TRAINING) in labels, owner_label(SERVING) in labels
            )
            self._known[metadata["uid"]] = known

    def _judge(self) -> None:
        gangs: dict[str, set[str]] = {}
        ready: dict[str, int] = {}
        for uid, pod in self._pods.items():
            known = self._known[uid]
            if known.trains and pod.get("status", {}).get("phase") == "Running":
                gangs.setdefault(known.owner, set()).add(known.controller)
            if known.serves and is_ready(pod):
                ready[known.owner] = ready.get(known.owner, 0) + 1
        for owner, jobs in gangs.items():
            if len(jobs) > 1:
                self._tell(f"two gangs of training {owner} run at once: Jobs {', '.join(sorted(jobs))}")
        for owner, floor in self.floors.items():
            if ready.get(owner, 0) < floor:
                self._tell(f"serving {owner} has {ready.get(owner, 0)} ready replicas of {floor} that nobody gave up")

    def _tell(self, alarm: str) -> None:
        if alarm not in self.alarms:
            self.alarms.append(alarm)


def is_ready(pod: Manifest) -> bool:
    """It answers, and is not told to stop."""
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
