"""One file over HTTP, from some byte on.

Whoever reads it gets pieces until the end, or an error that says whether another try can help. Redirects are followed, as a
hub sends its readers to where its large files lie; the token stays with whom it is for.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

import aiohttp

from deepseek_runtime.fetcher.access import Access, Guard, origin_of
from deepseek_runtime.fetcher.failures import Interrupted, NotThere, Refused, Unavailable
from deepseek_runtime.fetcher.listing import File

_PIECE_BYTES = 1 << 20
_CONNECT_S, _SILENT_S = 30.0, 60.0
"""A connection is given up when it takes so long to come about, or when nothing comes over it for so long."""
_LONGEST_WAIT_S = 120.0
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10


class Web:
    """Connections to a source. Enter it before use.

    `headers`: of every request, but of none that a redirect sends to another origin. `access`: which addresses may be asked, of
    redirects too; None: wherever the source sends its readers.
    """

    def __init__(self, headers: Mapping[str, str], access: Access | None = None) -> None:
        self._headers, self._access = headers, access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Proxies as the environment names them; nothing is unpacked, so that a size is one of what is written.
        self._session = aiohttp.ClientSession(
            headers={"Accept-Encoding": "identity", "User-Agent": "deepseek-operator"},
            connector=aiohttp.TCPConnector(ssl=_tls(), resolver=Guard() if self._access is not None else None),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S),
            trust_env=True,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status, whose body is yet to be read. Raises Interrupted, and as `access` does."""
        try:
            async with self._answer(method, url, headers) as response:
                yield response
        except TimeoutError as error:
            raise Interrupted(f"nothing came from {_host(url)} for {_SILENT_S:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Interrupted(f"{_host(url)}: {type(error).__name__}: {error}"[:300]) from error

    @asynccontextmanager
    async def _answer(self, method: str, url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the session is not open: enter Web first")
        if self._access is None:
            async with self._session.request(method, url, headers={**self._headers, **headers}) as response:
                yield response
            return
        first = at = self._access.admitted(url)
        for _ in range(_MOST_REDIRECTS):
            own = self._headers if origin_of(at) == origin_of(first) else {}
            asked = {**own, **headers}
            async with self._session.request(method, at, headers=asked, allow_redirects=False) as response:
                location = response.headers.get("Location", "")
                if response.status not in _REDIRECTS or not location:
                    yield response
                    return
            at = self._access.redirected(at, location)
        raise Unavailable(f"{_host(url)} sends its readers on more than {_MOST_REDIRECTS} times")

    async def read(self, file: File, start: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Pieces, each with the byte that it begins at: the first may be 0 although `start` is not, from a server that
        knows no ranges, or has another file there by now.

        Raises Interrupted, NotThere, Refused, NotAllowed or Unavailable.
        """
        asked = {"Range": f"bytes={start}-"} if start else {}
        if start and file.version and not file.version.startswith("W/"):
            asked["If-Range"] = file.version
        async with self.ask("GET", file.url, asked) as response:
            at = _begins(response, start, file.url)
            if file.version and not file.promise and (now := version_of(response)) and now != file.version:
                raise Unavailable(f"{file.path} was changed while it was fetched: it is listed anew")
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                yield at, piece
                at += len(piece)


def _tls() -> ssl.SSLContext:
    """By what is believed now: the library's own is made while it is loaded."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def version_of(response: aiohttp.ClientResponse) -> str:
    """By which a server tells one content of an address from another, as If-Range takes it; empty where it does not."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _begins(response: aiohttp.ClientResponse, start: int, url: str) -> int:
    refuse(response, url)
    if response.status != 206:
        return 0
    told = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if told != str(start):
        raise Interrupted(f"{_host(url)} sends bytes from {told[:20]!r} on, where {start} was asked for")
    return start


def refuse(response: aiohttp.ClientResponse, url: str) -> None:
    """Raises as the status has it, unless a body comes. A redirect elsewhere is named by the address that was asked."""
    status = response.status
    if status in (200, 206):
        return
    if status in (401, 403):
        raise Refused(f"{_host(url)} answers {status} for {_path(url)}")
    if status in (404, 410):
        raise NotThere(f"{_host(url)} has no {_path(url)}")
    if status in (408, 425, 429) or status >= 500:
        raise Interrupted(f"{_host(url)} answers {status}", _wait(response.headers.get("Retry-After", "")))
    raise Unavailable(f"{_host(url)} answers {status} for {_path(url)}")


def _wait(asked: str) -> float:
    return min(float(asked), _LONGEST_WAIT_S) if asked.isascii() and asked.isdigit() else 0.0


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0][:200]


def _path(url: str) -> str:
    return url.partition("://")[2].partition("/")[2].partition("?")[0][:300]
