"""What lies in a folder of a web server, or one file of it, and what is promised of each.

A web server lists nothing: which files a folder has says its `SHA256SUMS`, which is also what each is held to. Of one file it is
looked for beside it. Without it a file is told from what may lie at its address later by its ETag, or its Last-Modified.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from deepseek_runtime.fetcher.download import AT_A_TIME
from deepseek_runtime.fetcher.failures import Interrupted, NotAllowed, NotThere, Refused, Unavailable
from deepseek_runtime.fetcher.hub import headers
from deepseek_runtime.fetcher.listing import MOST_FILES, File, Listing, checked, revision_of
from deepseek_runtime.fetcher.settings import Settings, WebSource
from deepseek_runtime.fetcher.sums import LONGEST, SUMS, WRITTEN_BY, named, promised
from deepseek_runtime.fetcher.wanted import chosen
from deepseek_runtime.fetcher.web import Web, refuse, version_of


def listed(settings: Settings, source: WebSource) -> Listing:
    """Asks the server. Raises Failure: NotThere, Refused, NotAllowed or Unavailable."""
    try:
        return asyncio.run(_listed(settings, source))
    except Interrupted as error:
        raise Unavailable(str(error)) from error


async def _listed(settings: Settings, source: WebSource) -> Listing:
    # Before anything beside it is looked for: what is told is about what was asked for.
    settings.access.admitted(f"{source.address}{source.selection}")
    async with Web(headers(settings), settings.access) as web:
        found = await (_alone(web, source) if source.selection else _of_folder(web, settings, source))
        whole = checked(source.place, "", found)
        files = await _sized(web, chosen(whole.files, settings))
    for file in files:
        if not (file.promise or file.version or settings.digest):
            raise NotThere(
                f"{settings.uri}: the server tells neither ETag nor Last-Modified, so that nobody would see another content: "
                f"lay {SUMS} beside it, or write source.digest"
            )
    revision = revision_of(source.address, ((file.path, file.size, file.promise or file.version) for file in files))
    return replace(whole, revision=revision, files=tuple(files))


async def _of_folder(web: Web, settings: Settings, source: WebSource) -> list[File]:
    """The files that SHA256SUMS names."""
    content = await _content(web, f"{source.address}{SUMS}")
    if content is None:
        raise NotThere(
            f"{settings.uri} has no {SUMS}, by which a folder says which files it has: write it there by: {WRITTEN_BY}"
        )
    known = named(content, f"{source.address}{SUMS}")
    if not 0 < len(known) <= MOST_FILES:
        raise NotThere(f"{source.address}{SUMS} names {len(known):,} files, and not 1 to {MOST_FILES:,}")
    return [_file(source, path, f"sha256:{known[path]}") for path in known if path != SUMS]


async def _alone(web: Web, source: WebSource) -> list[File]:
    """One file, and what SHA256SUMS beside it promises of it, where there is one that may be read."""
    try:
        content = await _content(web, f"{source.address}{SUMS}")
    except (Refused, NotAllowed):
        content = None
    known = promised(content or b"").get(source.selection)
    return [_file(source, source.selection, f"sha256:{known}" if known else "")]


def _file(source: WebSource, path: str, promise: str) -> File:
    return File(path, 0, promise, f"{source.address}{quote(path)}")


async def _content(web: Web, url: str) -> bytes | None:
    """What lies there; None where nothing does. Raises Unavailable for more than a list of files is."""
    try:
        async with web.ask("GET", url, {}) as response:
            refuse(response, url)
            content = bytearray()
            async for piece in response.content.iter_chunked(1 << 16):
                content += piece
                if len(content) > LONGEST:
                    raise Unavailable(f"{url} is longer than {LONGEST >> 20} MiB, and no list of files")
            return bytes(content)
    except NotThere:
        return None


async def _sized(web: Web, files: Sequence[File]) -> list[File]:
    """The same with their sizes and versions, as the server tells them."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(file: File) -> File:
        async with turns:
            return await _told(web, file)

    tasks = [asyncio.create_task(one(file)) for file in files]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told(web: Web, file: File) -> File:
    """By HEAD, or where a server does not know that, by a GET of which nothing is read."""
    for method in ("HEAD", "GET"):
        async with web.ask(method, file.url, {}) as response:
            if method == "HEAD" and (response.status >= 400 or response.content_length is None):
                continue
            refuse(response, file.url)
            if response.content_length is None:
                break
            return replace(file, size=response.content_length, version=version_of(response))
    raise NotThere(
        f"{file.url} has no length that the server tells: lay it there as a file that is not made when it is asked for"
    )
