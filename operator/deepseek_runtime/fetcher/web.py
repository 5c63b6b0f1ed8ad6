"""One file over HTTP, from some byte on.

Whoever reads it gets pieces until the end, or an error that says whether another try can help. Redirects are followed, as a
hub sends its readers to where its large files lie; the token stays with whom it is for.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Self

import aiohttp

from deepseek_runtime.fetcher.failures import Interrupted, NotThere, Refused, Unavailable
from deepseek_runtime.fetcher.listing import File

_PIECE_BYTES = 1 << 20
_CONNECT_S, _SILENT_S = 30.0, 60.0
"""A connection is given up when it takes so long to come about, or when nothing comes over it for so long."""
_LONGEST_WAIT_S = 120.0


class Web:
    """Connections to a source. Enter it before use."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Proxies as the environment names them; nothing is unpacked, so that a size is one of what is written.
        self._session = aiohttp.ClientSession(
            headers={**self._headers, "Accept-Encoding": "identity", "User-Agent": "deepseek-operator"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S),
            trust_env=True,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, file: File, start: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Pieces, each with the byte that it begins at: the first may be 0 although `start` is not, from a server that
        knows no ranges.

        Raises Interrupted, NotThere, Refused or Unavailable.
        """
        if self._session is None:
            raise RuntimeError("the session is not open: enter Web first")
        url = file.url
        asked = {"Range": f"bytes={start}-"} if start else {}
        try:
            async with self._session.get(url, headers=asked) as response:
                at = _begins(response, start, url)
                async for piece in response.content.iter_chunked(_PIECE_BYTES):
                    yield at, piece
                    at += len(piece)
        except TimeoutError as error:
            raise Interrupted(f"nothing came from {_host(url)} for {_SILENT_S:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Interrupted(f"{_host(url)}: {type(error).__name__}: {error}"[:300]) from error


def _begins(response: aiohttp.ClientResponse, start: int, url: str) -> int:
    status = response.status
    if status == 206:
        told = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if told != str(start):
            raise Interrupted(f"{_host(url)} sends bytes from {told[:20]!r} on, where {start} was asked for")
        return start
    if status == 200:
        return 0
    if status in (401, 403):
        raise Refused(f"{_host(url)} answers {status} for {_path(url)}")
    if status in (404, 410):
        raise NotThere(f"{_host(url)} has no {_path(url)} any more")
    if status in (408, 425, 429) or status >= 500:
        raise Interrupted(f"{_host(url)} answers {status}", _wait(response.headers.get("Retry-After", "")))
    raise Unavailable(f"{_host(url)} answers {status} for {_path(url)}")


def _wait(asked: str) -> float:
    return min(float(asked), _LONGEST_WAIT_S) if asked.isascii() and asked.isdigit() else 0.0


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0][:200]


def _path(url: str) -> str:
    return url.partition("://")[2].partition("/")[2].partition("?")[0][:300]
