"""The chart's policies around pods of trainings and servings, with the one that the operator makes around a gang."""

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from examples.local_cluster import programs
from examples.local_cluster.api import Manifest
from tests.support.trainings import Life

GANG = "gang"
"""The name of the policy around a gang."""
CHART = Path(__file__).parents[2] / "charts" / "deepseek-operator"


def _of_namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


VALUES: dict[str, Any] = {
    "namespaces": ["team-a"],
    "clientsFrom": [_of_namespace("gateways")],
    "trainingEgress": [{"to": [_of_namespace("mlops")], "ports": [{"port": 5000}]}],
}
"""Of `networkPolicy.workloads`, for the ends of tests/support/flows.py."""


@cache
def rendered(values: str) -> tuple[Manifest, ...]:
    """The chart's own, of a release in namespace `system`; `values` is JSON of `networkPolicy.workloads`."""
    command = [programs.built("helm"), "template", "deepseek-operator", str(CHART), "--namespace", "system"]
    command += ["--set-json", f"networkPolicy.workloads={values}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return tuple(one for one in yaml.safe_load_all(text) if one and one["kind"] == "NetworkPolicy")


def policies(**values: Any) -> tuple[Manifest, ...]:
    """Those of the chart, and the one that the operator makes around a gang."""
    life = Life().begin()
    (gang,) = [one for one in _all(life) if one["kind"] == "NetworkPolicy"]
    own = {"matchLabels": {"deepseek-operator.io/owner-uid": "1"}}
    spec = json.loads(json.dumps(gang["spec"]).replace(gang["spec"]["podSelector"]["matchLabels"].popitem()[1], "1"))
    spec["podSelector"] = own
    return (
        *rendered(json.dumps({**VALUES, **values})),
        {**gang, "metadata": {"name": GANG, "namespace": "team-a"}, "spec": spec},
    )


def _all(life: Any) -> Iterator[Manifest]:
    for resource in life.operator.kind.owns:
        yield from life.cluster.all(resource)
