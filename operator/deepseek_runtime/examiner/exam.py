"""Exact matches over OpenAI's protocol, by the measure of the trainer's evaluation: greedy, and with its end.

What was not answered is no wrong answer: a server that is down or full must not make a model look worse than it is.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

CONCURRENCY = 4
"""Questions at a time: an exam must not be the load that it measures under."""
TIMEOUT_S = 120.0
TRIES = 3
"""For each question; a replica that is full says 429, and one that goes closes its connections."""
PAUSE_S = 1.0


@dataclass(frozen=True)
class Marks:
    """What came of an exam.

    Attributes:
        right: answers that match exactly.
        answered: questions that were answered at all.
        unanswered: those that were not, after all tries.
        why: the last reason for that; empty without any.
    """

    right: int
    answered: int
    unanswered: int
    why: str = ""

    @property
    def accuracy(self) -> float | None:
        """Share of right ones among the answers, 0 to 1; None without any."""
        return self.right / self.answered if self.answered else None


async def examine(url: str, model: str, questions: Iterable[tuple[str, str]], key: str = "") -> Marks:
    """Asks each prompt, and compares with its completion. `url` is the server's, without a path; `model` may be empty, for a
    server of one; `key` is what it asks for, empty: nothing."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    waiting = iter(list(questions))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(url.rstrip("/") + "/", headers=headers, timeout=timeout) as session:
        told = await asyncio.gather(*(_desk(session, model, waiting) for _ in range(CONCURRENCY)))
    results = [result for desk in told for result in desk]
    answers = [result for result in results if isinstance(result, bool)]
    failures = [result for result in results if isinstance(result, str)]
    return Marks(sum(answers), len(answers), len(failures), failures[-1] if failures else "")


async def _desk(session: aiohttp.ClientSession, model: str, waiting: Iterable[tuple[str, str]]) -> list[bool | str]:
    return [await _result(session, model, prompt, completion) for prompt, completion in waiting]


async def _result(session: aiohttp.ClientSession, model: str, prompt: str, completion: str) -> bool | str:
    """Whether the answer is right, or why there is none."""
    why = ""
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(PAUSE_S)
        try:
            return await _is_right(session, model, prompt, completion)
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"[:256]
    return why


async def _is_right(session: aiohttp.ClientSession, model: str, prompt: str, completion: str) -> bool:
    """No token is longer than its bytes, so that many and the end are room enough for a right answer."""
    room = len(completion.encode()) + 1
    named = {"model": model} if model else {}
    body = {**named, "prompt": prompt, "temperature": 0, "max_tokens": room}
    async with session.post("v1/completions", json=body, raise_for_status=True) as answer:
        choice = (await answer.json())["choices"][0]
    return bool(choice["text"] == completion and choice["finish_reason"] == "stop")
