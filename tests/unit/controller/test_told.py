"""What the operator tells a metrics store of its objects, from what the watches have told."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.told import AT_ONCE, MOST_ROWS, Told
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Entry, Kinds
from deepseek_operator.core.metrics import Metric
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import POD, Manifest, Resource
from deepseek_operator.kinds.registry import KINDS
from tests.support.sham_kind import ALL, NOTE, SHAM, note
from tests.support.trainings import training
from tests.support.world import StoppedClock

LOSS = "deepseek_operator_training_loss"


def with_metrics(*metrics: Metric) -> Entry:
    return replace(SHAM, metrics=metrics)


class Stage:
    """A mirror, and who tells of what it has."""

    def __init__(self, kinds: Kinds = KINDS) -> None:
        self.mirror = Mirror()
        self.leads = True
        self.version = 0
        self.clock = StoppedClock()
        self.told = Told(self.mirror, kinds, Configuration(), self.clock, lambda: self.leads)

    def put(self, name: str = "t", loss: str = "1.25", **status: Any) -> dict[str, Any]:
        self.version += 1
        stored = training(name)
        stored["metadata"] |= {"uid": name, "resourceVersion": str(self.version)}
        stored["status"] = {"observedGeneration": 1, "progress": {"step": 4, "loss": loss}, **status}
        self.mirror.observe(TRAINING, stored)
        return stored

    def text(self) -> str:
        return asyncio.run(self.told.exposition()).decode()

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        families = {family.name: family for family in text_string_to_metric_families(self.text())}
        samples = families[name].samples if name in families else []
        return {tuple(sample.labels.values()): sample.value for sample in samples}


def test_numbers_of_a_status_are_told_under_namespace_and_name() -> None:
    stage = Stage()
    stage.put("a", "1.25")
    stage.put("b", "12345")
    assert stage.series(LOSS) == {("team", "a"): 1.25, ("team", "b"): 12345.0}


def test_a_series_goes_with_its_object_and_with_what_it_told() -> None:
    stage = Stage()
    stage.put("a")
    stored = stage.put("b")
    stage.put("a", progress=None)
    assert stage.series(LOSS) == {("team", "b"): 1.25}
    stage.mirror.forget(TRAINING, stored)
    assert LOSS not in stage.text()
    assert stage.series("deepseek_operator_training_info").keys() == {("team", "a", "", "builtin", "SFT", "Full")}
    assert stage.told._told.keys() == {"a"}, "nor is anything kept of it"


def test_a_successor_of_the_same_name_is_told_instead() -> None:
    stage = Stage()
    gone = stage.put("a", "1")
    assert stage.series(LOSS) == {("team", "a"): 1.0}
    gone["metadata"] |= {"uid": "another", "resourceVersion": "9"}
    gone["status"]["progress"]["loss"] = "2"
    stage.mirror.observe(TRAINING, gone)
    assert stage.series(LOSS) == {("team", "a"): 2.0}


def test_an_object_that_has_not_changed_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    for number in range(3):
        stage.put(f"t{number}")
    first = stage.text()
    read: list[str] = []
    get = stage.mirror.get

    def counted(resource: Resource, namespace: str, name: str) -> Manifest | None:
        read.append(name)
        return get(resource, namespace, name)

    monkeypatch.setattr(stage.mirror, "get", counted)
    assert stage.text() == first
    assert read == []
    stage.put("t1", "0.5")
    assert stage.series(LOSS)["team", "t1"] == 0.5
    assert read == ["t1"]


def test_the_process_that_does_not_lead_tells_nothing_of_objects() -> None:
    stage = Stage()
    stage.put()
    stage.leads = False
    assert stage.text() == ""
    stage.leads = True
    assert LOSS in stage.text()


def test_many_objects_are_read_with_turns_for_others_in_between() -> None:
    stage = Stage()
    for number in range(3 * AT_ONCE):
        stage.put(f"t{number}")

    async def turns() -> int:
        asked = asyncio.ensure_future(stage.told.exposition())
        count = 0
        while not asked.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) >= 3


def test_an_object_that_goes_while_others_are_read_is_left_out() -> None:
    stage = Stage()
    stored = [stage.put(f"t{number}") for number in range(2 * AT_ONCE)]

    async def page() -> bytes:
        asked = asyncio.ensure_future(stage.told.exposition())
        await asyncio.sleep(0)
        stage.mirror.forget(TRAINING, stored[-1])
        return await asked

    assert f'"t{2 * AT_ONCE - 1}"' not in asyncio.run(page()).decode()


@pytest.mark.parametrize(
    "status",
    [
        {"progress": {"loss": "much"}},
        {"progress": {"loss": "NaN"}},
        {"progress": {"loss": "1e999"}},
        {"progress": {"loss": {"a": 1}}},
        {"progress": "none"},
        {"lastCheckpoint": {"step": 1, "time": "yesterday"}, "progress": None},
        {"summary": {"workers": "many"}, "progress": None},
    ],
)
def test_what_anybody_writes_into_a_status_neither_breaks_the_page_nor_is_told(status: dict[str, Any]) -> None:
    stage = Stage()
    stage.put("good")
    stage.put("bad", **status)
    assert stage.series(LOSS) == {("team", "good"): 1.25}


def test_a_hostile_label_stays_one_value_of_a_bounded_length_and_is_there_once() -> None:
    stage = Stage()
    conditions = [{"type": 'a"b\\c\nd' + "x" * 300, "status": "True", "reason": "R", "lastTransitionTime": "t"}] * 2
    stage.put(conditions=conditions)
    ((labels, value),) = stage.series("deepseek_operator_training_condition").items()
    assert (labels[2][:7], len(labels[2]), value) == ('a"b\\c\nd', 128, 1.0)


def test_an_object_has_a_bounded_number_of_series() -> None:
    many = Metric("deepseek_operator_note_x", "X.", lambda owner: (((str(i),), 1.0) for i in range(10**6)), ("i",))
    stage = Stage(Kinds((with_metrics(many),)))
    stored = note(uid="1", resourceVersion="1")
    stage.mirror.observe(NOTE, stored)
    assert len(stage.series("deepseek_operator_note_x")) == MOST_ROWS


def test_a_further_kind_is_told_of_by_its_entry_alone() -> None:
    length = Metric("deepseek_operator_note_length", "Letters.", lambda owner: (((), float(len(owner.spec.text))),))
    stage = Stage(Kinds((*KINDS, with_metrics(length))))
    stage.mirror.observe(NOTE, note(uid="1", resourceVersion="1"))
    assert stage.series("deepseek_operator_note_length") == {("team", "n"): 5.0}


def test_devices_are_told_of_the_objects_whose_pods_hold_them() -> None:
    stage = Stage()
    stage.put("a")
    pod = {
        "metadata": {
            "name": "p", "namespace": "team", "uid": "p", "resourceVersion": "1", "labels": {OWNER_UID: "a"},
        },
        "spec": {"nodeName": "n", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]},
        "status": {"phase": "Running"},
    }  # fmt: skip
    stage.mirror.observe(POD, pod)
    assert stage.series("deepseek_operator_devices") == {("team", "a", "training", "nvidia.com/gpu"): 8.0}
    stage.clock.advance(10)
    seconds = "deepseek_operator_device_seconds"
    assert stage.series(seconds) == {("team", "a", "training", "nvidia.com/gpu"): 80.0}
    stage.leads = False
    stage.text()
    stage.leads = True
    assert stage.series(seconds) == {("team", "a", "training", "nvidia.com/gpu"): 0.0}


@pytest.mark.parametrize("entry", KINDS, ids=lambda entry: entry.word)
def test_names_are_the_kinds_own_and_said_once(entry: Any) -> None:
    names = [metric.name for metric in entry.metrics]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(rf"deepseek_operator_{entry.word}_[a-z_]+", name) for name in names)
    assert all({"namespace", "name"}.isdisjoint(metric.labels) for metric in entry.metrics)
    assert ALL[entry.resource] is entry
