"""Plain HTTP: `/healthz` and `/readyz` for the kubelet, `/metrics` for Prometheus, each behind a door of its own."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from deepseek_operator.controller.doors import METRICS, PROBES, Door

Check = Callable[[], str | None]
"""What is wrong, as a sentence; None when nothing is."""


class Pages:
    """Two small servers; `ports` are the ones that they got."""

    def __init__(self, healthy: Check, ready: Check, exposition: Callable[[], Awaitable[bytes]]) -> None:
        self._healthy = healthy
        self._ready = ready
        self._exposition = exposition
        self._doors: list[Door] = []
        self.ports: list[int] = []

    async def start(self, host: str, health_port: int, metrics_port: int) -> None:
        """Opens both ports; 0 takes any free one."""
        probes = web.Application()
        probes.router.add_get("/healthz", lambda request: _answer(self._healthy))
        probes.router.add_get("/readyz", lambda request: _answer(self._ready))
        metrics = web.Application()
        metrics.router.add_get("/metrics", self._metrics)
        self._doors = [Door("probes", probes, PROBES), Door("metrics", metrics, METRICS)]
        for door, port in zip(self._doors, (health_port, metrics_port), strict=True):
            self.ports.append(await door.open(host, port))

    async def stop(self) -> None:
        """Closes both."""
        for door in self._doors:
            await door.close()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _answer(check: Check) -> web.Response:
    wrong = check()
    return web.Response(status=503 if wrong else 200, text=f"{wrong or 'ok'}\n")
