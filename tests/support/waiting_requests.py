"""Requests that wait at a gate for a serving without a replica, and what the gate is told of it."""

import asyncio

from deepseek_gate.answers import Denied
from deepseek_gate.cluster import Unread
from deepseek_gate.knowledge import ConfigMap
from deepseek_gate.reader import Reader
from deepseek_gate.waiting import Waiting
from tests.support.gate import models_map


class Source:
    """A serving with so many replicas; each change is a new version. `trouble`: why it can't be read."""

    def __init__(self, **more: object) -> None:
        self.entry: dict[str, object] | None = {"serving": "chat", **more}
        self.trouble: Unread | None = None
        self._version = 0

    async def list_config_maps(self, namespace: str) -> list[ConfigMap]:
        if self.trouble is not None:
            raise self.trouble
        self._version += 1
        told = models_map({"models": {"chat": self.entry} if self.entry is not None else {}})
        told["metadata"]["resourceVersion"] = str(self._version)
        return [told]


async def staged(source: Source, most: int = 1000) -> tuple[Reader, Waiting]:
    reader = Reader(source, ["team"], lambda: 0.0)
    await reader.read("team")
    return reader, Waiting(reader, most)


async def held(waiting: Waiting, count: int = 1) -> list["asyncio.Task[Denied | None]"]:
    """So many requests, which wait when this returns."""

    async def ask() -> Denied | None:
        return await waiting.until_ready("team", "chat")

    tasks = [asyncio.create_task(ask()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks
