"""A training on a real cluster, as a test watches it: its status, its pods, and what rank 0 of each attempt logs."""

import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from tests.support.kubectl import Kubectl, lines_of, until

ATTEMPT = "deepseek-operator.io/attempt"
RANK = "batch.kubernetes.io/job-completion-index"

_OTHERS = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), signal.{signal})
"""


class Watched:
    """One training. `records` are the JSON lines of rank 0, as (attempt, line), in the order in which they came."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self.kubectl, self.name = kubectl, name
        self.records: list[tuple[int, dict[str, Any]]] = []
        self._followed: dict[str, tuple[subprocess.Popen[str], threading.Thread]] = {}

    # --- what a person does -----------------------------------------------------------------------------------------

    def patch(self, **spec: object) -> None:
        """Edits fields of the spec."""
        self.kubectl.run(
            "patch", "deepseektraining", self.name, "--type=merge", f"--patch={json.dumps({'spec': spec})}"
        )

    def signal(self, pod: str, signal: str) -> None:
        """Sends SIGKILL or SIGSTOP to everything in the pod but its first process, which such a signal cannot reach."""
        self.kubectl.run("exec", pod, "--", "python3", "-c", _OTHERS.format(signal=signal))

    def evict(self, pod: str, grace_s: int) -> None:
        """Asks the eviction API, as a drain does."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.kubectl.namespace},
            "deleteOptions": {"gracePeriodSeconds": grace_s},
        }
        path = f"/api/v1/namespaces/{self.kubectl.namespace}/pods/{pod}/eviction"
        self.kubectl.run("create", "--raw", path, "-f", "-", stdin=json.dumps(body))

    # --- what is true -----------------------------------------------------------------------------------------------

    @property
    def selector(self) -> str:
        """Label selector of everything that was made for it."""
        return f"deepseek-operator.io/training={self.name}"

    def status(self) -> dict[str, Any]:
        """status of the resource; empty before the first."""
        self.follow()
        found: dict[str, Any] = (self.kubectl.get("deepseektraining", self.name) or {}).get("status") or {}
        return found

    def told(self, status: dict[str, Any]) -> tuple[str, str, str]:
        """The condition that says most (Stalled or Reconciling if True, else Ready), its reason and its message."""
        conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
        for kind in ("Stalled", "Reconciling", "Suspended", "Ready"):
            if kind in conditions and (kind == "Ready" or conditions[kind]["status"] == "True"):
                return kind, conditions[kind]["reason"], conditions[kind]["message"]
        return "", "", ""

    def pods(self, attempt: int) -> list[str]:
        """Names of the attempt's pods, by rank."""
        found = self.kubectl.list("pods", f"{self.selector},{ATTEMPT}={attempt}")
        ranked = sorted(found, key=lambda pod: int(pod["metadata"]["labels"][RANK]))
        return [pod["metadata"]["name"] for pod in ranked]

    def losses(self, attempt: int) -> dict[int, float]:
        """Loss of every step that the attempt computed."""
        steps = (record for number, record in list(self.records) if number == attempt)
        return {r["step"]: r["loss"] for r in steps if r.get("event", "step") == "step" and "loss" in r}

    def checkpoints(self, attempt: int) -> list[int]:
        """Steps of the checkpoints that the attempt told of."""
        return [r["step"] for number, r in list(self.records) if number == attempt and r.get("event") == "checkpoint"]

    # --- waiting ----------------------------------------------------------------------------------------------------

    def until(self, what: str, look: Callable[[dict[str, Any]], Any], *, timeout_s: float = 90) -> dict[str, Any]:
        """The status once `look` finds it so. Raises NotReached."""
        found: dict[str, Any] = {}

        def looks_right() -> bool:
            nonlocal found
            found = self.status()
            return bool(look(found))

        try:
            until(f"{self.name}: {what}", looks_right, timeout_s=timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {json.dumps(found)[:3000]}") from error
        return found

    def until_step(self, attempt: int, step: int, *, timeout_s: float = 90) -> None:
        """Waits until rank 0 of the attempt has logged that step, or a later one."""
        self.until(
            f"attempt {attempt} is at step {step}",
            lambda _: max(self.losses(attempt), default=0) >= step,
            timeout_s=timeout_s,
        )

    def until_result(self, result: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """The final status, every log read to its end. Raises NotReached, also when it ended otherwise."""
        status = self.until("a result", lambda status: status.get("result"), timeout_s=timeout_s)
        assert status["result"] == result, json.dumps(status)
        for _, thread in self._followed.values():
            thread.join(10)
        return status

    # --- logs -------------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Begins to read the log of every rank 0 that is new."""
        for pod in self.kubectl.list("pods", f"{self.selector},{RANK}=0"):
            name, containers = pod["metadata"]["name"], pod["status"].get("containerStatuses", ())
            if name in self._followed or not any(c.get("started") or "terminated" in c["state"] for c in containers):
                continue
            process = self.kubectl.follow("logs", "--follow", name)
            attempt = int(pod["metadata"]["labels"][ATTEMPT])
            thread = threading.Thread(target=self._read, args=(process, attempt), daemon=True)
            self._followed[name] = process, thread
            thread.start()

    def close(self) -> None:
        """Ends every process that reads a log."""
        for process, thread in self._followed.values():
            process.terminate()
            process.wait(5)
            thread.join(5)

    def _read(self, process: "subprocess.Popen[str]", attempt: int) -> None:
        for line in lines_of(process):
            if line.startswith('{"'):  # other trainers print Python's dictionaries
                self.records.append((attempt, json.loads(line)))
