"""`python3 -m deepseek_runtime.fetcher`: fetches DEEPSEEK_SOURCE_URI to the claim at DEEPSEEK_SOURCE_CLAIM, unless it is there.

Its last words name the folder on the claim, the revision that the source's name was resolved to, and the digest over all
files. `settings` lists what it is told, `failures` its exit codes.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from deepseek_runtime import termination
from deepseek_runtime.checkpoint.room import is_full
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.fetcher import bucket, hub, site, trust
from deepseek_runtime.fetcher.download import download
from deepseek_runtime.fetcher.failures import Failure, NotThere
from deepseek_runtime.fetcher.listing import Listing, digest_of
from deepseek_runtime.fetcher.progress import Progress, amount, told_on
from deepseek_runtime.fetcher.room import with_room
from deepseek_runtime.fetcher.settings import HubSource, Settings, WebSource, read_settings
from deepseek_runtime.fetcher.store import Folder, Kept, Stored, named, remember
from deepseek_runtime.fetcher.web import Web

_MOST_TOLD = 8
"""Folders that went; of which last words have room for 4 KiB of all that they say."""


def main() -> int:
    """Returns 0 once the folder is there, else the exit code of why it is not."""
    progress = Progress()
    began = time.monotonic()
    try:
        settings = read_settings(os.environ)
        trust.believe(settings.authorities)
        with told_on(settings.port, progress) if settings.port else nullcontext():
            folder, revision, kept = fetch(settings, progress)
    except Invalid as error:
        return _over(ExitCode.INVALID, str(error))
    except Failure as error:
        return _over(error.code, trust.explained(str(error)), _evicted(progress))
    except OSError as error:
        if not is_full(error):
            raise
        return _over(ExitCode.FULL, f"the claim is full: {error}", _evicted(progress))
    seconds = time.monotonic() - began
    came = f"{amount(progress.fetched)} came in {seconds:.0f} s" if progress.fetched else "it was there"
    source = {
        "folder": folder.sub_path,
        "revision": revision,
        "digest": kept.digest,
        "bytes": kept.size,
        "fetchedBytes": progress.fetched,
        "seconds": round(seconds, 3),
        "readBytesPerSecond": round(folder.read_rate(kept)),
        **_evicted(progress),
    }
    return _over(ExitCode.COMPLETE, f"{settings.uri}: {amount(kept.size)} in {folder.sub_path}, {came}", source)


def fetch(settings: Settings, progress: Progress) -> tuple[Folder, str, Kept]:
    """The folder, the revision that it is of, and what its manifest says. Raises Failure."""
    source, known = settings.source, _known(settings)
    if known is not None and (there := _folder(settings, known)).kept() is not None:
        # Under its lock: it can't go between being looked at and being marked.
        with there.locked(lambda: None):
            if (kept := there.kept()) is not None:
                return _used(settings, there, known, kept)
    if isinstance(source, HubSource) and settings.is_offline:
        lies = f"revision {known} is not on it whole" if known else "no such name was ever resolved on it"
        raise NotThere(
            f"{settings.uri}: the hub is offline by the operator's settings, and {lies}; write what is there"
        )
    listing = _listed(settings)
    folder = _folder(settings, listing.revision)
    with folder.locked(lambda: progress.say(f"waits for another fetch of {folder.sub_path}")):
        kept = folder.kept()
        if kept is None:
            kept = _fetched(settings, listing, folder, progress)
        used = _used(settings, folder, listing.revision, kept)
    if isinstance(source, HubSource):
        remember(settings.claim, source.place, source.revision, listing.revision)
    return used


def _listed(settings: Settings) -> Listing:
    match settings.source:
        case HubSource() as source:
            return hub.listed(settings, source)
        case WebSource() as source:
            return site.listed(settings, source)
        case source:
            return bucket.listed(settings, source)


def _folder(settings: Settings, revision: str) -> Folder:
    return Folder(settings.claim, settings.source.place, settings.folder(revision))


def _known(settings: Settings) -> str | None:
    """The commit, where nobody must be asked for it, or nobody may."""
    source = settings.source
    if not isinstance(source, HubSource):
        return None
    if source.is_commit:
        return source.revision
    return named(settings.claim, source.place, source.revision) if settings.is_offline else None


def _fetched(settings: Settings, listing: Listing, folder: Folder, progress: Progress) -> Kept:
    progress.begin(listing.size)
    with with_room(folder, listing.size, settings.uri, settings.usage, progress):
        progress.say(f"{settings.uri} is {listing.revision}: {len(listing.files)} files, {amount(listing.size)}")
        files = asyncio.run(_downloaded(settings, listing, folder, progress))
        kept = Kept(settings.uri, digest_of((one.path, one.size, one.sha256) for one in files), files)
        _held_to(settings, kept)
        folder.commit(kept)
    return kept


async def _downloaded(settings: Settings, listing: Listing, folder: Folder, progress: Progress) -> tuple[Stored, ...]:
    if isinstance(settings.source, HubSource | WebSource):
        access = settings.access if isinstance(settings.source, WebSource) else None
        async with Web(hub.headers(settings), access) as web:
            return await download(web, listing, folder, progress)
    async with bucket.Bucket(settings, settings.source) as store:
        return await download(store, listing, folder, progress)


def _used(settings: Settings, folder: Folder, revision: str, kept: Kept) -> tuple[Folder, str, Kept]:
    _held_to(settings, kept)
    folder.used(settings.claim_uid)
    return folder, revision, kept


def _held_to(settings: Settings, kept: Kept) -> None:
    if settings.digest and kept.digest != settings.digest:
        raise NotThere(
            f"{settings.uri} has digest {kept.digest}, where source.digest asks for {settings.digest}: write the one that "
            "you mean, or the revision that has it"
        )


def _evicted(progress: Progress) -> dict[str, object]:
    """What went from the claim, as far as last words have room."""
    return {"evicted": progress.evicted[:_MOST_TOLD]} if progress.evicted else {}


def _over(code: int, message: str, source: Mapping[str, object] | None = None) -> int:
    print(f"fetcher: {message}", file=sys.stderr, flush=True)
    log = Path(os.environ.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
    termination.write(termination.Termination(termination.result_of(code), message, source=source or None), log)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
