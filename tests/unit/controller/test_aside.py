"""What takes long is computed beside the loop, one namespace never in the way of another."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from deepseek_operator.controller import aside
from deepseek_operator.controller.aside import Aside


def held(gate: threading.Event, answer: str) -> Callable[[], str]:
    def compute() -> str:
        assert gate.wait(30)
        return answer

    return compute


async def test_a_namespace_computes_one_thing_at_a_time_and_another_gets_its_turn_meanwhile() -> None:
    beside, gate = Aside(), threading.Event()
    crowd = [asyncio.create_task(beside.run("crowd", held(gate, str(number)))) for number in range(5)]
    await asyncio.sleep(0)
    assert await beside.run("team", lambda: threading.current_thread().name.partition("_")[0]) == "aside"
    assert not any(task.done() for task in crowd)
    gate.set()
    assert await asyncio.gather(*crowd) == ["0", "1", "2", "3", "4"]
    assert beside._turns == {}
    beside.close()


async def test_what_raises_or_never_ends_frees_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    beside, gate = Aside(), threading.Event()

    def deep() -> str:
        raise RecursionError("deep")

    with pytest.raises(RecursionError):
        await beside.run("team", deep)
    monkeypatch.setattr(aside, "DEADLINE_S", 0.01)
    with pytest.raises(TimeoutError):
        await beside.run("team", held(gate, "late"))
    monkeypatch.setattr(aside, "DEADLINE_S", 30.0)
    assert await beside.run("team", lambda: "next") == "next"
    gate.set()
    beside.close()
