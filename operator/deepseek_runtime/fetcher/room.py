"""Whether a source has room on its claim: beside what others are fetching, and once what nobody uses any more has gone.

Asked and reserved under one lock of the claim, so that no two count on the same bytes.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deepseek_runtime.fetcher.eviction import Usage, bytes_below, evict, fewest, remark, unused
from deepseek_runtime.fetcher.failures import NoRoom
from deepseek_runtime.fetcher.progress import Progress, amount
from deepseek_runtime.fetcher.store import ROOT, Folder, locked, read, write

_MARGIN = 64 << 20
"""Left free: directories and manifests take some, and a volume without a byte left is in nobody's interest."""
_FREED_WITHIN_S, _LOOK_S = 30.0, 0.5
"""Network file systems count what was deleted as free a while later. Nothing else goes meanwhile."""


@contextmanager
def with_room(folder: Folder, size: int, source: str, usage: Usage | None, progress: Progress) -> Iterator[None]:
    """Raises NoRoom before a byte is written, where `size` bytes have no room beside what others are fetching now.

    `usage`: what may go for it; None: nothing.
    """
    claim, mine = folder.claim, folder.part
    with locked(claim / ROOT / ".lock", lambda: None):
        mine.mkdir(parents=True, exist_ok=True)
        if usage is not None:
            remark(claim, usage)
        wanted = size - bytes_below(mine)
        others = sum(_missing(part) for part in _parts(claim) if part != mine)
        lacking = wanted - (_free(claim) - others - _MARGIN)
        if lacking > 0:
            why = _made(claim, lacking, usage, progress)
            free = _free(claim) - others - _MARGIN
            if wanted > free:
                raise NoRoom(_lack(source, size, wanted, free, others, claim) + why)
        write(_reservation(mine), {"bytes": size})
    try:
        yield
    finally:
        _reservation(mine).unlink(missing_ok=True)


def _made(claim: Path, lacking: int, usage: Usage | None, progress: Progress) -> str:
    """Lets go as much as lacks, or nothing where all that may go is less; why that may not be enough, to follow a sentence."""
    if usage is None:
        return ""
    if (age := usage.age_s) is not None:
        return f", and nothing went: which folders are in use was looked up {age / 60:.0f} minutes ago; the next try knows it"
    found = unused(claim, usage)
    chosen = fewest(found, lacking)
    if chosen is None:
        could = amount(sum(one.size for one in found))
        return f", and nothing went: what nobody uses any more is {could}"
    before = _free(claim)
    gone = [one for one in chosen if evict(one, usage)]
    for one in gone:
        progress.evicted.append(f"{one.name} ({amount(one.size)})")
        progress.say(f"{one.told} went from the claim: {amount(one.size)} that nobody uses any more")
    deadline = time.monotonic() + _FREED_WITHIN_S
    while gone and _free(claim) - before < lacking and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return f", although {amount(sum(one.size for one in gone))} that nobody uses any more went"


def _lack(source: str, size: int, wanted: int, free: int, others: int, claim: Path) -> str:
    status = os.statvfs(claim)
    whole = status.f_blocks * status.f_frsize
    came = f", of which {amount(size - wanted)} are there" if wanted < size else ""
    beside = f" beside what others are fetching ({amount(others)})" if others else ""
    return (
        f"{source} takes {amount(size)}{came}, and of the claim's {amount(whole)} are "
        f"{amount(max(free, 0))} free{beside}: nothing was fetched"
    )


def _parts(claim: Path) -> Sequence[Path]:
    return sorted(path for path in (claim / ROOT).rglob("*.part") if path.is_dir())


def _reservation(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _missing(part: Path) -> int:
    """What is still to come of a part that somebody fetches: one that nobody holds the lock of takes no more."""
    said = read(_reservation(part)) or {}
    size = said.get("bytes")
    if not isinstance(size, int) or not _is_held(part.with_suffix(".lock")):
        return 0
    return max(size - bytes_below(part), 0)


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _free(claim: Path) -> int:
    status = os.statvfs(claim)
    return status.f_bavail * status.f_frsize
