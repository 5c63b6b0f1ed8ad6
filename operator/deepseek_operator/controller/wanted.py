"""Replicas wanted, as a page for each owner: for KEDA, which asks by HTTP what a HorizontalPodAutoscaler asks of
external.metrics.k8s.io.

The number is the same, from the same place. No wish is 503 with why, on which KEDA holds; it is never a number. What is told
is what any HorizontalPodAutoscaler shows, so that nobody has to say who they are.
"""

from collections.abc import Collection

from aiohttp import web

from deepseek_operator.controller.doors import WANTED, Door
from deepseek_operator.controller.external_metrics import Wishes


class WantedPages:
    """A small server of `/wanted/<word of the kind>/<namespace>/<name>`; `port` is the one that it got."""

    def __init__(self, wishes: Wishes, words: Collection[str]) -> None:
        self._wishes = wishes
        self._words = words
        self._door: Door | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Opens the port; 0 takes any free one."""
        application = web.Application()
        application.router.add_get("/wanted/{word}/{namespace}/{name}", self._page)
        self._door = Door("replicas wanted", application, WANTED)
        self.port = await self._door.open(host, port)

    async def stop(self) -> None:
        """Closes it."""
        if self._door is not None:
            await self._door.close()

    async def _page(self, request: web.Request) -> web.Response:
        word, namespace, name = (request.match_info[part] for part in ("word", "namespace", "name"))
        if word not in self._words:
            return web.json_response({"error": f"nothing is scaled that is called {word[:64]}"}, status=404)
        wish = self._wishes.wish(word, namespace, name)
        if wish is None:
            return web.json_response({"error": "its signals do not say how many replicas they want"}, status=503)
        return web.json_response({"replicas": wish.replicas})
