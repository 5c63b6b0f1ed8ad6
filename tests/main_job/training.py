"""The first half: a training in two pods that loses a worker, resumes from its checkpoint and completes."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.main_job.pictures import Step
from tests.support.kubectl import CommandFailed, Kubectl, NotReached, lines_of


@dataclass
class Trained:
    """What was seen of the training."""

    steps: list[Step] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    accuracies: list[tuple[int, float]] = field(default_factory=list)
    killed_after: int | None = None
    status: dict[str, Any] = field(default_factory=dict)


FREEZE = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), signal.SIGSTOP)
"""
"""A frozen process does not hear the SIGTERM that comes before SIGKILL: the worker is lost, not stopped."""


class Journal:
    """Follows the log of rank 0 of every attempt and keeps what it tells, each line once."""

    def __init__(self, kubectl: Kubectl, training: str) -> None:
        self.told = Trained()
        self._kubectl, self._training = kubectl, training
        self._followed: set[str] = set()
        self._threads: list[threading.Thread] = []

    def look(self) -> None:
        """Starts to follow pods that are new."""
        for pod in self._kubectl.list("pods", f"deepseek-operator.io/training={self._training}"):
            name, labels = pod["metadata"]["name"], pod["metadata"]["labels"]
            if labels.get("batch.kubernetes.io/job-completion-index") != "0" or name in self._followed:
                continue
            if not any(
                status.get("started") or "terminated" in status.get("state", {})
                for status in pod["status"].get("containerStatuses", ())
            ):
                continue
            self._followed.add(name)
            attempt = int(labels["deepseek-operator.io/attempt"])
            thread = threading.Thread(target=self._follow, args=(name, attempt), daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self, timeout_s: float = 10) -> None:
        """Waits until the followed logs have ended."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _follow(self, pod: str, attempt: int) -> None:
        process = self._kubectl.follow("logs", "--follow", pod)
        try:
            for line in lines_of(process):
                self._read(line, attempt)
        finally:
            process.terminate()
            process.wait(5)

    def _read(self, line: str, attempt: int) -> None:
        try:
            told = json.loads(line)
        except ValueError:
            return
        match told:
            case {"event": "step", "step": int(step), "loss": float(loss)}:
                self.told.steps.append(Step(attempt, step, loss))
            case {"event": "evaluation", "step": int(step), "accuracy": float(accuracy)}:
                self.told.accuracies.append((step, accuracy))
            case {"event": "checkpoint", "step": int(step)}:
                self.told.checkpoints.append(step)
            case _:
                pass


def run_training(
    kubectl: Kubectl, manifest: str, name: str, *, kill_after_step: int, timeout_s: float, say: Callable[[str], None]
) -> Trained:
    """Applies the training, kills the last worker once a checkpoint lies behind `kill_after_step`, waits for the end.

    Raises:
        NotReached: it did not complete in time, or ended as failed.
    """
    kubectl.apply(manifest)
    journal, told_phase = Journal(kubectl, name), ""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        journal.look()
        training = kubectl.get("deepseektraining", name) or {}
        status = training.get("status", {})
        if (phase := _phase(status)) != told_phase:
            say(f"{phase}")
            told_phase = phase
        _kill_when_due(kubectl, name, journal.told, kill_after_step, say)
        if status.get("result"):
            journal.finish()
            journal.told.status = status
            if status["result"] == "Complete":
                return journal.told
            raise NotReached(f"the training failed: {status.get('resultMessage')}")
        time.sleep(1)
    raise NotReached(f"the training did not end within {timeout_s:.0f} s: {json.dumps(status)[:2000]}")


def _kill_when_due(
    kubectl: Kubectl, name: str, told: Trained, kill_after_step: int, say: Callable[[str], None]
) -> None:
    if told.killed_after is not None or not any(step >= kill_after_step for step in told.checkpoints):
        return
    newest = max(told.steps, key=lambda step: step.step).step
    if newest < max(told.checkpoints) + 5:
        return
    pods = kubectl.list("pods", f"deepseek-operator.io/training={name}")
    worker = max(pods, key=lambda pod: int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]))
    told.killed_after = newest
    say(f"killing worker {worker['metadata']['name']} near step {newest}: frozen first, so that nothing can be saved")
    try:
        kubectl.run("exec", worker["metadata"]["name"], "--", "python3", "-c", FREEZE)
        kubectl.run("delete", "pod", worker["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")
    except CommandFailed as error:
        say(f"it was gone already: {error}")


def _phase(status: dict[str, Any]) -> str:
    ready: dict[str, Any] = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    attempt = (status.get("attempt") or {}).get("number", "-")
    return f"{status.get('phase') or 'waiting for the operator'} (attempt {attempt}): {ready.get('message', '')}"
