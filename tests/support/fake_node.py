"""A node that a test directs: it places and runs every pod of a namespace at once (unless it is to take its time to become
ready), and ends them as it is told.

It speaks to a real API server as scheduler and kubelet do (binding, pod status, the last delete), so that the real
controllers react. Containers do not exist.
"""

import threading
import time
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

from examples.local_cluster.api import Api, ApiError, Manifest

LOOK_EVERY_S = 0.2
HEARTBEAT_EVERY_S = 5.0


class FakeNode:
    """Node `name`, with the pods of one namespace. Use it as a context manager.

    Attributes:
        loads_s: how long a pod with a readiness probe runs before it is ready: an engine reads its model.
        lingers: pods with DisruptionTarget stay terminating until this is False again: a worker that saves.
    """

    def __init__(self, api: Api, namespace: str, name: str, loads_s: float = 0.0) -> None:
        self._api = api
        self._name = name
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.loads_s = loads_s
        self._loading: dict[str, float] = {}
        self.lingers = False
        self.failure: Exception | None = None
        self._beaten = 0.0

    def __enter__(self) -> "FakeNode":
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name}}
        self._api.apply(f"/api/v1/nodes/{self._name}", node)
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(30)

    # --- what a test orders ------------------------------------------------------------------------------------

    def pods(self, selector: str = "") -> list[Manifest]:
        """The pods as they are now, by name."""
        items: list[Manifest] = self._api.get(self._pods, labelSelector=selector)["items"]
        return sorted(items, key=lambda pod: str(pod["metadata"]["name"]))

    def evict(self, pod: Manifest) -> None:
        """Somebody disrupts the pod: it is told to stop."""
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        self._set(pod, {"conditions": [*_conditions(pod), _since(condition)]})
        self._api.delete(f"{self._pods}/{pod['metadata']['name']}")

    def end(self, pod: Manifest, exit_code: int, message: str = "") -> None:
        """Every container of the pod ends."""
        reason = "Completed" if exit_code == 0 else "Error"
        state = {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": _now()}
        ready = _since({"type": "Ready", "status": "False", "reason": "PodCompleted"})
        status = {
            "phase": "Succeeded" if exit_code == 0 else "Failed",
            "containerStatuses": _containers(pod, {"terminated": state}, is_ready=False),
            "conditions": [*(c for c in _conditions(pod) if c["type"] != "Ready"), ready],
        }
        self._set(pod, status)

    # --- what it does by itself --------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                for pod in self.pods():
                    self._beat_in_time()
                    self._tend(pod)
                self._beat_in_time()
            except (ApiError, OSError, HTTPException) as error:
                self.failure = error

    def _tend(self, pod: Manifest) -> None:
        path, phase = f"{self._pods}/{pod['metadata']['name']}", pod["status"].get("phase")
        try:
            if "deletionTimestamp" in pod["metadata"]:
                if self.lingers and any(c["type"] == "DisruptionTarget" for c in _conditions(pod)):
                    return
                if phase == "Running":
                    self.end(pod, 75)
                self._api.delete(path, grace_s=0)
                self._loading.pop(pod["metadata"]["uid"], None)
            elif not pod["spec"].get("nodeName"):
                target = {"apiVersion": "v1", "kind": "Node", "name": self._name}
                self._api.create(f"{path}/binding", {"metadata": {"name": pod["metadata"]["name"]}, "target": target})
            elif phase == "Pending":
                self._run(pod, is_ready=not self._is_loading(pod))
            elif phase == "Running" and _is_not_ready(pod) and not self._is_loading(pod):
                self._run(pod, is_ready=True)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _is_loading(self, pod: Manifest) -> bool:
        """It was seen first less than `loads_s` ago; one that was ready stays so, whatever is doubted since."""
        if not any("readinessProbe" in container for container in pod["spec"]["containers"]):
            return False
        begun = self._loading.setdefault(pod["metadata"]["uid"], time.monotonic())
        return time.monotonic() - begun < self.loads_s

    def _run(self, pod: Manifest, *, is_ready: bool) -> None:
        whether = {"PodScheduled": True, "Initialized": True, "ContainersReady": is_ready, "Ready": is_ready}
        conditions = [_since({"type": kind, "status": str(holds)}) for kind, holds in whether.items()]
        running = _containers(pod, {"running": {"startedAt": _now()}}, is_ready=is_ready)
        self._set(
            pod, {"phase": "Running", "startTime": _now(), "conditions": conditions, "containerStatuses": running}
        )

    def _set(self, pod: Manifest, status: dict[str, Any]) -> None:
        self._api.patch(f"{self._pods}/{pod['metadata']['name']}/status", {"status": status})

    def _beat_in_time(self) -> None:
        """However long a look takes: a busy machine makes minutes of seconds."""
        if time.monotonic() - self._beaten >= HEARTBEAT_EVERY_S:
            self._beat()

    def _beat(self) -> None:
        """Without it the controllers taint the node and evict its pods."""
        self._beaten = time.monotonic()
        ready = {"type": "Ready", "status": "True", "reason": "Fake", "lastHeartbeatTime": _now()}
        capacity = {"cpu": "1000", "memory": "1Ti", "pods": "1000"}
        status = {"conditions": [_since(ready)], "capacity": capacity, "allocatable": capacity}
        self._api.patch(f"/api/v1/nodes/{self._name}/status", {"status": status})


def _containers(pod: Manifest, state: dict[str, Any], *, is_ready: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": is_ready,
            "restartCount": 0,
            "state": state,
        }
        for container in pod["spec"]["containers"]
    ]


def _is_not_ready(pod: Manifest) -> bool:
    """Not yet, or not any more: controllers take Ready away when the node was silent for too long, and a kubelet that is back
    sets it again."""
    return any(condition["type"] == "Ready" and condition["status"] == "False" for condition in _conditions(pod))


def _conditions(pod: Manifest) -> list[dict[str, Any]]:
    return list(pod["status"].get("conditions") or ())


def _since(condition: dict[str, Any]) -> dict[str, Any]:
    return {"lastTransitionTime": _now(), **condition}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
