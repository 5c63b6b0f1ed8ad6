"""Devices that pods hold, and for how long, as they are told of the objects whose pods they are."""

from datetime import timedelta
from typing import Any

import pytest

from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.held import CONTAINER_RESTARTS, DEVICE_POD_INFO, DEVICE_SECONDS, DEVICES, Held
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.metrics import Metric
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import POD
from tests.support.moments import START

OWNER = {"uid-t": ("training", Key(TRAINING, "team", "t"))}
GPU = ("training", "nvidia.com/gpu")


class Stage:
    """Pods in a mirror, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.held = Held(self.mirror)
        self.now = START
        self.version = 0

    def pod(
        self, name: str = "a", *, gpus: Any = "8", node: str | None = "n", owner: str = "uid-t", **status: Any
    ) -> Any:
        self.version += 1
        limits = {"nvidia.com/gpu": gpus, "cpu": "4", "memory": "1Gi", "hugepages-2Mi": "1Gi"}
        pod = {
            "metadata": {
                "name": name,
                "namespace": "team",
                "uid": name,
                "resourceVersion": str(self.version),
                "labels": {OWNER_UID: owner},
            },
            "spec": {"containers": [{"name": "trainer", "resources": {"limits": limits}}], "nodeName": node},
            "status": {"phase": "Running", **status},
        }
        self.mirror.observe(POD, pod)
        return pod

    def told(self, metric: Metric) -> dict[tuple[str, ...], float]:
        rows = self.held.look(OWNER, self.now)[metric]
        assert all(key == OWNER["uid-t"][1] for key, _ in rows)
        return {labels: number for _, (labels, number) in rows}

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_placed_pods_hold_what_they_ask_for_and_nothing_but_devices_counts() -> None:
    stage = Stage()
    stage.pod("a")
    stage.pod("b", gpus=4)
    assert stage.told(DEVICES) == {GPU: 12.0}


@pytest.mark.parametrize(
    "pod",
    [
        {"node": None},
        {"phase": "Succeeded"},
        {"phase": "Failed"},
        {"owner": "another"},
        {"gpus": "many"},
        {"gpus": {"a": 1}},
    ],
    ids=str,
)
def test_who_waits_or_is_over_or_belongs_to_nobody_holds_nothing(pod: dict[str, Any]) -> None:
    stage = Stage()
    stage.pod(**pod)
    assert stage.told(DEVICES) == {}


def test_time_is_counted_from_scrape_to_scrape_by_the_number_of_devices() -> None:
    stage = Stage()
    stage.pod()
    assert stage.told(DEVICE_SECONDS) == {GPU: 0.0}
    stage.later(15)
    assert stage.told(DEVICE_SECONDS) == {GPU: 120.0}
    stage.later(10)
    assert stage.told(DEVICE_SECONDS) == {GPU: 200.0}


def test_a_pod_that_began_since_the_last_scrape_counts_from_its_beginning() -> None:
    stage = Stage()
    stage.told(DEVICE_SECONDS)
    stage.later(60)
    stage.pod(startTime=rfc3339(stage.now - timedelta(seconds=10)))
    assert stage.told(DEVICE_SECONDS) == {GPU: 80.0}


def test_what_was_counted_stays_when_the_pods_go_and_goes_with_the_object() -> None:
    stage = Stage()
    pod = stage.pod()
    stage.told(DEVICE_SECONDS)
    stage.later(10)
    stage.told(DEVICE_SECONDS)
    pod["metadata"]["resourceVersion"] = "9"
    stage.mirror.forget(POD, pod)
    stage.later(10)
    assert stage.told(DEVICE_SECONDS) == {GPU: 80.0}
    assert stage.told(DEVICES) == {}
    assert stage.held.look({}, stage.now)[DEVICE_SECONDS] == []
    assert stage.told(DEVICE_SECONDS) == {}, "a successor begins at zero"


def test_a_process_that_leads_again_begins_at_zero() -> None:
    stage = Stage()
    stage.pod()
    stage.told(DEVICE_SECONDS)
    stage.held.forget()
    stage.later(1000)
    assert stage.told(DEVICE_SECONDS) == {GPU: 0.0}


def test_a_clock_that_is_put_back_takes_no_time_away() -> None:
    stage = Stage()
    stage.pod()
    stage.told(DEVICE_SECONDS)
    stage.later(-60)
    assert stage.told(DEVICE_SECONDS) == {GPU: 0.0}


def test_restarts_are_counted_from_the_first_scrape_on_and_never_taken_back() -> None:
    stage = Stage()
    stage.pod("a", containerStatuses=[{"name": "x", "restartCount": 2}, {"name": "y", "restartCount": 1}])
    assert stage.told(CONTAINER_RESTARTS) == {("training",): 0.0}
    pod = stage.pod("a", containerStatuses=[{"name": "x", "restartCount": 4}, {"name": "y", "restartCount": 1}])
    stage.pod("b", containerStatuses=[{"name": "x", "restartCount": 1}])
    assert stage.told(CONTAINER_RESTARTS) == {("training",): 3.0}
    assert stage.told(CONTAINER_RESTARTS) == {("training",): 3.0}
    pod["metadata"]["resourceVersion"] = "9"
    stage.mirror.forget(POD, pod)
    assert stage.told(CONTAINER_RESTARTS) == {("training",): 3.0}
    stage.held.look({}, stage.now)
    assert stage.told(CONTAINER_RESTARTS) == {("training",): 0.0}, "a successor begins at zero"


def test_each_pod_that_holds_devices_is_named_with_its_node() -> None:
    stage = Stage()
    stage.pod("a", node="gpu-1")
    stage.pod("b", node=None)
    assert stage.told(DEVICE_POD_INFO) == {("training", "a", "gpu-1"): 1.0}


def test_a_pod_that_has_not_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.pod()
    stage.told(DEVICES)
    monkeypatch.setattr(stage.mirror, "get", lambda *key: pytest.fail("it was read"))
    assert stage.told(DEVICES) == {GPU: 8.0}
