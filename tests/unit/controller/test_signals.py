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
from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.core.seen import NoData, Sample, Signal, SignalWish, Unavailable
from deepseek_operator.kinds.registry import KINDS
from tests.support.virtual_time import LoopClock, in_virtual_time


class Store:
    """A metrics store with one number for every query."""

    def __init__(self) -> None:
        self.value: float | None = 8.0
        self.down = False
        self.silent = False
        self.unavailable: Unavailable | None = None
        self.delay_s = 0.0
        self.queries: list[str] = []

    async def read(self, query: str, at: datetime) -> Signal:
        self.queries.append(query)
        await asyncio.sleep(self.delay_s)
        if self.down:
            return Unavailable("connection refused")
        if self.silent:
            return NoData()
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

    def put(self, name: str, spec: dict[str, Any], status: dict[str, Any] | None = None) -> str:
        """With one replica, unless the status says otherwise."""
        metadata = {"name": name, "namespace": "team"}
        manifest = {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "metadata": metadata, "spec": spec}
        stored = self.cluster.put(manifest)
        said = {"replicas": 1, "readyReplicas": 1, "runningReplicas": 1} if status is None else status
        self.edit(name, status=said)
        return str(stored["metadata"]["uid"])

    def edit(self, name: str, **parts: Any) -> None:
        """Puts these parts in the place of what it has."""
        self.mirror.observe(SERVING, self.cluster.edit(SERVING, "team", name, lambda live: live.update(parts)))

    def wishes(self, name: str) -> tuple[SignalWish, ...]:
        """What its signals say, to a pass that looks at it now."""
        manifest = self.mirror.get(SERVING, "team", name)
        assert manifest is not None
        return self.board.wishes(Key(SERVING, "team", name), DeepSeekServing.model_validate(manifest))


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
    told = stage.wishes("chat")
    assert told == (SignalWish("InFlight", 8.0, 4.0, 2),)
    assert stage.woken == [CHAT]
    stage.store.value = 7.0
    await stage.board.evaluate()
    assert stage.wishes("chat") == told, "7 in flight want as many replicas: the value is that of the change"
    assert stage.woken == [CHAT]
    stage.store.value = 3.0
    await stage.board.evaluate()
    assert stage.wishes("chat") == (SignalWish("InFlight", 3.0, 4.0, 1),)
    stage.store.down = True
    await stage.board.evaluate()
    assert stage.wishes("chat") == (SignalWish("InFlight", None, 4.0, None, "connection refused"),)
    assert stage.woken == [CHAT] * 3


@in_virtual_time
async def test_what_a_deleted_serving_said_is_forgotten() -> None:
    stage = Stage()
    stage.put("chat", SPEC)
    await stage.board.evaluate()
    stage.mirror.drop(CHAT)
    stage.cluster.remove(SERVING, "team", "chat")
    await stage.board.evaluate()
    stage.put("chat", SPEC)
    assert stage.wishes("chat") == ()


NOBODY = SignalWish("InFlight", None, 4.0, None, "no replica reports")
REFUSED = Unavailable("connection refused")


@in_virtual_time
async def test_what_a_new_serving_will_hear_is_said_before_anybody_was_asked_and_wakes_nobody() -> None:
    stage = Stage()
    stage.put("chat", SPEC, {})
    assert stage.wishes("chat") == (NOBODY,)
    assert stage.store.queries == []
    stage.store.silent = True
    await stage.board.evaluate()
    assert stage.store.queries != []
    assert stage.wishes("chat") == (NOBODY,)
    assert stage.board.wish("serving", "team", "chat") is None
    assert stage.woken == []


@in_virtual_time
async def test_a_store_that_could_not_be_asked_is_told_of_a_new_serving_at_once() -> None:
    stage = Stage()
    stage.store.down, stage.store.unavailable = True, REFUSED
    stage.put("chat", SPEC, {})
    told = (SignalWish("InFlight", None, 4.0, None, REFUSED.reason),)
    assert stage.wishes("chat") == told
    await stage.board.evaluate()
    assert stage.woken == []
    stage.store.down, stage.store.silent = False, True
    await stage.board.evaluate()
    assert stage.wishes("chat") == (NOBODY,)
    assert stage.woken == [CHAT]


RECORDED = {"autoscaling": {"signals": [{"type": "InFlight", "target": "4", "message": "no replica reports"}]}}


@pytest.mark.parametrize("status", [{"replicas": 1}, RECORDED], ids=["a replica may report", "recorded"])
def test_nothing_is_said_before_anybody_was_asked_where_the_answer_may_be_another(status: dict[str, Any]) -> None:
    @in_virtual_time
    async def scene() -> None:
        stage = Stage()
        stage.put("chat", SPEC, status)
        assert stage.wishes("chat") == ()

    scene()


RESTING = [({"suspend": True}, {}), ({}, {"sleep": {"phase": "Asleep"}})]


@pytest.mark.parametrize(("spec", "status"), RESTING, ids=["suspended", "asleep"])
def test_nobody_asks_for_a_serving_that_rests(spec: dict[str, Any], status: dict[str, Any]) -> None:
    @in_virtual_time
    async def scene() -> None:
        stage = Stage()
        stage.put("chat", SPEC)
        await stage.board.evaluate()
        assert stage.wishes("chat") != ()
        stage.edit("chat", spec={**SPEC, **spec}, status=status)
        stage.store.queries.clear()
        stage.woken.clear()
        for _ in range(2):
            await stage.board.evaluate()
        assert stage.store.queries == []
        assert stage.board.wish("serving", "team", "chat") is None
        assert stage.wishes("chat") == ()
        assert stage.woken == [], "whoever brought it to rest did"
        stage.edit("chat", spec=SPEC, status={})
        assert stage.wishes("chat") == (NOBODY,)
        await stage.board.evaluate()
        assert stage.board.wish("serving", "team", "chat") is not None

    scene()


def test_what_asks_nothing_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    get = Mirror.get

    def counted(mirror: Mirror, resource: Resource, namespace: str, name: str) -> Manifest | None:
        read.append(name)
        return get(mirror, resource, namespace, name)

    @in_virtual_time
    async def scene() -> None:
        stage = Stage()
        stage.put("rests", {**SPEC, "suspend": True})
        stage.put("fixed", {"model": SPEC["model"]})
        await stage.board.evaluate()
        monkeypatch.setattr(Mirror, "get", counted)
        await stage.board.evaluate()
        assert read == []
        stage.edit("rests", spec=SPEC)
        await stage.board.evaluate()
        assert read == ["rests"]

    scene()


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
