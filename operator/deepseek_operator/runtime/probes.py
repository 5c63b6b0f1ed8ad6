"""Plain HTTP: `/healthz` and `/readyz` for the kubelet, `/metrics` for Prometheus."""

from collections.abc import Callable

from aiohttp import web

_SHUTDOWN_S = 0.5
"""For a request under way when the process ends; the library's default is a minute."""

Check = Callable[[], str | None]
"""What is wrong, as a sentence; None when nothing is."""


class Pages:
    """Two small servers; `ports` are the ones that they got."""

    def __init__(self, healthy: Check, ready: Check, exposition: Callable[[], bytes]) -> None:
        self._healthy = healthy
        self._ready = ready
        self._exposition = exposition
        self._runners: list[web.AppRunner] = []
        self.ports: list[int] = []

    async def start(self, host: str, health_port: int, metrics_port: int) -> None:
        """Opens both ports; 0 takes any free one."""
        probes = web.Application()
        probes.router.add_get("/healthz", lambda request: _answer(self._healthy))
        probes.router.add_get("/readyz", lambda request: _answer(self._ready))
        metrics = web.Application()
        metrics.router.add_get("/metrics", self._metrics)
        for application, port in ((probes, health_port), (metrics, metrics_port)):
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, host or None, port).start()
            self.ports.append(runner.addresses[0][1])

    async def stop(self) -> None:
        """Closes both."""
        for runner in self._runners:
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _answer(check: Check) -> web.Response:
    wrong = check()
    return web.Response(status=503 if wrong else 200, text=f"{wrong or 'ok'}\n")
