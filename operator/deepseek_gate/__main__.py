"""`python3 -m deepseek_gate`: the process, from its environment to SIGTERM."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

import uvloop
from aiohttp import web

from deepseek_gate.cluster import Cluster
from deepseek_gate.metrics import Metrics
from deepseek_gate.reader import Reader
from deepseek_gate.server import Asking, health
from deepseek_gate.settings import Settings
from deepseek_gate.telling import Telling
from deepseek_gate.waiting import Waiting

log = logging.getLogger("deepseek_gate")

LEAVING_S = 5.0
"""Between SIGTERM and the end of listening: until then Envoy may not have heard that this replica goes."""
ENDING_S = 10.0
"""For the questions under way."""


async def serve(settings: Settings) -> None:
    """Answers until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Cluster(settings.access) as cluster:
        reader = Reader(cluster, settings.namespaces, time.monotonic)
        waiting = Waiting(reader)
        metrics = Metrics(reader, waiting)
        asking = Asking(reader, waiting, metrics, _now, settings.max_body_bytes)
        telling = Telling(cluster, waiting, socket.gethostname(), _now, time.monotonic)
        following = asyncio.gather(reader.follow(), telling.follow())
        runners = [
            await _listening("questions", asking.application(), settings.bind_host, settings.port),
            await _listening("health", health(reader, metrics), settings.bind_host, settings.health_port),
        ]
        await stopped.wait()
        log.info("ends in %.0f s", LEAVING_S)
        await asyncio.sleep(LEAVING_S)
        waiting.close()
        for runner in runners:
            await runner.cleanup()
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def _now() -> datetime:
    return datetime.now(UTC)


async def _listening(what: str, application: web.Application, host: str, port: int) -> web.AppRunner:
    # A client that has gone is held no longer.
    runner = web.AppRunner(
        application, access_log=None, auto_decompress=False, handler_cancellation=True, shutdown_timeout=ENDING_S
    )
    await runner.setup()
    await web.TCPSite(runner, host or None, port).start()
    for address in runner.addresses:
        log.info("%s at %s", what, address)
    return runner


def main() -> int:
    """Exit status of the process."""
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The library's own words on a broken request repeat what was broken: a header, a key even.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL + 1)
    uvloop.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
