"""kopf as the process frame; nothing else in the operator knows it.

It starts, runs and cleans up; it neither watches nor decides. Its own watches end the process at any error in a stream
but 410 and at any line that is no JSON, and keep a worker and a copy for every object (`controller/stream.py` follows the
resources instead); its other handlers write annotations and finalizers, retry at a fixed pace and see different states
of one change. What it still asks the API server, the list of API groups as it starts, nothing here waits for.
"""

import asyncio
import logging
import signal

import aiohttp
import kopf

from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.controller.app import App
from deepseek_operator.controller.ending import Ending
from deepseek_operator.controller.settings import Settings
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.resources import GROUP

REQUEST_LIMIT_S = 10.0
PATIENCE_S = 5.0
"""Between two tries of a request of the frame."""


async def operate(settings: Settings, credentials: Credentials, kinds: Kinds) -> None:
    """Runs the operator until SIGTERM or SIGINT.

    Raises:
        BaseException: whatever ended a task that must not end, the lost lease included.
    """
    ending = Ending()
    app = App(settings, credentials, kinds, ending.begin)
    ours = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=_registry_of(app, credentials), settings=_settings(), stop_flag=app.ending, clusterwide=True
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # The frame's own, which know of no second signal and wait for the loop.
    ending.on_signals(lambda: loop.call_soon_threadsafe(app.ending.set))
    await kopf.run_tasks(tasks, ignored=ours)
    if app.failure is not None:
        raise app.failure


def _registry_of(app: App, credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers of one process; no registry is shared."""
    registry = kopf.OperatorRegistry()

    async def started(**_: object) -> None:
        await app.start()

    async def stopped(**_: object) -> None:
        await app.stop()

    async def logged_in(**_: object) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=credentials.server, aiohttp_session=_session(credentials))

    kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)(started)
    kopf.on.cleanup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)(stopped)
    kopf.on.login(registry=registry)(logged_in)
    return registry


def _session(credentials: Credentials) -> aiohttp.ClientSession:
    """A session whose every request is tried until it is answered well: a trouble must not end the frame."""

    async def patient(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        while True:
            try:
                if (authorization := credentials.authorization()) is not None:
                    request.headers["Authorization"] = authorization
                async with asyncio.timeout(REQUEST_LIMIT_S):
                    response = await handler(request)
                    if response.status == 200 and isinstance(await response.json(), dict):
                        return response
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
                logging.getLogger(__name__).debug("%s: %s", request.url, error)
            await asyncio.sleep(PATIENCE_S)

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=credentials.ssl_context()), middlewares=(patient,))


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.request_timeout = None
    settings.persistence.finalizer = f"{GROUP}/unused"
    return settings
