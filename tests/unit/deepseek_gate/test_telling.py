"""Who waits is told at once, again while it waits, at most once a second, and by nobody else's Lease."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deepseek_gate.cluster import Untold
from deepseek_gate.reader import AWAITED_S, INTERVAL_S
from deepseek_gate.telling import AGAIN_S, LEAST_S, Telling, lease_of
from deepseek_operator.kinds.serving.names import serving_service
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting_requests import Source, held, staged

START = datetime(2026, 1, 1, tzinfo=UTC)


class Leases:
    """What was marked, and when. `refused`: how many of the first marks are."""

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.tries: list[float] = []
        self.marks: list[tuple[str, str, Mapping[str, Any]]] = []

    async def mark_lease(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        if len(self.tries) <= self.refused:
            raise Untold("the API server answers 403")
        self.marks.append((namespace, name, patch))

    @property
    def times(self) -> list[str]:
        return [patch["spec"]["renewTime"] for _, _, patch in self.marks]


class Life:
    """A serving that sleeps, a gate, and so many clients."""

    def __init__(self, refused: int = 0) -> None:
        self.leases = Leases(refused)
        self.source = Source(ready=0, holdSeconds=300)

    async def __aenter__(self) -> "Life":
        loop = asyncio.get_running_loop()
        self.started = loop.time()
        self.reader, self.waiting = await staged(self.source)
        self.telling = Telling(
            self.leases, self.waiting, "gate-1", lambda: START + timedelta(seconds=loop.time()), loop.time
        )
        self.task = asyncio.create_task(self.telling.follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        self.waiting.close()
        await asyncio.gather(self.task, return_exceptions=True)

    def after(self) -> list[float]:
        """Seconds from the start to each try."""
        return [round(at - self.started, 3) for at in self.leases.tries]


def test_the_first_request_is_told_at_once_and_told_again_while_it_waits() -> None:
    async def story() -> None:
        async with Life() as life:
            await asyncio.sleep(100)
            assert life.leases.tries == [], "nobody waits, and nothing is told"
            tasks = await held(life.waiting, 3)
            await asyncio.sleep(2 * AGAIN_S + 1)
            assert life.after() == [100, 100 + AGAIN_S, 100 + 2 * AGAIN_S]
            assert len(set(life.leases.times)) == 3, "each mark is another one"
            namespace, name, patch = life.leases.marks[0]
            assert (namespace, name) == ("team", "chat-serve")
            assert patch["metadata"] == {"annotations": {"deepseek-operator.io/waiting": "3"}}
            assert patch["spec"]["holderIdentity"] == "gate-1"
            life.source.entry = {"serving": "chat", "ready": 1, "holdSeconds": 300}
            await life.reader.read("team")
            assert await asyncio.gather(*tasks) == [None] * 3
            await asyncio.sleep(100)
            assert len(life.leases.tries) == 3, "nobody waits any more"

    in_virtual_time(story)()


def test_whoever_comes_and_goes_is_told_once_a_second() -> None:
    async def story() -> None:
        async with Life() as life:
            for _ in range(30):
                (task,) = await held(life.waiting)
                await asyncio.sleep(0.1)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert 3 <= len(life.leases.tries) <= 4
            assert all(b - a >= LEAST_S for a, b in zip(life.after(), life.after()[1:], strict=False))

    in_virtual_time(story)()


def test_a_mark_that_failed_is_tried_again_within_a_second_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with Life(refused=3) as life:
            await held(life.waiting)
            await asyncio.sleep(4)
            assert life.after() == [0, LEAST_S, 2 * LEAST_S, 3 * LEAST_S]
            assert len(life.leases.marks) == 1

    with caplog.at_level("INFO"):
        in_virtual_time(story)()
    told = [record.getMessage() for record in caplog.records if "waited for" in record.getMessage()]
    assert told == [
        "namespace team: nobody is told that chat is waited for: the API server answers 403",
        "namespace team: it is told again that chat is waited for",
    ]


def test_models_are_read_more_often_while_somebody_waits() -> None:
    async def story() -> None:
        async with Life() as life:
            assert life.reader.pause_s("team") == INTERVAL_S
            (task,) = await held(life.waiting)
            assert life.reader.pause_s("team") == AWAITED_S
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert life.reader.pause_s("team") == INTERVAL_S

    in_virtual_time(story)()


def test_both_ends_call_the_lease_the_same() -> None:
    assert lease_of("chat") == serving_service("chat")
