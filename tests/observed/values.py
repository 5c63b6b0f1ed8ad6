"""The chart as it is installed here: everything that tells a metric, and alerts that wait as little as their values allow."""

import json
from pathlib import Path

from tests.support import bed as beds

SCHEMA = Path(__file__).parents[2] / "charts/deepseek-operator/values.schema.json"
WAITS = "4s"
LEAST = {
    **dict.fromkeys(("deviceIdleMinutes", "deviceBusyMinutes", "latencyMinutes", "stallMinutes"), 1),
    **dict.fromkeys(("blindMinutes", "queueMinutes", "rolloutMinutes", "failedPassesMinutes", "storageMinutes"), 1),
    **dict.fromkeys(("checkpointIntervals", "restartsPerHour"), 1),
    "latencyRequests": 5,
    "queueLength": 2,
}
"""In place of what an administrator wants: a minute is the least that they can be told. All others are the chart's own."""


def values(namespace: str) -> tuple[str, ...]:
    """Of the operator's chart; trainings and servings of that namespace are asked for through its gate."""
    told = json.loads(SCHEMA.read_text())["properties"]["alerts"]["properties"]["for"]["propertyNames"]["enum"]
    gate = ("gate.enabled=true", f"gate.namespaces={{{namespace}}}", "gate.resources.requests.cpu=10m")
    return (
        *beds.VALUES,
        *gate,
        "alerts.enabled=true",
        "alerts.as=ConfigMap",
        *(f"alerts.thresholds.{name}={number}" for name, number in LEAST.items()),
        *(f"alerts.for.{name}={WAITS}" for name in told if name != "DeepSeekRestartStorm"),
    )
