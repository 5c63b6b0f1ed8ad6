"""Six hours of a made-up fleet: its objects with their statuses, its pods, and what each of these is busy with, at an hour.

Nothing here ran: a training falls over and goes on, a serving grows with its load while a canary is tried, one sleeps, and
two objects wait. What is told of it under which name is the code's own business: see `told.py`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deepseek_operator.core.resources import Manifest
from tests.support.servings import a_serving
from tests.support.trainings import training

HOURS = 6.0
GPU = "nvidia.com/gpu"
STEPS = 6000
_CRASHED, _BACK = 2.5, 2.65
"""When the long training lost a node, and when it ran again."""
_TUNED = 3.4
"""When the short one was complete."""
_SLEEPS = 3.1
_CANARY = 3.7
_STEPS = ((3.7, 10), (4.6, 25), (5.5, 50))
"""Since which hour the canary has had which percentage of the requests."""
_QUEUED = 4.2


@dataclass(frozen=True)
class Pod:
    """One that has a node: of which object's, with how many GPUs, and how busy those are (0 to 1)."""

    name: str
    namespace: str
    owner: str
    gpus: int
    since_h: float
    busy: float
    revision: str = ""


def wave(hour: float, period: float, shift: float = 0.0) -> float:
    """From -1 to 1, the same at each run: two waves that do not keep step, so that nothing looks drawn with a ruler."""
    return 0.7 * math.sin((hour / period + shift) * math.tau) + 0.3 * math.sin((hour / period * 5.3 + shift) * math.tau)


def noise(hour: float, seed: float) -> float:
    """From -1 to 1, another one each minute."""
    return 2 * math.modf(abs(math.sin(hour * 6151.7 + seed * 78.233) * 43758.5453))[0] - 1


def load(hour: float) -> float:
    """Requests a second for the busy serving."""
    return 9 + 6 * math.sin((hour - 1.6) / 6 * math.tau) + 0.5 * noise(hour, 3)


def wanted(hour: float) -> int:
    """Replicas of the busy serving, by that load."""
    smooth = 9 + 6 * math.sin((hour - 1.6) / 6 * math.tau)
    return max(2, min(8, math.ceil(smooth / 2.2)))


# --- trainings -----------------------------------------------------------------------------------------------------------


def long_step(hour: float) -> int:
    """Of the long training; a crash costs what was done since the last checkpoint."""
    lost = 0.0 if hour < _CRASHED else max(0.0, min(hour, _BACK) - _CRASHED) + 0.08
    return int(min(STEPS, max(0.0, (hour + 0.2 - lost) * 820)))


def loss(step: int, hour: float, floor: float, start: float) -> float:
    """Falls as losses do."""
    return floor + (start - floor) * math.exp(-step / 900) + 0.02 * noise(hour, floor) + 0.1 * math.exp(-step / 300)


def runs(hour: float) -> bool:
    """The long training makes steps."""
    return not _CRASHED <= hour < _BACK


def _long(hour: float, at: "Moment") -> Manifest:
    step = long_step(hour)
    attempt, running = (1, runs(hour)) if hour < _CRASHED else (2, runs(hour))
    saved = step - step % 200
    status = {
        **_told("Running" if running else "Restarting", Ready=("True", "Running") if running else ("False", "BackingOff")),
        "attempt": {"number": attempt, "job": f"r1-distill-7b-train-{attempt}", "runningAt": at(_BACK if attempt > 1 else -0.2)},
        "history": [{"number": 1, "verdict": "Disruption", "cause": "NodeLost", "endedAt": at(_CRASHED)}] if attempt > 1 else [],
        "disruptions": int(attempt > 1),
        "plan": {"checkpointBytes": 92_000_000_000},
        "progress": {
            "state": "Training",
            "step": step,
            "maxSteps": STEPS,
            "loss": f"{loss(step, hour, 0.62, 1.9):.4f}",
            "evalLoss": f"{loss(saved, 1, 0.7, 1.95):.4f}",
            "accuracy": f"{0.72 - 0.5 * math.exp(-saved / 1400):.3f}",
            "gradientNorm": f"{0.6 + 2.2 * math.exp(-step / 500) + 0.12 * noise(hour, 5):.3f}",
            "tokensPerSecond": f"{61_000 + 1500 * noise(hour, 7):.0f}",
            "mfu": f"{0.41 + 0.01 * noise(hour, 7):.3f}",
            "etaSeconds": int((STEPS - step) * 4.4),
            "observedAt": at(hour),
        },
        "lastCheckpoint": {
            "step": saved,
            "time": at(hour - (step - saved) / 820),
            "bytes": 91_200_000_000,
            "seconds": f"{38 + 4 * noise(saved, 2):.1f}",
            "blockedSeconds": f"{2.1 + 0.3 * noise(saved, 4):.2f}",
        },
        "bestCheckpoint": {"step": max(200, saved - 200), "metric": "evalLoss", "value": f"{loss(saved, 1, 0.7, 1.95):.4f}"},
        "summary": {"workers": "2/2" if running else "1/2"},
    }  # fmt: skip
    return _training("r1-distill-7b", "research", "DeepSeek-R1-Distill-Qwen-7B", status, steps=STEPS)


def _short(hour: float, at: "Moment") -> Manifest:
    done = hour >= _TUNED
    word = "Complete" if done else "Running"
    step = int(min(1200, max(0, (hour + 0.3) * 1200 / (_TUNED + 0.3))))
    saved = step - step % 100
    status = {
        **_told(word, Ready=("True", word), **({"Complete": ("True", word)} if done else {})),
        "attempt": {"number": 1, "job": "tool-use-lora-train-1", "runningAt": at(-0.3)},
        "progress": {
            "state": "Training",
            "step": step,
            "maxSteps": 1200,
            "loss": f"{loss(step * 3, min(hour, _TUNED), 0.41, 1.3):.4f}",
            "evalLoss": f"{loss(saved * 3, 1, 0.47, 1.35):.4f}",
            "accuracy": f"{0.88 - 0.4 * math.exp(-saved / 300):.3f}",
            "gradientNorm": f"{0.35 + 0.9 * math.exp(-step / 200) + 0.05 * noise(min(hour, _TUNED), 6):.3f}",
            "tokensPerSecond": f"{24_000 + 700 * noise(min(hour, _TUNED), 8):.0f}",
            "mfu": f"{0.33 + 0.008 * noise(min(hour, _TUNED), 8):.3f}",
            "etaSeconds": int((1200 - step) * 11.1),
            "observedAt": at(min(hour, _TUNED)),
        },
        "lastCheckpoint": {
            "step": saved,
            "time": at(min(hour, _TUNED) - (step - saved) / 324),
            "bytes": 1_350_000_000,
            "seconds": f"{4 + 0.5 * noise(saved, 2):.1f}",
            "blockedSeconds": f"{0.4 + 0.05 * noise(saved, 4):.2f}",
        },
        "bestCheckpoint": {"step": saved, "metric": "evalLoss", "value": f"{loss(saved * 3, 1, 0.47, 1.35):.4f}"},
        "summary": {"workers": "1/1"},
    }
    return _training("tool-use-lora", "research", "DeepSeek-R1-Distill-Llama-8B", status, steps=1200, count=1)


def _queued(hour: float, at: "Moment") -> Manifest:
    return _training(
        "support-grpo",
        "apps",
        "DeepSeek-R1-Distill-Qwen-14B",
        {**_told("Pending", Ready=("False", "WaitingForCapacity"), Reconciling=("True", "WaitingForCapacity")), "summary": {"workers": "0/2"}},
        steps=2000,
    )  # fmt: skip


def _stuck(hour: float, at: "Moment") -> Manifest:
    told = _told("Pending", Ready=("False", "DoesNotFit"), Stalled=("True", "DoesNotFit"))
    return _training("contracts-full", "apps", "DeepSeek-R1-Distill-Llama-70B", told, steps=500, count=1)


def _training(
    name: str, namespace: str, model: str, status: Mapping[str, Any], *, steps: int, count: int = 2
) -> Manifest:
    made = training(
        name, model={"name": model}, hyperparameters={"maxSteps": steps}, nodes={"count": count}, checkpoints={"everySeconds": 900}
    )  # fmt: skip
    return {
        **made,
        "metadata": {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}"},
        "status": dict(status),
    }


# --- servings ------------------------------------------------------------------------------------------------------------


def weight(hour: float) -> int | None:
    """Percentage of the requests that the canary has."""
    return next((part for since, part in reversed(_STEPS) if hour >= since), None)


def _busy(hour: float, at: "Moment") -> Manifest:
    part, replicas, before = weight(hour), wanted(hour), wanted(hour - 0.07)
    ready = min(replicas, before)
    tried = max(1, round(replicas * part / 100)) if part else 0
    step = sum(hour >= since for since, _ in _STEPS)
    status: dict[str, Any] = {
        **_told("Canary" if part else "Scaling" if ready < replicas else "Available", Ready=("True", "Available")),
        "replicas": replicas,
        "readyReplicas": ready,
        "current": {"name": "9f31c2", "replicas": tried, "ready": tried} if part else {"name": "41d0ae", "replicas": replicas, "ready": ready},
        "previous": [{"name": "41d0ae", "replicas": replicas - tried, "ready": ready - tried}] if part else [],
        "revisions": [
            *([{"name": "9f31c2", "model": "r1-distill-7b@4000", "weight": part}] if part else []),
            {"name": "41d0ae", "model": "r1-distill-7b@2000", "weight": 100 - (part or 0)},
        ],
        "stable": "41d0ae",
        "resolved": {"claimName": "models"},
        "autoscaling": {
            "active": True,
            "desired": replicas,
            "floor": 2,
            "ceiling": 8,
            "signals": [
                {"type": "InFlight", "value": f"{load(hour) * 3.1:.0f}", "target": "8", "wanted": replicas},
                {"type": "KVCache", "value": f"{30 + 3 * load(hour):.0f}", "target": "80", "wanted": max(2, replicas - 2)},
            ],
        },
    }  # fmt: skip
    if part:
        status["canary"] = {
            "run": 3,
            "phase": "Baking",
            "step": step,
            "steps": 4,
            "weight": part,
            "stable": "41d0ae",
            "target": "9f31c2",
            "enteredAt": at(_CANARY),
            "analysis": {
                "verdict": "Pass",
                "failures": int(4.9 < hour < 5.1),
                "metrics": [
                    {"name": "LatencyP99", "value": f"{0.42 + 0.03 * noise(hour, 9) + (0.2 if 4.8 < hour < 5.0 else 0):.3f}"},
                    {"name": "ErrorRate", "value": f"{0.002 + 0.001 * noise(hour, 10):.4f}"},
                ],
            },
            "exams": [
                {"revision": "9f31c2", "data": "pvc://exams/math", "accuracy": f"{0.71 + 0.01 * step:.2f}"},
                {"revision": "41d0ae", "data": "pvc://exams/math", "accuracy": "0.69"},
            ],
        }  # fmt: skip
    return _serving("chat", "apps", "DeepSeek-R1-Distill-Qwen-7B", status, replicas)


def _steady(hour: float, at: "Moment") -> Manifest:
    adapters = [
        {"name": name, "kind": "LoRA", "training": source, "claimName": "adapters"}
        for name, source in (("tools", "tool-use-lora"), ("sql", "sql-lora"))
    ]
    status = {
        **_told("Available", Ready=("True", "Available")),
        "replicas": 2,
        "readyReplicas": 2,
        "current": {"name": "c07b55", "replicas": 2, "ready": 2},
        "revisions": [{"name": "c07b55", "model": "deepseek-coder-v2-lite", "weight": 100}],
        "stable": "c07b55",
        "resolved": {"claimName": "models", "adapters": adapters},
    }
    return _serving("code", "apps", "DeepSeek-Coder-V2-Lite-Instruct", status, 2)


def _sleeper(hour: float, at: "Moment") -> Manifest:
    asleep = hour >= _SLEEPS
    told = _told("Asleep" if asleep else "Available", Ready=("True", "Asleep" if asleep else "Available"))
    status = {
        **told,
        "replicas": int(not asleep),
        "readyReplicas": int(not asleep),
        "current": {"name": "77e1d8", "replicas": int(not asleep), "ready": int(not asleep)},
        "revisions": [{"name": "77e1d8", "model": "DeepSeek-R1-Distill-Qwen-1.5B", "weight": 100}],
        "stable": "77e1d8",
        "autoscaling": {"active": True, "desired": int(not asleep), "signals": []},
        "sleep": {
            "phase": "Asleep" if asleep else "Awake",
            "since": at(_SLEEPS if asleep else 0),
            "idleSince": at(_SLEEPS - 0.5) if asleep else None,
        },
    }
    return _serving("judge", "research", "DeepSeek-R1-Distill-Qwen-1.5B", status, int(not asleep))


def _waits(hour: float, at: "Moment") -> Manifest:
    why = "WaitingForCapacity"
    status = {**_told(why, Ready=("False", why), Reconciling=("True", why)), "replicas": 1, "readyReplicas": 0}
    return _serving("r1", "research", "DeepSeek-R1", status, 1)


def _serving(name: str, namespace: str, model: str, status: Mapping[str, Any], replicas: int) -> Manifest:
    made = a_serving(name, status=status, model={"name": model}, replicas=replicas)
    return {**made, "metadata": {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}"}}


# --- all of it -----------------------------------------------------------------------------------------------------------


def _told(phase: str, **conditions: tuple[str, str]) -> dict[str, Any]:
    stand = {"Reconciling": ("False", "Settled"), "Stalled": ("False", "Settled"), **conditions}
    listed = [
        {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind, (status, reason) in stand.items()
    ]
    return {"observedGeneration": 1, "phase": phase, "conditions": listed}


@dataclass(frozen=True)
class Moment:
    """Writes an hour of the story as an object's status has it."""

    began: datetime

    def __call__(self, hour: float) -> str:
        return f"{self.began + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"


def trainings(hour: float, at: Moment) -> Iterator[Manifest]:
    """That exist then."""
    yield _long(hour, at)
    yield _short(hour, at)
    yield _stuck(hour, at)
    if hour >= _QUEUED:
        yield _queued(hour, at)


def servings(hour: float, at: Moment) -> Iterator[Manifest]:
    """That exist then."""
    yield _busy(hour, at)
    yield _steady(hour, at)
    yield _sleeper(hour, at)
    if hour >= _QUEUED:
        yield _waits(hour, at)


def pods(hour: float) -> Iterator[Pod]:
    """That hold devices then."""
    attempt = 1 if hour < _CRASHED else 2
    for rank in range(2 if runs(hour) else 1):
        busy = 0.93 + 0.03 * noise(hour, rank) if runs(hour) else 0.02
        yield Pod(f"r1-distill-7b-train-{attempt}-{rank}", "research", "r1-distill-7b", 8, -0.2, busy)
    if hour < _TUNED:
        yield Pod("tool-use-lora-train-1-0", "research", "tool-use-lora", 8, -0.3, 0.84 + 0.04 * noise(hour, 4))
    replicas, tried = wanted(hour), 0
    if part := weight(hour):
        tried = max(1, round(replicas * part / 100))
    for number in range(replicas):
        revision = "9f31c2" if number < tried else "41d0ae"
        busy = min(0.95, load(hour) / replicas / 3.2) + 0.03 * noise(hour, number)
        yield Pod(f"chat-serve-{revision}-{number}", "apps", "chat", 1, 0, busy, revision)
    for number in range(2):
        yield Pod(f"code-serve-c07b55-{number}", "apps", "code", 1, 0, 0.35 + 0.1 * wave(hour, 2, number), "c07b55")
    if hour < _SLEEPS:
        yield Pod("judge-serve-77e1d8-0", "research", "judge", 1, 0, 0.2 + 0.1 * wave(hour, 1), "77e1d8")
