"""The way to the API server: one HTTP session with a bounded number of connections, JSON as plain dicts.

The client library's generated models are never used here: they cost twelve to twenty times the processor time of
`json.loads`. Every request has a time limit. Nothing is retried here: the queue retries, and it asks the lease first.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol, Self
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from deepseek_operator.adapters.answers import answer
from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.core.names import FIELD_MANAGER
from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import Rejected, Unreachable

CONNECTIONS = 32
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 5.0
"""Less than the lease's renewal leaves, so that a write never outlives the lease it began under."""
HEADERS_TIMEOUT_S = 5.0
"""For the first byte of a stream, which the API server sends as soon as it agrees."""
MERGE_PATCH = "application/merge-patch+json"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHOWN = 100
_REFUSAL = 64 * 1024
"""Bytes that are read of an answer which refuses a stream."""


class Requests(Protocol):
    """Counts requests to the API server."""

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request ended; `code` is the HTTP status, or the name of the failure when there was none."""


class ApiServer:
    """JSON over one shared session with at most so many `connections` (0: any number). Enter it before use."""

    def __init__(
        self, credentials: Credentials, clock: Clock, requests: Requests, connections: int = CONNECTIONS
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._requests = requests
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._credentials.ssl_context())
        # Nobody's cookies are kept: what stands before several API servers would tie all requests to one of them.
        self._session = aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": FIELD_MANAGER}, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def merge(self, resource: Resource, namespace: str, name: str, body: Manifest) -> None:
        """Writes what `body` has into an object; None in it takes a field away. Raises ClusterError."""
        place = path_of(resource, namespace, name)
        await self.request("patch", "PATCH", place, resource=resource.plural, body=body, content_type=MERGE_PATCH)

    async def request(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        resource: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Manifest | None:
        """One request; None when the server says 404.

        Raises:
            ClusterError: any other refusal, or no answer.
        """
        started, code = self._clock.monotonic(), "cancelled"
        try:
            headers = self._headers(accept) | ({"Content-Type": content_type} if body is not None else {})
            async with self._open().request(
                method,
                self._url(path, query),
                data=_encoded(body) if body is not None else None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                content = await response.read()
                code = str(response.status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            code = "timeout" if isinstance(error, TimeoutError) else "unreachable"
            raise Unreachable(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error
        finally:
            self._requests.requested(verb, resource, code, self._clock.monotonic() - started)
        return answer(response.status, content, response.headers.get("Retry-After"))

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], idle_s: float, headers_s: float = HEADERS_TIMEOUT_S
    ) -> AsyncIterator[AsyncIterator[bytes] | None]:
        """The bytes of an answer as they come, None when the server says 404. Left early, its connection is closed.

        `headers_s`: how long it may take to agree, which a followed log does with its first line.

        Raises:
            ClusterError: any other refusal, or no answer; while it is read: it breaks, or is silent for `idle_s`.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HEADERS_TIMEOUT_S, sock_read=idle_s)
        try:
            async with asyncio.timeout(headers_s):
                response = await self._open().get(
                    self._url(path, query),
                    headers=self._headers("application/json"),
                    timeout=timeout,
                    allow_redirects=False,
                )
                refused = await response.content.read(_REFUSAL) if response.status != 200 else b""
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"GET {path}: {type(error).__name__} {error}".rstrip()) from error
        try:
            if response.status == 200:
                yield _chunks(response)
            elif answer(response.status, refused, response.headers.get("Retry-After")) is None:
                yield None
            else:
                raise Unreachable(f"GET {path}: HTTP {response.status}")
        finally:
            response.close()

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        """As it is sent: `path` is quoted already, and to have it all taken apart and put together again costs as much as to
        write a small body."""
        return URL(f"{self._credentials.server}{path}" + (f"?{urlencode(query)}" if query else ""), encoded=True)

    def _headers(self, accept: str) -> dict[str, str]:
        authorization = self._credentials.authorization()
        return {"Accept": accept} | ({"Authorization": authorization} if authorization is not None else {})

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the session is not open: enter ApiServer first")
        return self._session


def is_name(text: str) -> bool:
    """True for what an object can be called: a DNS subdomain, as all are that the operator names. None has a slash or
    begins with a dot, so none leads to another path."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def path_of(resource: Resource, namespace: str | None = None, name: str | None = None) -> str:
    """The path of a collection, or of one object in it.

    Raises:
        Rejected: no object can have that name; a status that somebody forged may say it.
    """
    if name is not None and not is_name(name):
        raise Rejected(f"no object can be called {name[:_SHOWN]!r}")
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.api_version}"
    scope = f"/namespaces/{quote(namespace)}" if namespace is not None else ""
    return f"{root}{scope}/{resource.plural}" + (f"/{quote(name)}" if name is not None else "")


def _encoded(body: Manifest) -> bytes:
    """JSON as the API server itself writes it: sorted, compact, characters that HTML knows escaped.

    Free-form data (a ControllerRevision's) is kept as the bytes that were sent and must never change; any later patch of
    the object, a label or the garbage collector's, writes them anew and is refused (422) when they come out different.
    """
    try:
        text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # An integer beyond 64 bits.
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character.encode(), b"\\u%04x" % ord(character))
    return text


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
            await asyncio.sleep(0)  # What is buffered already would be read without a pause for anybody else.
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{type(error).__name__} {error}".rstrip()) from error
