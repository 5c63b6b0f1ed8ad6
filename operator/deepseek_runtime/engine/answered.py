"""Counts answers by their status, for whoever compares two versions of a model.

One that breaks off after its first token is an error, although its status said 200; one whose client left is none.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from deepseek_runtime.engine.state import ENGINE

UNCOUNTED = frozenset({"/health", "/metrics"})
"""What probes and Prometheus ask for is no request of a user."""


@web.middleware
async def counted(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Counts the answer once it is given, whatever became of it."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        _count(request, error.status)
        raise
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        _count(request, 500)
        raise
    _count(request, response.status)
    return response


def _count(request: web.Request, status: int) -> None:
    route = request.match_info.route.resource
    path = route.canonical if route is not None else "none"
    if path not in UNCOUNTED:
        request.app[ENGINE].metrics.answered(path, request.method, status)
