"""The two ports: where Envoy asks, and where the kubelet and Prometheus do.

Nothing of a request reaches the log: no path, header or body; a fault in the code is told by its type alone.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import unquote

import orjson
from aiohttp import web

from deepseek_gate.answers import Allowed, Denied, too_large
from deepseek_gate.body import Asked, asked_of
from deepseek_gate.decision import (
    LISTING,
    headers_of,
    is_listing,
    names_of,
    permit,
    permit_call,
    removed,
    unknown_call,
    unknown_path,
)
from deepseek_gate.identity import Shown, Way, identify
from deepseek_gate.knowledge import Knowledge
from deepseek_gate.metrics import Metrics
from deepseek_gate.reader import Reader
from deepseek_gate.waiting import Waiting

log = logging.getLogger(__name__)

_WAYS = {way.value: way for way in Way}
_REMOVED = "x-envoy-auth-headers-to-remove"
"""Envoy takes from the request what an answer of 200 lists here."""
_NOT_HERE = Denied(404, "unknown_path", "There is no such path at the gate.", "unknown_url")
_UNROUTED = Denied(
    404, "unrouted", "The model is not served here. Ask again, or under its host name.", "model_not_found"
)
"""Let in, and matched by no serving's route: it is another host name's, or the gateway has not heard of the route yet."""
_ROUTED = "x-deepseek-route"
_LED_HERE = Denied(
    503, "starting", "The model is starting: try again.", "model_not_ready", "model", headers={"Retry-After": "1"}
)
"""To a request that was let go on and led here, since the gateway does not know the replica yet: it tries again by itself."""
_AGAIN_S = 1.0
"""Before that is answered, since the gateway tries again at once, and only a few times."""
_NOT_READ = Denied(
    429, "not_ready", "The gateway knows no keys yet: try again.", "not_ready", headers={"Retry-After": "2"}
)
_NO_ROOM = Denied(
    429, "no_room", "The gateway is busy with large requests: try again.", "busy", headers={"Retry-After": "1"}
)
GRPC = "grpc"
_ROLES = ("authorize", "models", GRPC)
_BODY_S = 10.0
"""Envoy has the whole body before it asks."""
_TOO_SLOW = Denied(408, "too_slow", "The body did not come in time.", "timeout")
_MOST_BODIES = 4
"""Of the largest size under way at a time, or as many bytes in smaller ones: within the memory that the pod is given."""
_FAULT = Denied(403, "fault", "The gateway could not judge this request.")


class Asking:
    """The port of Envoy: `/authorize/…` and `/grpc/…` decide, `/models/…` lists."""

    def __init__(
        self, reader: Reader, waiting: Waiting, metrics: Metrics, now: Callable[[], datetime], max_body_bytes: int
    ) -> None:
        self._reader = reader
        self._waiting = waiting
        self._metrics = metrics
        self._now = now
        self._max_body_bytes = max_body_bytes
        self._held_bytes = 0

    def application(self) -> web.Application:
        """For a server that neither decodes bodies nor logs requests."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        role, namespace, ways, path = _parts(request)
        try:
            answer = await self._decide(request, role, namespace, ways, path)
        except (ConnectionError, web.HTTPException, TimeoutError):
            raise
        except Exception as error:
            log.error("a request could not be judged: %s", type(error).__name__)
            answer = _FAULT
        known = namespace if self._reader.of(namespace) is not None else ""
        match answer:
            case Denied():
                self._metrics.decided(known, "", answer.result, time.perf_counter() - started)
                return _told_by_grpc(answer) if role == GRPC else _told(answer)
            case Allowed():
                self._metrics.decided(known, answer.serving or "", "allowed", time.perf_counter() - started)
                return web.Response(headers={**answer.headers, _REMOVED: ",".join(removed(answer))})
            case web.Response():
                return answer

    async def _decide(
        self, request: web.Request, role: str, namespace: str, ways: str, path: str
    ) -> Allowed | Denied | web.Response:
        if role == "unrouted":
            return _UNROUTED
        if role not in _ROLES and _ROUTED in request.headers:
            await asyncio.sleep(_AGAIN_S)
            return _LED_HERE
        way = _WAYS.get(ways.partition(".")[0])
        if role not in _ROLES or way is None:
            return _NOT_HERE
        known = self._reader.of(namespace)
        if known is None:
            return _NOT_READ if namespace in self._reader.namespaces else _NOT_HERE
        key = identify(_shown(request), way, known, self._now())
        if isinstance(key, Denied):
            return key
        if role == "models":
            return _listed(path, names_of(key, known, ways))
        if role == GRPC:
            _, serving, *method = path.split("/", 2)
            denied = unknown_call(request.method, "/" + "".join(method))
            return denied or permit_call(key, serving, known, namespace, ways)
        if is_listing(request.method, path):
            return Allowed(headers_of(key))
        if denied := unknown_path(request.method, path):
            return denied
        asked = await self._asked_of(request)
        if isinstance(asked, Denied):
            return asked
        # Each time once more: while a slow body came, or while it was held, the key may have been revoked.
        answer = self._permitted(request, namespace, way, ways, asked, path)
        if isinstance(answer, Denied):
            return answer
        waited = await self._waiting.until_ready(namespace, asked.model)
        return waited or self._permitted(request, namespace, way, ways, asked, path)

    def _permitted(
        self, request: web.Request, namespace: str, way: Way, ways: str, asked: Asked, path: str
    ) -> Allowed | Denied:
        known = self._reader.of(namespace) or Knowledge()
        key = identify(_shown(request), way, known, self._now())
        return key if isinstance(key, Denied) else permit(key, asked, path, known, namespace, ways)

    async def _asked_of(self, request: web.Request) -> Asked | Denied:
        if request.headers.get("x-envoy-auth-partial-body", "false").lower() == "true":
            return too_large("The body is larger than the gateway takes.")
        length = request.content_length
        if length is not None and length > self._max_body_bytes:
            return too_large(f"The body is larger than {self._max_body_bytes:,} bytes.")
        # Envoy says how long it is; whoever does not takes the place of the longest.
        room = self._max_body_bytes if length is None else length
        if self._held_bytes + room > _MOST_BODIES * self._max_body_bytes:
            return _NO_ROOM
        self._held_bytes += room
        try:
            return await self._read_body(request)
        finally:
            self._held_bytes -= room

    async def _read_body(self, request: web.Request) -> Asked | Denied:
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_S):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self._max_body_bytes:
                        return too_large(f"The body is larger than {self._max_body_bytes:,} bytes.")
        except TimeoutError:
            return _TOO_SLOW
        headers = request.headers
        types, encodings = headers.getall("Content-Type", []), headers.getall("Content-Encoding", [])
        return asked_of(body, ", ".join(types), ", ".join(encodings))


def _parts(request: web.Request) -> tuple[str, str, str, str]:
    """Role, namespace, ways, and the path that follows, as it was sent: what is decoded nobody else would read so."""
    path = request.raw_path.partition("?")[0]
    _, role, namespace, ways, *rest = [*path.split("/", 4), "", "", ""][:5]
    return role, namespace, ways, "/" + "".join(rest)


def _shown(request: web.Request) -> Shown:
    def of(name: str) -> tuple[str, ...]:
        return tuple(request.headers.getall(name, []))

    return Shown(of("Authorization"), of("x-api-key"), of("x-deepseek-jwt-sub"), of("x-deepseek-jwt-scopes"))


def _listed(path: str, names: list[str]) -> Denied | web.Response:
    """OpenAI's list of models, or one of them."""
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "deepseek-operator"} for name in names]
    wanted = unquote(path.removeprefix(LISTING).strip("/"))
    if not wanted:
        return _json({"object": "list", "data": entries})
    if wanted not in names:
        return Denied(404, "unknown_model", "The model does not exist, or is not yours.", "model_not_found", "model")
    return _json(entries[names.index(wanted)])


def _told(answer: Denied) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, content_type="application/json", headers=answer.headers)


def _told_by_grpc(answer: Denied) -> web.Response:
    """Envoy makes the end of a call of it, with these words as its message."""
    told = {**answer.headers, "grpc-status": str(answer.grpc_status)}
    return web.Response(status=answer.status, text=answer.message, headers=told)


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def health(reader: Reader, metrics: Metrics) -> web.Application:
    """The port of the kubelet and of Prometheus; it names no key."""

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(request: web.Request) -> web.Response:
        return web.Response(text="ok") if reader.is_ready else web.Response(status=503, text="no keys were read yet")

    async def page(request: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", page)
    return application
