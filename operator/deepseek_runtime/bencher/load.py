"""One load: a number of streams, each of which sends its next request when the one before is answered.

What is sent before every stream has had its first answer is dropped: all of them begin together, as they never do again. Of what
follows the first ones that are sent are counted, and waited for under the full load: those that are answered first would be the
fast ones. How many are answered in a second is counted from the same moment, of all answers from then on, whenever they were
asked for: so what is under way at the beginning stands for what is under way at the end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite

from deepseek_runtime.bencher.asking import Failed
from deepseek_runtime.bencher.verdict import (
    Answer,
    Measure,
    Objective,
    Verdict,
    is_lost,
    misses,
    needed,
    quantile_of,
    verdict,
)

Ask = Callable[[], Awaitable[Answer]]
"""Makes the next request; raises Failed."""
ROUNDS = 2
"""Requests of each stream that are counted, at least."""
PAUSE_S = 0.5
"""Of a stream behind a request that failed: a server that refuses must not be asked a thousand times a second."""


@dataclass(frozen=True)
class Load:
    """What came of one. Requests and tokens a second are None where it ended before every stream was warm."""

    streams: int
    verdict: Verdict
    answers: Sequence[Answer]
    failures: int
    planned: int
    seconds: float
    requests_per_second: float | None
    tokens_per_second: float | None
    why: str = ""

    def document(self, objectives: Sequence[Objective]) -> dict[str, object]:
        """For whoever reads the log: times in milliseconds, a time that never came as null."""
        quantile = objectives[0].quantile
        times = {
            measure.value: {
                "ms": _ms(found.value),
                "samples": found.samples,
                **({"between": [*map(_ms, found.bounds)]} if found.bounds is not None else {}),
            }
            for measure in Measure
            if (found := quantile_of(self.answers, self.failures, measure, quantile)) is not None
        }
        told = {
            "streams": self.streams,
            "verdict": self.verdict.value,
            "requests": len(self.answers) + self.failures,
            "planned": self.planned,
            "failed": self.failures,
            "quantile": quantile,
            "misses": {one.measure.value: misses(self.answers, self.failures, one) for one in objectives},
            "quantiles": times,
            "seconds": round(self.seconds, 1),
            "requestsPerSecond": _rounded(self.requests_per_second),
            "tokensPerSecond": _rounded(self.tokens_per_second),
            "promptTokens": _mean([one.prompt for one in self.answers]),
            "answerTokens": _mean([one.tokens for one in self.answers]),
        }
        return {**told, **({"why": self.why} if self.why else {})}


@dataclass
class _Tally:
    streams: int
    objectives: Sequence[Objective]
    planned: int
    sent: int = 0
    warm: int = 0
    warm_at: float | None = None
    finished: int = 0
    tokens: int = 0
    answers: list[Answer] = field(default_factory=list)
    failures: int = 0
    why: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def warmed(self, now: float) -> None:
        self.warm += 1
        if self.warm == self.streams:
            self.warm_at = now

    def is_counted(self) -> bool:
        """Whether the request that is sent now is one of the planned ones."""
        self.sent += self.warm_at is not None
        return 0 < self.sent <= self.planned

    def told(self, result: Answer | str) -> None:
        if self.over.is_set():
            return
        if isinstance(result, Answer):
            self.answers.append(result)
        else:
            self.failures, self.why = self.failures + 1, result
        if len(self.answers) + self.failures >= self.planned or is_lost(
            self.answers, self.failures, self.objectives, self.planned
        ):
            self.over.set()


def planned(streams: int, objectives: Sequence[Objective]) -> int:
    """Requests that are counted."""
    return max(needed(objectives[0].quantile), ROUNDS * streams)


async def run(ask: Ask, streams: int, objectives: Sequence[Objective], most_s: float) -> Load:
    """Loads for as long as it takes to say whether the objectives hold, and at most `most_s`; leaves nothing under way."""
    now = asyncio.get_running_loop().time
    tally, began = _Tally(streams, objectives, planned(streams, objectives)), now()
    tasks = [asyncio.create_task(_stream(ask, tally)) for _ in range(streams)]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await tally.over.wait()
        ended = now()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    measured_s = ended - tally.warm_at if tally.warm_at is not None else 0.0
    return Load(
        streams=streams,
        verdict=verdict(tally.answers, tally.failures, objectives, tally.planned),
        answers=tuple(tally.answers),
        failures=tally.failures,
        planned=tally.planned,
        seconds=ended - began,
        requests_per_second=tally.finished / measured_s if measured_s > 0 else None,
        tokens_per_second=tally.tokens / measured_s if measured_s > 0 else None,
        why=tally.why,
    )


async def _stream(ask: Ask, tally: _Tally) -> None:
    now = asyncio.get_running_loop().time
    is_warm = False
    while True:
        is_counted = tally.is_counted()
        result: Answer | str
        try:
            result = await ask()
        except Failed as error:
            result = str(error)
        if isinstance(result, Answer) and tally.warm_at is not None and not tally.over.is_set():
            tally.finished, tally.tokens = tally.finished + 1, tally.tokens + result.tokens
        if is_counted:
            tally.told(result)
        if not is_warm:
            is_warm = True
            tally.warmed(now())
        if isinstance(result, str):
            await asyncio.sleep(PAUSE_S)


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 1) if isfinite(seconds) else None


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)


def _mean(numbers: Sequence[int]) -> int | None:
    return round(sum(numbers) / len(numbers)) if numbers else None
