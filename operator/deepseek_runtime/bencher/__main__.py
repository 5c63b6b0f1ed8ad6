"""`python3 -m deepseek_runtime.bencher`: finds the concurrency at DEEPSEEK_BENCH_URL, and says each load and the result as a line
of JSON: `{"load": …}`, and at last `{"result": …}`. `settings` lists what it is told."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from deepseek_runtime import termination
from deepseek_runtime.bencher import others
from deepseek_runtime.bencher.asking import Desk, Failed, Unwanted, first_model
from deepseek_runtime.bencher.course import searched
from deepseek_runtime.bencher.load import Ask
from deepseek_runtime.bencher.settings import Settings, read_settings
from deepseek_runtime.bencher.verdict import Answer
from deepseek_runtime.contract import ExitCode, Invalid

_WORDS = (
    "river",
    "light",
    "under",
    "old",
    "stone",
    "bridge",
    "people",
    "walk",
    "home",
    "talk",
    "rain",
    "bread",
    "music",
    "work",
)


class Disturbed(Exception):
    """Others ask the replica."""


def main() -> int:
    """Returns 0 with a result, 64 for what can't be asked, and 1 where the replica can't be measured."""
    signal.signal(signal.SIGTERM, _ended)
    try:
        settings = read_settings(os.environ)
        result = asyncio.run(bench(settings))
    except Invalid as error:
        return _over(ExitCode.INVALID, str(error))
    except (Failed, Disturbed) as error:
        return _over(1, str(error))
    _say("result", result)
    words = f"{result['streams']} requests at a time are answered within the objective"
    return _over(ExitCode.COMPLETE, words, numbers(result))


async def bench(settings: Settings) -> dict[str, Any]:
    """The result. Raises Failed: the replica does not answer; Disturbed: it is not ours alone."""
    headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"{settings.url}/", headers=headers, timeout=timeout, connector=connector
    ) as session:
        model = settings.model or await first_model(session)
        if not settings.among_others and (asked := await others.before(session, settings.in_flight)):
            raise Disturbed(
                f"others ask this replica, {asked:.0f} at a time: what is measured would be theirs as well, and they would "
                "wait; bench a serving that nobody asks, or write --among-others"
            )
        desk = await _tried(Desk(session, model, settings.objectives), settings)

        async def after(load: Mapping[str, object]) -> None:
            _say("load", load)
            if not settings.among_others and (left := await others.behind(session, settings.in_flight)):
                raise Disturbed(f"others ask this replica, {left:.0f} at a time, since the bench began: it ends here")

        ask = _asker(settings, desk)
        found = await searched(ask, settings.objectives, settings.most_streams, settings.load_s, after)
        return {"model": model, **found}


async def _tried(desk: Desk, settings: Settings) -> Desk:
    """The desk, in the form in which the server takes requests; by one that nobody counts. Raises Failed."""
    prompt, patient = _prompt(random.Random(0), settings.prompt_words), replace(desk, objectives=())
    try:
        await patient.ask(prompt, settings.answer_tokens)
    except Unwanted:
        await replace(patient, to_the_end=False).ask(prompt, settings.answer_tokens)
        return replace(desk, to_the_end=False)
    return desk


def _asker(settings: Settings, desk: Desk) -> Ask:
    """The same requests in each bench, and none twice in one."""
    numbers = count(1)

    async def ask() -> Answer:
        source = random.Random(next(numbers))
        spread = settings.answer_tokens // 2
        tokens = settings.answer_tokens + source.randint(-spread, spread)
        return await desk.ask(_prompt(source, settings.prompt_words), tokens)

    return ask


def _prompt(source: random.Random, words: int) -> str:
    """Begins with a number of its own, so that no two share a prefix."""
    return " ".join([f"{source.getrandbits(32):x}", *source.choices(_WORDS, k=max(words - 1, 0))])


def numbers(result: Mapping[str, Any]) -> dict[str, float | None]:
    """What the operator tells of it in status, which is room for numbers alone: limits in milliseconds by their measures."""
    held: Mapping[str, Any] = result["held"] or {}
    rates = {name: held.get(name) for name in ("requestsPerSecond", "tokensPerSecond")}
    return {"streams": result["streams"], "quantile": result["quantile"], **rates, **result["objectives"]}


def _say(what: str, said: Mapping[str, object]) -> None:
    print(json.dumps({what: said}), flush=True)


def _ended(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _over(code: int, message: str, metrics: Mapping[str, float | None] | None = None) -> int:
    print(f"bencher: {message}", file=sys.stderr, flush=True)
    log = Path(os.environ.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
    termination.write(termination.Termination(termination.result_of(code), message, metrics=metrics or {}), log)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
