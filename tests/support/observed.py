"""Objects with a status that tells every metric, for whoever asks what is told of them."""

from typing import Any

from tests.support.servings import a_serving
from tests.support.trainings import training

MOMENT, AT = "2026-01-01T00:00:00Z", 1767225600.0
TRAINING_STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "True", "reason": "Running", "lastTransitionTime": MOMENT}],
    "attempt": {"number": 3, "job": "t-train-3", "runningAt": MOMENT},
    "history": [
        {"number": 1, "verdict": "Crash", "cause": "OOMKilled", "endedAt": MOMENT},
        {"number": 2, "verdict": "Stopped", "cause": "Suspended", "endedAt": "2026-01-02T00:00:00Z"},
    ],
    "restarts": 1,
    "disruptions": 2,
    "inPlaceRestarts": {"count": 3},
    "rollbacks": {"count": 4},
    "volume": {"claimName": "checkpoints", "uid": "1"},
    "plan": {"checkpointBytes": 1000},
    "progress": {
        "state": "Training",
        "step": 40,
        "firstStep": 31,
        "maxSteps": 100,
        "loss": "1.25",
        "gradientNorm": "0.5",
        "evalLoss": "1.5",
        "accuracy": "0.75",
        "metrics": [{"name": "bleu", "value": "31.25"}],
        "tokensPerSecond": "12345",
        "mfu": "0.41",
        "etaSeconds": 60,
        "observedAt": MOMENT,
    },
    "lastCheckpoint": {"step": 30, "time": MOMENT, "bytes": 4096, "seconds": "3.2", "blockedSeconds": "0.1"},
    "bestCheckpoint": {"step": 20, "metric": "evalLoss", "value": "1.4"},
    "summary": {"workers": "1/2"},
}


def a_told_training(name: str = "t") -> dict[str, Any]:
    """As it is stored."""
    return {**training(name), "status": TRAINING_STATUS}


SERVING_STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Canary",
    "conditions": [{"type": "Ready", "status": "True", "reason": "Available", "lastTransitionTime": MOMENT}],
    "replicas": 3,
    "readyReplicas": 2,
    "current": {"name": "new", "replicas": 2, "ready": 0},
    "previous": [{"name": "old", "replicas": 3, "ready": 2}],
    "revisions": [
        {"name": "new", "model": "uppercase@200", "weight": 10},
        {"name": "old", "model": "uppercase@100", "weight": 90},
        {"name": "older", "model": "models/v1"},
    ],
    "stable": "old",
    "resolved": {
        "claimName": "models",
        "adapters": [{"name": "legal", "kind": "LoRA", "training": "tune", "claimName": "tuned"}],
    },
    "canary": {
        "run": 1,
        "phase": "Baking",
        "step": 1,
        "steps": 2,
        "weight": 10,
        "stable": "old",
        "target": "new",
        "enteredAt": MOMENT,
        "analysis": {"verdict": "Fail", "failures": 1, "metrics": [{"name": "LatencyP99", "value": "1.42"}]},
        "exams": [
            {"revision": "new", "data": "builtin://uppercase", "accuracy": "0.7"},
            {"revision": "old", "data": "builtin://uppercase", "accuracy": "0.9"},
            {"revision": "old", "data": "pvc://more"},
        ],
    },
    "autoscaling": {
        "active": True,
        "desired": 3,
        "floor": 2,
        "ceiling": 8,
        "signals": [
            {"type": "InFlight", "value": "12", "target": "4", "wanted": 3},
            {"type": "KVCache", "target": "80", "message": "no replica reports"},
        ],
    },
    "sleep": {"phase": "Awake", "since": MOMENT},
    "watchdog": {"restarts": 2, "last": [{"pod": "chat-serve-old-1", "at": MOMENT, "message": "no token for 301 s"}]},
}


def a_told_serving(name: str = "chat") -> dict[str, Any]:
    """As it is stored."""
    signals = [{"type": "InFlight", "target": 4}]
    scaling = {"minReplicas": 1, "maxReplicas": 8, "signals": signals}
    return a_serving(name, status=SERVING_STATUS, replicas=3, autoscaling=scaling)
