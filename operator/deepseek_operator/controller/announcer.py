"""Publishes events as fast as their namespace may have them; what is too much is told later and together.

An event that has to wait is replaced by a later one of the same object and reason: the last of each reason arrives, and
says that it stands for more than one. So objects that flap, or come and go, cost the API server and etcd no more than a
rate for each namespace, no pass waits for it, and the events of all other namespaces come at once.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from deepseek_operator.controller.bucket import Buckets
from deepseek_operator.controller.fence import NotLeading
from deepseek_operator.core.kind import Event
from deepseek_operator.core.resources import Manifest, Resource, uid_of

log = logging.getLogger(__name__)

Announce: TypeAlias = Callable[[Resource, Manifest, Event], Awaitable[None]]

EVENT_BURST, EVENTS_PER_S = 200, 10.0
"""Of one namespace, at once and after them. A hundred trainings that start together are told at once; more come within
seconds. The API server's own EventRateLimit, where an administrator has it, lets a namespace have 50 a second."""
MOST_HELD = 1000
"""Events of one namespace that wait: half a megabyte. Beyond, an older one of the reason gives way."""
COMBINED = "(combined from similar events) "
"""As client-go's recorder marks an event that stands for others."""
_NAMING = ("name", "namespace", "uid", "resourceVersion")


@dataclass(frozen=True)
class _Held:
    resource: Resource
    regarding: Manifest
    event: Event


class Announcer:
    """Events of each namespace in order, within its budget.

    Args:
        publish: sends one event; reads no more of the object than what names it.
    """

    def __init__(self, publish: Announce) -> None:
        self._publish = publish
        self._budgets: Buckets[str] = Buckets(EVENTS_PER_S, EVENT_BURST)
        self._held: dict[str, OrderedDict[tuple[str, str], _Held]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def publish(self, resource: Resource, regarding: Manifest, event: Event) -> None:
        """Tells it now, or holds it until its namespace may have another one; what is held is told without being awaited."""
        namespace, now = regarding["metadata"]["namespace"], asyncio.get_running_loop().time()
        if namespace in self._held or self._budgets.wait_s(namespace, now) > 0:
            self._hold(namespace, resource, regarding, event)
            return
        self._budgets.reserve(namespace, now)
        await self._publish(resource, regarding, event)

    async def close(self) -> None:
        """Drops what is held: an event is a hint, and the conditions say the same."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hold(self, namespace: str, resource: Resource, regarding: Manifest, event: Event) -> None:
        held = self._held.setdefault(namespace, OrderedDict())
        key = (uid_of(regarding), event.reason)
        if key in held:
            event = replace(event, note=f"{COMBINED}{event.note}")
        elif len(held) >= MOST_HELD:
            del held[next((other for other in held if other[1] == event.reason), next(iter(held)))]
        metadata = {name: regarding["metadata"][name] for name in _NAMING}
        held[key] = _Held(resource, {"metadata": metadata}, event)
        if namespace not in self._tasks:
            self._tasks[namespace] = asyncio.create_task(self._tell(namespace, held), name=f"events of {namespace}")

    async def _tell(self, namespace: str, held: OrderedDict[tuple[str, str], _Held]) -> None:
        """Tells what is held, and what comes meanwhile, until there is nothing more."""
        loop = asyncio.get_running_loop()
        try:
            while held:
                await asyncio.sleep(self._budgets.wait_s(namespace, loop.time()))
                self._budgets.reserve(namespace, loop.time())
                _, one = held.popitem(last=False)
                await self._send(one)
        except NotLeading as error:
            log.warning("%s events of %s are not told any more: %s", len(held) + 1, namespace, error)
        finally:
            del self._held[namespace], self._tasks[namespace]

    async def _send(self, one: _Held) -> None:
        try:
            await self._publish(one.resource, one.regarding, one.event)
        except NotLeading:
            raise
        except Exception:
            log.exception("event %s of %s is lost", one.event.reason, one.regarding["metadata"]["name"])
