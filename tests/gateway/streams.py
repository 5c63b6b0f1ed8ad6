"""Many clients at once that each read one streamed answer after the other: one event loop in one thread."""

import asyncio
import resource
import threading
from collections import Counter

import aiohttp

from tests.gateway.load import completion

TIMEOUT_S = 120
SPREAD_S = 10.0
"""Over which the clients begin, so that not all of them ask in the same moment."""


class Streams:
    """`clients` streams that are open all the time, as a context; each that ends well is begun again.

    Attributes:
        whole: streams that were read to their last word.
        failures: what became of each other one, and how often.
        open: streams that are being answered now; `most` is the highest number of them.
    """

    def __init__(
        self, address: str, host: str, clients: int, headers: dict[str, str] | None = None, **asked: object
    ) -> None:
        self._headers = {"Host": host, "Content-Type": "application/json", **(headers or {})}
        self._body = completion(stream=True, **asked)
        self._url, self._clients = f"http://{address}/v1/completions", clients
        self.whole, self.open, self.most = 0, 0, 0
        self.failures: Counter[str] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Streams":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(TIMEOUT_S)

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(*(self._client(session, number) for number in range(self._clients)))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(SPREAD_S * number / self._clients)
        while not self._ended.is_set():
            try:
                await self._stream(session)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures[repr(error)] += 1

    async def _stream(self, session: aiohttp.ClientSession) -> None:
        last = b""
        async with session.post(self._url, data=self._body, headers=self._headers) as response:
            if response.status != 200:
                self.failures[f"{response.status} {await response.text()}"] += 1
                return
            self.open += 1
            self.most = max(self.most, self.open)
            try:
                async for line in response.content:
                    last = line.strip() or last
            finally:
                self.open -= 1
        if last == b"data: [DONE]":
            self.whole += 1
        else:
            self.failures[f"it ended with {last!r}"] += 1
