"""A canary run and a rollback by name on a real API server, with the operator as a process: as many replicas as are wanted
answer at every look, promoted or rolled back, and a version that was rolled back stays away.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.control_plane import Cluster
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.tried import LIMIT_S, Tried

pytestmark = pytest.mark.timeout(180)
ROLLOUT: dict[str, Any] = {"canary": {"steps": [{"weight": 50, "bakeSeconds": 2}, {"replicas": 2, "pause": True}]}}


@pytest.fixture
def tried(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Tried]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    operator = OperatorProcess(controllers, tmp_path, system, namespace)
    with FakeNode(controllers.api, namespace, namespace), operator:
        yield Tried(controllers.api, namespace, ROLLOUT)
    assert operator.exits == []


def test_a_version_is_tried_promoted_and_gone_back_from_by_name(tried: Tried) -> None:
    first = tried.begin()
    tried.edit(spec={"engine": {"maxConcurrency": 8}})
    tried.reaches("Baking", 2)
    second = str(tried.run()["target"])
    tried.annotate("promote", f"{second}/2")
    tried.reaches("Completed", 2)
    until("the second is stable", lambda: tried.status().get("stable") == second, timeout_s=LIMIT_S)
    tried.annotate("rollback", first)
    until("the first is stable again", lambda: tried.status().get("stable") == first, timeout_s=LIMIT_S)
    tried.annotate("rollback", None)
    until("it says so", lambda: tried.status().get("phase") == "RolledBack", timeout_s=LIMIT_S)
    assert (tried.run()["phase"], tried.status()["stable"]) == ("RolledBack", first)
