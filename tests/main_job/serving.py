"""The second half: the trained weights behind HTTP, and replicas that follow the load 1 → 3 → 1."""

import json
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.main_job.pictures import Moment
from tests.support.kubectl import CommandFailed, Kubectl, NotReached, lines_of, until

LOAD_SCRIPT = Path(__file__).with_name("load.py")


def wait_available(kubectl: Kubectl, name: str, timeout_s: float) -> dict[str, Any]:
    """The serving resource once it is Ready and settled."""

    def look() -> dict[str, Any] | None:
        serving = kubectl.get("deepseekserving", name) or {}
        conditions = {c["type"]: c["status"] for c in serving.get("status", {}).get("conditions", ())}
        return serving if conditions.get("Ready") == "True" and conditions.get("Reconciling") != "True" else None

    found: dict[str, Any] = until(f"DeepSeekServing/{name} is available", look, timeout_s=timeout_s)
    return found


def client_pod(name: str, image: str, arguments: list[str], files: str) -> dict[str, Any]:
    """A pod that runs load.py with `arguments`; `files` is the ConfigMap that holds it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "load"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "load",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-u", "/files/load.py", *arguments],
                    # Without a share of its own the client starves beside busy engines, and the load is no load.
                    "resources": {"requests": {"cpu": "200m", "memory": "64Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "files", "mountPath": "/files", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "files", "configMap": {"name": files}}],
        },
    }


def provide_files(kubectl: Kubectl, name: str, prompts: list[dict[str, str]]) -> None:
    """The ConfigMap with load.py and the held-out prompts."""
    data = {"load.py": LOAD_SCRIPT.read_text(), "prompts.jsonl": "".join(json.dumps(row) + "\n" for row in prompts)}
    kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))


def measure_accuracy(kubectl: Kubectl, url: str, model: str, image: str, timeout_s: float) -> dict[str, Any]:
    """Asks the served model the held-out prompts over HTTP: {"asked", "right", "accuracy", "wrong"}."""
    kubectl.run("delete", "pod", "accuracy", "--ignore-not-found", "--wait=true")
    kubectl.apply(
        json.dumps(client_pod("accuracy", image, ["accuracy", url, model, "/files/prompts.jsonl"], "load-files"))
    )
    done = ("Succeeded", "Failed")
    until(
        "the accuracy pod ended",
        lambda: (kubectl.get("pod", "accuracy") or {}).get("status", {}).get("phase") in done,
        timeout_s=timeout_s,
    )
    text = kubectl.run("logs", "accuracy")
    try:
        answer: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise NotReached(f"the accuracy pod printed: {text[-2000:]}") from None
    return answer


class Load:
    """A pod that keeps the model busy, and what its clients felt; `stop` ends it."""

    def __init__(
        self, kubectl: Kubectl, url: str, model: str, image: str, clients: int, seconds: int, name: str = "load"
    ) -> None:
        self._kubectl, self._name = kubectl, name
        self.latency_s: float | None = None
        self.in_flight: float | None = None
        self.answered = self.refused = self.failed = 0
        kubectl.run("delete", "pod", name, "--ignore-not-found", "--wait=true")
        kubectl.apply(
            json.dumps(client_pod(name, image, ["load", url, model, str(clients), str(seconds)], "load-files"))
        )
        until(
            "the load pod runs",
            lambda: (kubectl.get("pod", name) or {}).get("status", {}).get("phase") == "Running",
            timeout_s=60,
        )
        self._process: subprocess.Popen[str] = kubectl.follow("logs", "--follow", name)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the load at once."""
        self._kubectl.run("delete", "pod", self._name, "--ignore-not-found", "--grace-period=1")
        self._process.terminate()
        self._process.wait(5)
        self.latency_s = None

    def _read(self) -> None:
        for line in lines_of(self._process):
            try:
                told = json.loads(line)
            except ValueError:
                continue
            self.latency_s = told["medianSeconds"]
            self.in_flight = told["inFlight"]
            self.answered += told["answered"]
            self.refused += told["refused"]
            self.failed += told["failed"]


def observe(kubectl: Kubectl, name: str, load: Load | None, since: float) -> Moment:
    """Serving right now."""
    serving = kubectl.get("deepseekserving", name) or {}
    status = serving.get("status", {})
    return Moment(
        at_s=time.monotonic() - since,
        wanted=serving.get("spec", {}).get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        signal=wanted_by_signal(kubectl, name),
        in_flight=load.in_flight if load else 0,
        latency_s=load.latency_s if load else None,
    )


def wanted_by_signal(kubectl: Kubectl, name: str) -> float | None:
    """Replicas that the signal wants, as the external metrics API serves it to the autoscaler; None: no data."""
    selector = urllib.parse.quote(f"serving={name}")
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{kubectl.namespace}/deepseek_wanted_replicas?labelSelector={selector}"
    try:
        items = json.loads(kubectl.run("get", "--raw", path))["items"]
    except CommandFailed:
        return None
    return float(items[0]["value"]) if items else None


def _told(moment: Moment) -> str:
    signal = "no data yet" if moment.signal is None else f"{moment.signal:.0f}"
    latency = "" if moment.latency_s is None else f", median latency {moment.latency_s * 1000:.0f} ms"
    flight = "" if moment.in_flight is None else f", {moment.in_flight:.0f} requests in flight"
    return f"replicas wanted {moment.wanted}, ready {moment.ready}; the signal wants {signal}{flight}{latency}"


def watch_replicas(
    kubectl: Kubectl,
    name: str,
    load: Load | None,
    reached: Callable[[Moment], bool],
    moments: list[Moment],
    *,
    since: float,
    timeout_s: float,
    say: Callable[[str], None],
) -> None:
    """Looks every second until `reached`; tells each change of replicas.

    Raises:
        NotReached: not within the time.
    """
    deadline, before = time.monotonic() + timeout_s, (-1, -1)
    while time.monotonic() < deadline:
        moment = observe(kubectl, name, load, since)
        moments.append(moment)
        if (moment.wanted, moment.ready) != before:
            before = (moment.wanted, moment.ready)
            say(_told(moment))
        if reached(moment):
            return
        time.sleep(1)
    raise NotReached(f"replicas of {name} did not get there within {timeout_s:.0f} s; last: {moments[-1]}")
