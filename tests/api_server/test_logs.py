"""The log of a real process on a real API server: one JSON object a line, one line for what is done, none at rest."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(240)
LIMIT_S = 90
QUIET_S = 12
"""Some rounds of the audit below."""
ENVIRONMENT = {"LOG_FORMAT": "json", "AUDIT_INTERVAL_SECONDS": "3"}
NAME = "told"


def a_training() -> Manifest:
    spec = {
        "model": {"custom": {"model_type": "deepseek_v3"}},
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"maxSteps": 100},
    }
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekTraining",
        "metadata": {"name": NAME},
        "spec": spec,
    }


def read(log: Path) -> list[dict[str, Any]]:
    """Whole lines; the last may still be written."""
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def test_each_thing_done_is_a_line_of_json_with_its_object_and_rest_is_silent(
    controllers: Cluster, tmp_path: Path, namespace: str
) -> None:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    path = COLLECTIONS["DeepSeekTraining"].format(namespace)
    with (
        FakeNode(controllers.api, namespace, namespace),
        OperatorProcess(controllers, tmp_path, system, namespace, ENVIRONMENT) as operator,
    ):
        controllers.api.create(path, a_training())

        def runs() -> bool:
            return bool(controllers.api.get(f"{path}/{NAME}").get("status", {}).get("phase") == "Running")

        until("it runs", runs, timeout_s=LIMIT_S)
        sizes = [-1, -2]

        def rests() -> bool:
            sizes.append(operator.log.stat().st_size)
            return len(set(sizes[-2:])) == 1

        until("nothing more is said", rests, timeout_s=LIMIT_S, every_s=QUIET_S)
        lines = read(operator.log)
    about = [line for line in lines if line.get("name") == NAME]
    assert {(line["kind"], line["namespace"]) for line in about} == {("DeepSeekTraining", namespace)}
    said = Counter(line["message"] for line in about)
    assert [message for message, times in said.items() if times > 1] == []
    assert any(f"{NAME}: created Job/" in message for message in said), said
    assert any(f"{NAME}: AttemptStarted: " in message for message in said), said
    assert all(line["level"] == "info" for line in about), about
    for line in lines:
        assert line.keys() >= {"time", "level", "logger", "message"}
        assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert operator.exits == []
