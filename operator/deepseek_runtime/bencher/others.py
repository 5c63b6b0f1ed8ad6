"""Whether somebody else asks the replica: by the engine's own count of its requests, while none is ours.

Others would be measured with it, and would wait for it.
"""

import asyncio
import re
from collections.abc import Sequence

import aiohttp

LOOKS = 10
"""A second apart, before the first load."""
GONE_LOOKS = 30
"""A second apart, within which what we gave up is no longer in the engine."""
_ANSWER_S = 10.0
_NAME = re.compile(r"(?P<name>[^\s{]+)(?:\{(?P<labels>[^}]*)\})?")


def in_flight(exposition: str, names: Sequence[str]) -> float | None:
    """Requests that run or wait, by Prometheus' text; None where it has none of the names."""
    found = [value for line in exposition.splitlines() for name in names if (value := _value(line, name)) is not None]
    return sum(found) if found else None


def _value(line: str, name: str) -> float | None:
    """Of a line, if it is of that series. A name may bring labels in braces."""
    wanted, sample = _NAME.fullmatch(name), _NAME.match(line)
    if wanted is None or sample is None or line.startswith("#") or wanted["name"] != sample["name"]:
        return None
    if wanted["labels"] and not all(one in (sample["labels"] or "") for one in wanted["labels"].split(",")):
        return None
    try:
        return float(line[sample.end() :].split()[0])
    except (ValueError, IndexError):
        return None


async def seen(session: aiohttp.ClientSession, names: Sequence[str]) -> float | None:
    """Requests in the engine now; None: it does not tell."""
    if not names:
        return None
    try:
        async with session.get("metrics", timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as answer:
            return in_flight(await answer.text(), names) if answer.status == 200 else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


async def before(session: aiohttp.ClientSession, names: Sequence[str]) -> float | None:
    """The most requests that were seen in some seconds without any of ours; None: it does not tell."""
    most: float | None = None
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(1)
        if (now := await seen(session, names)) is None:
            return most
        most = max(most or 0.0, now)
    return most


async def behind(session: aiohttp.ClientSession, names: Sequence[str]) -> float:
    """Requests that are still in the engine some time after our last; 0 once there are none, or where it does not tell."""
    left = await seen(session, names)
    for _ in range(GONE_LOOKS):
        if not left:
            break
        await asyncio.sleep(1)
        left = await seen(session, names)
    return left or 0.0
