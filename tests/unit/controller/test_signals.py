"""Signals of autoscaled servings: evaluated in the background, held for two intervals, unknown is never zero."""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.signals import SignalBoard
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import NoData, Sample, Signal, SignalWish, Unavailable
from deepseek_operator.kinds.registry import KINDS
from tests.support.virtual_time import LoopClock, in_virtual_time


class Store:
    """A metrics store with one number for every query."""

    def __init__(self) -> None:
        self.value: float | None = 8.0
        self.down = False
        self.delay_s = 0.0
        self.queries: list[str] = []

    async def read(self, query: str, at: datetime) -> Signal:
        self.queries.append(query)
        await asyncio.sleep(self.delay_s)
        if self.down:
            return Unavailable("connection refused")
        if "count" in query or "timestamp" in query:
            return Sample(1.0, at)
        return Sample(self.value, at) if self.value is not None else NoData()


class Stage:
    def __init__(self) -> None:
        self.clock = LoopClock()
        self.store = Store()
        self.mirror = Mirror()
        self.cluster = MemoryCluster(self.clock)
        self.woken: list[Key] = []
        self.board = SignalBoard(self.mirror, self.store, self.clock, Configuration(), KINDS, 15.0, self.woken.append)

    def put(self, name: str, spec: dict[str, Any]) -> str:
        metadata = {"name": name, "namespace": "team"}
        manifest = {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "metadata": metadata, "spec": spec}
        stored = self.cluster.put(manifest)
        status = {"replicas": 1, "readyReplicas": 1, "runningReplicas": 1}
        stored = self.cluster.edit(SERVING, "team", name, lambda live: live.update(status=status))
        self.mirror.observe(SERVING, stored)
        return str(stored["metadata"]["uid"])


SPEC = {
    "model": {"source": {"uri": "pvc://models/m"}},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 4, "signals": [{"type": "InFlight", "target": 4}]},
}


@in_virtual_time
async def test_a_wish_is_what_the_serving_kind_makes_of_the_samples() -> None:
    stage = Stage()
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    wish = stage.board.wish("serving", "team", "chat")
    assert wish is not None
    assert wish.replicas == 2


@in_virtual_time
async def test_a_serving_without_autoscaling_asks_nothing() -> None:
    stage = Stage()
    stage.put("chat", {"model": SPEC["model"]})
    await stage.board.evaluate()
    assert stage.store.queries == []
    assert stage.board.wish("serving", "team", "chat") is None


@in_virtual_time
async def test_an_old_wish_is_none_and_so_is_a_store_that_is_down() -> None:
    stage = Stage()
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    await asyncio.sleep(30)
    assert stage.board.wish("serving", "team", "chat") is not None
    await asyncio.sleep(0.1)
    assert stage.board.wish("serving", "team", "chat") is None
    stage.store.down = True
    await stage.board.evaluate()
    assert stage.board.wish("serving", "team", "chat") is None


@in_virtual_time
async def test_a_poisoned_serving_does_not_keep_the_others_from_being_evaluated() -> None:
    stage = Stage()
    stage.put("bad", {"model": 7})
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    assert stage.board.wish("serving", "team", "bad") is None
    assert stage.board.wish("serving", "team", "chat") is not None


def respecified(spec: dict[str, Any], live: dict[str, Any]) -> None:
    live["spec"] = spec


def test_a_poisoned_serving_is_logged_once_and_again_after_it_was_well(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def a_minute() -> None:
        stage = Stage()
        stage.put("bad", {"model": 7})
        running = asyncio.create_task(stage.board.run())
        for spec in (SPEC, {"model": 7}):
            await asyncio.sleep(60)
            stored = stage.cluster.edit(SERVING, "team", "bad", partial(respecified, spec))
            stage.mirror.observe(SERVING, stored)
        await asyncio.sleep(60)
        running.cancel()

    a_minute()
    assert len(caplog.records) == 2


@in_virtual_time
async def test_the_age_of_a_wish_counts_from_when_it_was_asked_for() -> None:
    stage = Stage()
    stage.store.delay_s = 9.0
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    await asyncio.sleep(22)
    assert stage.board.wish("serving", "team", "chat") is None


@in_virtual_time
async def test_a_deleted_serving_is_forgotten() -> None:
    stage = Stage()
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    stage.mirror.drop(Key(SERVING, "team", "chat"))
    await stage.board.evaluate()
    assert stage.board.wish("serving", "team", "chat") is None


CHAT = Key(SERVING, "team", "chat")


@in_virtual_time
async def test_a_wish_that_is_new_wakes_its_serving_and_one_that_says_the_same_does_not() -> None:
    stage = Stage()
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    told = stage.board.wishes(CHAT)
    assert told == (SignalWish("InFlight", 8.0, 4.0, 2),)
    assert stage.woken == [CHAT]
    stage.store.value = 7.0
    await stage.board.evaluate()
    assert stage.board.wishes(CHAT) == told, "7 in flight want as many replicas: the value is that of the change"
    assert stage.woken == [CHAT]
    stage.store.value = 3.0
    await stage.board.evaluate()
    assert stage.board.wishes(CHAT) == (SignalWish("InFlight", 3.0, 4.0, 1),)
    stage.store.down = True
    await stage.board.evaluate()
    assert stage.board.wishes(CHAT) == (SignalWish("InFlight", None, 4.0, None, "connection refused"),)
    assert stage.woken == [CHAT] * 3


@in_virtual_time
async def test_what_a_deleted_serving_said_is_forgotten() -> None:
    stage = Stage()
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    stage.mirror.drop(CHAT)
    await stage.board.evaluate()
    assert stage.board.wishes(CHAT) == ()


def test_an_owner_is_read_again_once_it_or_an_answer_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    validate = DeepSeekServing.model_validate

    def counted(manifest: Any) -> DeepSeekServing:
        read.append(manifest["metadata"]["name"])
        return validate(manifest)

    monkeypatch.setattr(DeepSeekServing, "model_validate", counted)

    @in_virtual_time
    async def scene() -> None:
        stage = Stage()
        stage.store.down = True
        stage.put("chat", SPEC)
        await stage.board.evaluate()
        read.clear()
        await stage.board.evaluate()
        assert read == [], "nothing is new"
        stage.store.down = False
        await stage.board.evaluate()
        assert _wanted(stage) == 2
        stored = stage.cluster.edit(
            SERVING, "team", "chat", lambda live: live["spec"]["autoscaling"]["signals"][0].update(target=8)
        )
        stage.mirror.observe(SERVING, stored)
        await stage.board.evaluate()
        assert _wanted(stage) == 1
        assert set(read) == {"chat"}

    scene()


def _wanted(stage: Stage) -> int | None:
    wish = stage.board.wish("serving", "team", "chat")
    return wish.replicas if wish is not None else None
