"""Lists and watches of the real API server, believed only as far as they look like it.

A stream is taken line by line. Each is an event of the right shape, or the reason why the stream can't go on: nothing
that arrives raises anything but a `ClusterError`, however long, deep or foreign it is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from deepseek_operator.adapters.answers import decoded, is_stored, not_served, page_of, refusal
from deepseek_operator.adapters.api_server import ApiServer, path_of
from deepseek_operator.core.names import MANAGED_BY, MANAGER
from deepseek_operator.core.resources import Resource
from deepseek_operator.ports.cluster import ClusterError, Listing, Outdated
from deepseek_operator.ports.streams import Garbled, Told

SERVER_TIMEOUT_S = 30
"""The server ends a watch after this, with a bookmark just before: taken up again from there, it costs one request."""
IDLE_S = 35.0
"""Nothing for this long and the connection is half-open: the server would have ended the stream by now."""
PAGE = 20
"""Objects of a list whose text is in memory at once; each may have a megabyte and a half."""
LINE_LIMIT = 16 * 2**20
"""Bytes of one line. An object has 1.5 MiB in etcd (its default limit), and few characters become six in JSON."""
_SHOWN = 200


class KubeStreams:
    """`ports.Streams` on an API server, whose connections must not be limited: each watch holds one."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def pages(self, resource: Resource, namespace: str | None) -> AsyncIterator[Listing]:
        path = path_of(resource, namespace)
        query = {"limit": str(PAGE), **_selected(resource)}
        while True:
            answer = await self._server.request("list", "GET", path, resource=resource.plural, query=query)
            if answer is None:
                raise not_served(resource)
            page, rest = page_of(answer, resource)
            yield page
            if not rest:
                return
            query["continue"] = rest

    @asynccontextmanager
    async def watch(self, resource: Resource, namespace: str | None, since: str) -> AsyncIterator[AsyncIterator[Told]]:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(SERVER_TIMEOUT_S),
            **_selected(resource),
        }
        async with self._server.stream(path_of(resource, namespace), query, IDLE_S) as chunks:
            if chunks is None:
                raise not_served(resource)
            yield (told(line, resource) async for line in lines(chunks))


async def lines(chunks: AsyncIterator[bytes], limit: int = LINE_LIMIT) -> AsyncIterator[bytes]:
    """The lines of a stream without their ends; empty ones are left out.

    Raises:
        Garbled: a line is longer than `limit` bytes, or the stream ends within one.
    """
    begun: list[bytes] = []
    length = 0
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            line = b"".join((*begun, piece))
            begun, length = [], 0
            if line.strip():
                yield line
        begun.append(rest)
        length += len(rest)
        if length > limit:
            raise Garbled(f"a line has more than {limit} bytes")
    if length:
        raise Garbled(f"the stream ended within a line: {_shown(b''.join(begun))}")


def told(line: bytes, resource: Resource) -> Told:
    """What one line of a watch of the resource says.

    Raises:
        Outdated: an ERROR with code 410; other ClusterErrors: any other ERROR, by its code.
        Garbled: it is nothing that a watch of the resource says.
    """
    match _json(line):
        case {"type": "ERROR", "object": dict(status)}:
            raise _told_error(status)
        case {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}} if version.isdigit():
            return Told(None, version, {})
        case {"type": "ADDED" | "MODIFIED" | "DELETED" as type_, "object": dict(manifest)}:
            if is_stored(manifest) and manifest.get("kind") == resource.kind:
                return Told(type_, manifest["metadata"]["resourceVersion"], manifest)
    raise Garbled(f"no event of a watch of {resource.plural}: {_shown(line)}")


def _json(line: bytes) -> Any:
    try:
        return decoded(line)
    except ValueError as error:
        raise Garbled(f"no JSON ({error}): {_shown(line)}") from None


def _told_error(status: dict[str, Any]) -> ClusterError:
    """Since a Status names its reason beside its code, an Expired without the one is still an Expired."""
    code, message = status.get("code"), str(status.get("message") or "without a message")
    if code == 410 or status.get("reason") in {"Expired", "Gone"}:
        return Outdated(message)
    details = status.get("details")
    retry_after = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return refusal(code if isinstance(code, int) else 0, f"the watch told an error: {message}", str(retry_after))


def _selected(resource: Resource) -> dict[str, str]:
    return {} if resource.is_watched_whole else {"labelSelector": f"{MANAGED_BY}={MANAGER}"}


def _shown(line: bytes) -> str:
    return line[:_SHOWN].decode(errors="replace")
