"""A small synchronous client of the API server, on the standard library.

It knows paths and JSON, nothing of kinds: `api.get("/api/v1/nodes/local")`. Manifests are applied server-side, so that
bringing a cluster up twice is the same as once.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from json import dumps, loads
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Manifest = dict[str, Any]
FIELD_MANAGER = "deepseek-local-cluster"


class ApiError(Exception):
    """The server answered with an error. `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Api:
    """One identity at one API server."""

    url: str
    ca: Path
    certificate: Path
    key: Path

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        return context

    def get(self, path: str, **query: str) -> Manifest:
        """Read an object or a list; ApiError 404 if it does not exist."""
        return self._request("GET", path, query=query)

    def get_text(self, path: str) -> str:
        """Read what is not JSON, such as /readyz or a log."""
        connection, response = self._open("GET", path, {}, None, "", 30)
        with connection:
            return _checked(response).decode()

    def exists(self, path: str) -> bool:
        """Whether the object exists."""
        try:
            self.get(path)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def create(self, path: str, manifest: Manifest, **query: str) -> Manifest:
        """POST to a collection or a subresource; ApiError 409 if it exists."""
        return self._request("POST", path, manifest, query=query)

    def apply(self, path: str, manifest: Manifest, **query: str) -> Manifest:
        """Server-side apply with force of an object of our own."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", **query}
        return self._request("PATCH", path, manifest, "application/apply-patch+yaml", query)

    def patch(self, path: str, change: Manifest, **query: str) -> Manifest:
        """JSON merge patch."""
        return self._request("PATCH", path, change, "application/merge-patch+json", query)

    def replace(self, path: str, manifest: Manifest) -> Manifest:
        """PUT of a whole object; ApiError 409 if it has changed since its resourceVersion was read."""
        return self._request("PUT", path, manifest)

    def delete(self, path: str, policy: str = "Background", grace_s: int | None = None) -> None:
        """Delete an object; nothing if it is gone already. A kubelet ends a pod with a grace of 0."""
        grace = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        try:
            self._request("DELETE", path, {"propagationPolicy": policy, **grace})
        except ApiError as error:
            if error.code != 404:
                raise

    def watch(self, path: str, timeout_s: int = 300, **query: str) -> Iterator[Manifest]:
        """Events of a collection, beginning with what exists now; ends after the timeout or when the server is gone.

        With a `resourceVersion` it begins after that.
        """
        query = {"watch": "true", "timeoutSeconds": str(timeout_s), **query}
        connection, response = self._open("GET", path, query, None, "", timeout_s + 10)
        with connection:
            if response.status >= 400:
                _checked(response)
            for line in response:
                yield loads(line)

    def is_served(self, path: str) -> bool:
        """Whether a collection answers: false while a new kind is not registered yet or its storage not ready."""
        try:
            self.get(path, limit="1")
        except ApiError:
            return False
        return True

    def is_ready(self) -> bool:
        """Whether the server answers /readyz with ok."""
        try:
            return self.get_text("/readyz") == "ok"
        except (OSError, HTTPException, ApiError):
            return False

    def _request(
        self,
        method: str,
        path: str,
        body: Manifest | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Manifest:
        connection, response = self._open(method, path, query or {}, body, content_type, 30)
        with connection:
            return loads(_checked(response) or "{}")  # type: ignore[no-any-return]

    def _open(
        self, method: str, path: str, query: dict[str, str], body: Manifest | None, content_type: str, timeout_s: float
    ) -> tuple["_Closing", HTTPResponse]:
        target = urlsplit(self.url)
        connection = HTTPSConnection(target.hostname or "", target.port, timeout=timeout_s, context=self._context)
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
        if body is not None:
            headers["Content-Type"] = content_type
        address = quote(path) + (f"?{urlencode(query)}" if query else "")
        connection.request(method, address, dumps(body) if body is not None else None, headers)
        return _Closing(connection), connection.getresponse()


@dataclass(frozen=True)
class _Closing:
    connection: HTTPSConnection

    def __enter__(self) -> HTTPSConnection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def _checked(response: HTTPResponse) -> bytes:
    content = response.read()
    if response.status >= 400:
        try:
            message = loads(content).get("message", "")
        except (ValueError, AttributeError):
            message = content.decode(errors="replace")[:500]
        raise ApiError(response.status, message)
    return content
