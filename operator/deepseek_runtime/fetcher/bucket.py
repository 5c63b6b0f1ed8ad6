"""What lies below a prefix of a bucket, in S3 or whatever speaks its protocol, or is named there, and how it is read.

A bucket knows no commits: a revision is a digest over what is listed, and each object is read only as it was listed, by its
ETag. Where `SHA256SUMS` lies there, as sha256sum prints it, that is what is promised of each file; else the ETag of an object
that was put in one piece, which is its MD5. Of others only the size is known, and what `source.digest` says of all.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any, Self

from deepseek_runtime.fetcher.failures import Failure, Interrupted, NotThere, Refused, Unavailable
from deepseek_runtime.fetcher.listing import MOST_FILES, File, Listing, checked, revision_of
from deepseek_runtime.fetcher.settings import BucketSource, Settings
from deepseek_runtime.fetcher.sums import LONGEST, SUMS, promised
from deepseek_runtime.fetcher.wanted import chosen

_PIECE_BYTES = 1 << 20
_SILENT_S = 60.0
_PATTERN = re.compile(r"[*?]")
_STATUS = re.compile(r"status code: (\d{3})")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
_MD5 = re.compile(r"[0-9a-f]{32}")


def listed(settings: Settings, source: BucketSource) -> Listing:
    """Asks the bucket. Raises Failure: NotThere, Refused or Unavailable."""
    store = _store(settings, source)
    try:
        files, sums = _found(settings, source, store)
    except Failure:
        raise
    except Exception as error:
        raise _failure(settings, source, error) from error
    if not files:
        raise NotThere(f"{settings.uri} holds no object: correct the bucket or the prefix")
    files = [_promised(file, sums) for file in files]
    # A part is one revision whatever becomes of the rest; of a model all that lies there is one.
    seen = sorted(chosen(files, settings) if source.selection else files, key=lambda file: file.path)
    told = ((file.path, file.size, file.version) for file in seen)
    revision = revision_of(f"{source.bucket}/{source.prefix}", told)
    whole = checked(source.place, revision, files)
    return replace(whole, files=tuple(chosen(whole.files, settings)))


def _found(settings: Settings, source: BucketSource, store: Any) -> tuple[list[File], Mapping[str, str]]:
    """The objects that can be wanted, and what SHA256SUMS beside them says of each."""
    import obstore

    named = source.selection if not _PATTERN.search(source.selection) else ""
    if named and (alone := _head(store, named)) is not None:
        return [_file(alone)], _sums(store, SUMS)
    files: list[File] = []
    for page in obstore.list(store, prefix=named or None, chunk_size=1000):
        files += [_file(one) for one in page if not str(one["path"]).endswith("/")]
        if len(files) > MOST_FILES:
            raise NotThere(f"{settings.uri} has more than {MOST_FILES:,} objects: write a prefix of fewer")
    below = f"{named}/" if named else ""
    sums = _sums(store, f"{below}{SUMS}") if any(file.path == f"{below}{SUMS}" for file in files) else {}
    kept = [file for file in files if file.path != f"{below}{SUMS}"]
    return kept, {f"{below}{path}": known for path, known in sums.items()}


def _head(store: Any, path: str) -> Any:
    """The object of that name; None where none has it."""
    import obstore

    try:
        return obstore.head(store, path)
    except FileNotFoundError:
        return None


def _sums(store: Any, path: str) -> dict[str, str]:
    """The sha256 of each file as that object says them; nothing where there is none, or none that may be read."""
    import obstore

    try:
        told = obstore.head(store, path)
        content = bytes(obstore.get(store, path).bytes()) if int(told["size"]) <= LONGEST else b""
    except (FileNotFoundError, obstore.exceptions.PermissionDeniedError):
        return {}
    return promised(content)


class Bucket:
    """A bucket that is read. Raises as `web.Web` does."""

    def __init__(self, settings: Settings, source: BucketSource) -> None:
        self._settings, self._source = settings, source
        self._store: Any = None

    async def __aenter__(self) -> Self:
        self._store = _store(self._settings, self._source)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._store = None

    async def read(self, file: File, start: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Pieces of an object, each with the byte that it begins at."""
        import obstore

        asked: dict[str, Any] = {"if_match": file.version} if file.version else {}
        if start:
            asked["range"] = {"offset": start}
        at = start
        try:
            found = await asyncio.wait_for(obstore.get_async(self._store, file.url, options=asked), _SILENT_S)
            pieces = aiter(found.stream(min_chunk_size=_PIECE_BYTES))
            while (piece := await asyncio.wait_for(anext(pieces, None), _SILENT_S)) is not None:
                yield at, bytes(piece)
                at += len(piece)
        except TimeoutError as error:
            raise Interrupted(f"nothing came of {file.path} for {_SILENT_S:.0f} s") from error
        except obstore.exceptions.PreconditionError as error:
            raise Unavailable(f"{file.path} was changed while it was fetched: it is listed anew") from error
        except Exception as error:
            known = _failure(self._settings, self._source, error)
            if isinstance(known, Unavailable):
                raise Interrupted(str(known)) from error
            raise known from error


def _store(settings: Settings, source: BucketSource) -> Any:
    from obstore.store import S3Store

    # Keys are those of the variables that every client of S3 reads.
    told: dict[str, Any] = {"bucket": source.bucket, "region": settings.region}
    told |= {"endpoint": settings.s3_endpoint} if settings.s3_endpoint else {}
    told |= {} if settings.has_keys else {"skip_signature": True}
    # The client's own limit is one of the whole body: a shard takes as long as it takes, and silence is looked for here.
    options = {"allow_http": settings.s3_endpoint.startswith("http://"), "timeout": "24h", "connect_timeout": "30s"}
    return S3Store(**told, prefix=source.prefix or None, client_options=options, retry_config={"max_retries": 2})


def _file(told: Any) -> File:
    etag = str(told.get("e_tag") or "")
    plain = etag.strip('"')
    promise = f"md5:{plain}" if _MD5.fullmatch(plain) else ""
    return File(str(told["path"]), int(told["size"]), promise, str(told["path"]), etag)


def _promised(file: File, sums: Mapping[str, str]) -> File:
    return replace(file, promise=f"sha256:{sums[file.path]}") if file.path in sums else file


def _failure(settings: Settings, source: BucketSource, error: Exception) -> Failure:
    from obstore import exceptions

    by = "with these keys" if settings.has_keys else "without keys"
    at = settings.s3_endpoint or "S3"
    # What is not found while listing, or not allowed, is a GenericError that quotes the answer.
    status = found[1] if (found := _STATUS.search(str(error))) is not None else ""
    if isinstance(error, FileNotFoundError) or status in ("404", "410"):
        return NotThere(f"{at} has no bucket {source.bucket}, or no such object in it: correct {settings.uri}")
    is_refused = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
    if is_refused or status in ("401", "403"):
        return Refused(f"{at} lets nobody read {settings.uri} {by}")
    return Unavailable(f"{at} {f'answers {status}' if status else 'does not answer'}: {_words(error)}")


def _words(error: Exception) -> str:
    """The first line: what follows is the library's own state, of which only what is wrong with a certificate is told."""
    told = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:300]
    return f"{told}: certificate: {found[1]}" if (found := _CERTIFICATE.search(str(error))) is not None else told
