"""One request by OpenAI's protocol, streamed, and when its tokens came."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import aiohttp

from deepseek_runtime.bencher.verdict import Answer, Measure, Objective

PATIENCE = 4
"""Times its limit after which a request is given up: it has missed long before, and keeps a replica busy for nobody."""
LEAST_PATIENCE_S = 1.0
SILENCE_S = 60.0
"""Between two pieces of an answer."""
_CLOSES = (400, 404, 422)


class Failed(Exception):
    """A request that was not answered to its end; the message says why."""


class Unwanted(Failed):
    """The server does not take a request of this form at all."""


@dataclass(frozen=True)
class Desk:
    """Where requests are made. `to_the_end`: the server is told to go on behind the end of the text, which keeps lengths as
    they were asked for; not every server knows the word."""

    session: aiohttp.ClientSession
    model: str
    objectives: Sequence[Objective]
    to_the_end: bool = True

    async def ask(self, prompt: str, tokens: int) -> Answer:
        """Sends one request and reads its answer. Raises Failed."""
        try:
            async with asyncio.timeout(self._patience(Measure.LAST_TOKEN)):
                return await self._asked(prompt, tokens)
        except TimeoutError as error:
            raise Failed("given up: it took too long") from error
        except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise Failed(f"{type(error).__name__}: {error}"[:200]) from error

    async def _asked(self, prompt: str, tokens: int) -> Answer:
        now = asyncio.get_running_loop().time
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
        }
        body |= {"stream_options": {"include_usage": True}, **({"ignore_eos": True} if self.to_the_end else {})}
        times: list[float] = []
        usage: dict[str, Any] = {}
        sent = now()
        async with asyncio.timeout(self._patience(Measure.FIRST_TOKEN)) as first:
            async with self.session.post("v1/completions", json=body) as response:
                if response.status != 200:
                    words = f"HTTP {response.status}: {(await response.text())[:200]}"
                    raise Unwanted(words) if response.status in _CLOSES else Failed(words)
                async for said in _documents(response):
                    usage = said.get("usage") or usage
                    if said.get("choices"):
                        times.append(now() - sent)
                        first.reschedule(None)
        if not times:
            raise Failed("the answer had no token")
        gaps = tuple(after - before for before, after in pairwise(times))
        read, written = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or len(times))
        return Answer(times[0], gaps, now() - sent, read, written)

    def _patience(self, measure: Measure) -> float | None:
        limits = [one.limit_s for one in self.objectives if one.measure is measure]
        if limits:
            return max(PATIENCE * min(limits), LEAST_PATIENCE_S)
        return SILENCE_S if measure is Measure.FIRST_TOKEN else None


async def first_model(session: aiohttp.ClientSession) -> str:
    """The first name that a server answers by. Raises Failed: it does not say."""
    try:
        async with session.get("v1/models", timeout=aiohttp.ClientTimeout(total=SILENCE_S)) as answer:
            answer.raise_for_status()
            return str((await answer.json())["data"][0]["id"])
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, TypeError) as error:
        raise Failed(f"it does not list its models: {type(error).__name__}: {error}"[:200]) from error


async def _documents(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """What the server sends, until it says that it is over. Raises Failed: it ends before, or sends an error."""
    async for line in response.content:
        text = line.decode(errors="replace").strip()
        if not text.startswith("data:"):
            continue
        if (text := text.removeprefix("data:").strip()) == "[DONE]":
            return
        said = json.loads(text)
        if said.get("error"):
            raise Failed(f"the server says {json.dumps(said['error'])[:200]}")
        yield said
    raise Failed("the answer was cut off")
