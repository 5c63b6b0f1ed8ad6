"""Which folders of a claim may go where room lacks: those that were fetched, that nothing names any more, longest unused first.

The operator says which ones are named, as of when it made the Job. What it can't know then is held to here: whatever becomes
used later is asked for by a fetch, which marks it under the folder's lock, and what was marked a moment ago stays.

Only what is ours through and through goes: a folder of the name that a fetch gives, with its manifest, and with no file in it
that the manifest lacks. A folder that was asked for by another claim stays: several claims may be of one volume, and of the
others nothing is known.
"""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.fetcher.store import ROOT, Folder, Kept, size_of

GRACE_S = 15 * 60.0
"""What was asked for so shortly before the operator looked may be named by nobody yet: its fetch ends, its status is written,
and the watches tell of it meanwhile. Clocks that differ are in it too."""
STALE_S = 15 * 60.0
"""So old a look is none any more: a pod may have waited for its node, or for another fetch."""
ABANDONED_S = 24 * 3600.0
"""A part of which nothing came for so long, and that nobody fetches now. Nothing mounts one: who wants it begins anew."""

_REVISION = re.compile(r"[0-9a-f]{40}(-[0-9a-f]{12})?")
_PART, _GOING = ".part", ".going"
_KINDS = ("hf", "s3", "web")
"""Folders of kinds of source, as `settings` names their places."""


@dataclass(frozen=True)
class Usage:
    """What is used of a claim.

    Attributes:
        claim: its uid.
        named: paths below `sources/` that something names; whatever begins with one of them, or holds it, stays.
        looked_at: when that was so, in seconds since 1970.
        spared: kinds of source of which nothing goes, since it could not be fetched again.
    """

    claim: str
    named: tuple[str, ...]
    looked_at: float
    spared: frozenset[str] = frozenset()

    @property
    def age_s(self) -> float | None:
        """How old it is, where that is too old; None where it is not."""
        age = time.time() - self.looked_at
        return age if age > STALE_S else None

    def names(self, folder: Folder) -> bool:
        """Whether something names the folder, what is in it, or what it lies in."""
        path = f"{folder.place}/{folder.name}"
        return any(path.startswith(one) or one.startswith(f"{path}/") for one in self.named)


@dataclass(frozen=True)
class Unused:
    """What may go. `since`: when it was last asked for, or something last came of it, in seconds since 1970."""

    folder: Folder
    since: float
    size: int
    is_part: bool = False

    @property
    def name(self) -> str:
        """For a status: below `sources/`, by which it is not taken for one that is named."""
        return f"{self.folder.place}/{self.folder.name}{_PART if self.is_part else ''}"

    @property
    def told(self) -> str:
        """For a log."""
        return f"{ROOT}/{self.name}"


def unused(claim: Path, usage: Usage) -> Sequence[Unused]:
    """What may go, longest unused first."""
    found = [one for folder in _folders(claim) if (one := _unused(folder, usage)) is not None]
    parts = [one for folder in _folders(claim, _PART) if (one := _abandoned(folder, usage)) is not None]
    return sorted([*found, *parts], key=lambda one: (one.since, one.name))


def fewest(found: Sequence[Unused], lacking: int) -> Sequence[Unused] | None:
    """So many from the beginning as make up `lacking` bytes; None where all of them do not."""
    chosen: list[Unused] = []
    for one in found:
        if lacking <= 0:
            break
        chosen.append(one)
        lacking -= one.size
    return chosen if lacking <= 0 else None


def evict(one: Unused, usage: Usage) -> bool:
    """Takes it away, unless somebody has it in hand, or asked for it since it was found. Whoever looks sees it whole, or not
    at all."""
    try:
        with one.folder.locked(_held):
            again = _abandoned(one.folder, usage) if one.is_part else _unused(one.folder, usage)
            if again is not None:
                _take_away(one)
            return again is not None
    except (_Held, OSError):
        return False


def _take_away(one: Unused) -> None:
    folder = one.folder
    going = folder.beside(_GOING)
    (folder.part if one.is_part else folder.path).rename(going)
    for end in (f"{_PART}.json",) if one.is_part else (".json", ".claims"):
        folder.beside(end).unlink(missing_ok=True)
    shutil.rmtree(going)


def remark(claim: Path, usage: Usage) -> None:
    """Marks what is named as used when that was seen, so that what is not any more goes by when that ended; and takes away what
    a fetch that was killed while it took it away left of it."""
    for folder in _folders(claim, _GOING):
        shutil.rmtree(folder.beside(_GOING), ignore_errors=True)
    for folder in _folders(claim):
        last = folder.last_used
        if last is not None and last < usage.looked_at and usage.names(folder):
            with suppress(OSError):
                os.utime(folder.beside(".json"), (usage.looked_at, usage.looked_at))


class _Held(Exception):
    """Another process has the folder."""


def _held() -> None:
    raise _Held


def _folders(claim: Path, end: str = "") -> Iterator[Folder]:
    """Those of the names that a fetch gives, with that end; no link is followed."""
    for kind in _KINDS if _is_folder(claim / ROOT) else ():
        for place in _names(claim / ROOT / kind):
            for name in _names(claim / ROOT / kind / place):
                revision = name.removesuffix(end)
                if name == revision + end and _REVISION.fullmatch(revision):
                    yield Folder(claim, f"{kind}/{place}", revision)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _names(folder: Path) -> list[str]:
    """Names of the folders in it, sorted; none where it is none, or can't be read."""
    if not _is_folder(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _unused(folder: Folder, usage: Usage) -> Unused | None:
    last, kept = folder.last_used, folder.kept()
    if last is None or kept is None or last >= usage.looked_at - GRACE_S:
        return None
    if _is_spared(folder, usage) or usage.names(folder) or folder.claims != {usage.claim}:
        return None
    return Unused(folder, last, kept.size) if _holds_only(folder, kept) else None


def _abandoned(folder: Folder, usage: Usage) -> Unused | None:
    last = max(_changed(path) for path in (folder.part, *folder.part.rglob("*")))
    if last >= usage.looked_at - ABANDONED_S or _is_spared(folder, usage):
        return None
    return Unused(folder, last, bytes_below(folder.part), is_part=True)


def _is_spared(folder: Folder, usage: Usage) -> bool:
    return folder.place.partition("/")[0] in usage.spared


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")


def _holds_only(folder: Folder, kept: Kept) -> bool:
    """Whether each entry is a file of the manifest, or a folder: what anybody else laid there is theirs."""
    found = set()
    for path in folder.path.rglob("*"):
        try:
            mode = path.lstat().st_mode
        except OSError:
            return False
        if stat.S_ISREG(mode):
            found.add(path.relative_to(folder.path).as_posix())
        elif not stat.S_ISDIR(mode):
            return False
    return found == {file.path for file in kept.files}


def bytes_below(folder: Path) -> int:
    """Of all files."""
    return sum(size for path in folder.rglob("*") if path.is_file() and (size := size_of(path)) is not None)
