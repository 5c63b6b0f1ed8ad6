"""Objects with a status that tells every metric, for whoever asks what is told of them."""

from typing import Any

from tests.support.trainings import training

MOMENT, AT = "2026-01-01T00:00:00Z", 1767225600.0
TRAINING_STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "True", "reason": "Running", "lastTransitionTime": MOMENT}],
    "attempt": {"number": 3, "job": "t-train-3"},
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
    "lastCheckpoint": {"step": 30, "time": MOMENT, "seconds": "3.2", "blockedSeconds": "0.1"},
    "bestCheckpoint": {"step": 20, "metric": "evalLoss", "value": "1.4"},
    "summary": {"workers": "1/2"},
}


def a_told_training(name: str = "t") -> dict[str, Any]:
    """As it is stored."""
    return {**training(name), "status": TRAINING_STATUS}
