"""Requests for a serving without a replica are held until it has one, so many and so long, and no longer."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from deepseek_gate.cluster import Unread
from deepseek_gate.knowledge import known
from deepseek_gate.models import Model
from tests.support.gate import config_map
from tests.support.waiting_requests import Source, held, staged

HELD = ("team", "chat")


async def within(answer: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(answer, 10)


@pytest.mark.parametrize("more", [{}, {"ready": 1}, {"ready": 1, "holdSeconds": 300}, {"holdSeconds": 300}])
async def test_where_a_replica_is_or_nothing_is_said_nobody_waits(more: dict[str, object]) -> None:
    _, waiting = await staged(Source(**more))
    assert await within(waiting.until_ready("team", "chat")) is None


async def test_a_gate_that_is_cut_off_goes_on_by_what_it_read_last() -> None:
    """As docs/zero.md says: it can't hear that a serving sleeps, and could not tell that somebody waits."""
    source = Source(ready=1, holdSeconds=300)
    reader, waiting = await staged(source)
    source.trouble = Unread("connection refused")
    await reader.read("team")
    assert await within(waiting.until_ready("team", "chat")) is None


async def test_two_hundred_are_held_and_go_on_together_when_a_replica_is_ready() -> None:
    source = Source(ready=0, holdSeconds=300)
    reader, waiting = await staged(source)
    tasks = await held(waiting, 200)
    assert waiting.held == {HELD: 200}
    await reader.read("team")
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    source.entry = {"serving": "chat", "ready": 1, "holdSeconds": 300}
    await reader.read("team")
    assert await within(asyncio.gather(*tasks)) == [None] * 200
    assert waiting.held == {HELD: 0}


async def test_more_than_the_bound_are_told_to_come_again_at_once() -> None:
    _, waiting = await staged(Source(ready=0, holdSeconds=300), most=2)
    tasks = await held(waiting, 2)
    answer = await within(waiting.until_ready("team", "chat"))
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "model_not_ready", "5")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert waiting.held == {HELD: 0}


async def test_without_a_time_to_hold_for_it_is_told_at_once() -> None:
    _, waiting = await staged(Source(ready=0))
    assert (await within(waiting.until_ready("team", "chat"))).result == "starting"


async def test_a_model_that_goes_meanwhile_lets_its_requests_go_to_be_told_so() -> None:
    source = Source(ready=0, holdSeconds=300)
    reader, waiting = await staged(source)
    (task,) = await held(waiting)
    source.entry = None
    await reader.read("team")
    assert await within(task) is None


async def test_at_the_end_of_the_process_all_are_sent_away() -> None:
    _, waiting = await staged(Source(ready=0, holdSeconds=300))
    (task,) = await held(waiting)
    waiting.close()
    assert (await within(task)).result == "starting"


@pytest.mark.parametrize(
    ("field", "value"), [("ready", True), ("ready", -1), ("ready", "0"), ("holdSeconds", 1.5), ("holdSeconds", None)]
)
def test_other_numbers_are_not_believed(field: str, value: object) -> None:
    text = json.dumps({"models": {"chat": {"serving": "chat", field: value}}})
    found = known([config_map("models", {"models.json": text})])
    assert not found.models
    assert len(found.faults) == 1


def test_nobody_is_held_for_longer_than_an_hour() -> None:
    text = json.dumps({"models": {"chat": {"serving": "chat", "ready": 0, "holdSeconds": 10**9}}})
    assert known([config_map("models", {"models.json": text})]).models["chat"] == Model("chat", ready=0, hold_s=3600)
