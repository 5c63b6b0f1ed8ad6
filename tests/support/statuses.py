"""Statuses as an earlier release wrote them, every record in its place."""

from typing import Any

UID = "8d1f6a6e-0c5c-4b6e-9f8e-2f8f9f3f6f11"
TRAINING: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "uid": UID,
    "fixedDigest": "d" * 16,
    "attempt": {"number": 2, "job": "t-2", "digest": "a" * 16, "jobUID": UID, "incarnation": UID},
    "ancestry": [{"attempt": 1, "jobUID": UID, "incarnation": UID}],
    "volume": {"claimName": "t", "uid": UID, "made": True, "used": False},
    "origin": {"reference": "r", "training": "elder", "trainingUID": UID, "claimName": "c", "step": 100},
    "plan": {"reference": "p", "layout": "TP 8", "degrees": {"tensor": 8, "pipeline": 1, "data": 1, "expert": 1}},
    "backoffLevel": 2,
    "stepAtFailure": 40,
    "restarts": 0,
}
SERVING: dict[str, Any] = {
    "observedGeneration": 1,
    "replicas": 0,
    "resolved": {"reference": "r", "claimName": "c", "training": "t", "trainingUID": UID, "step": 3},
    "plan": {"reference": "p", "layout": "TP 8"},
    "runningReplicas": 2,
}
