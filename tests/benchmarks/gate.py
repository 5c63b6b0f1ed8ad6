"""`tests/run benchmarks gate`: what the gate adds to a request, through a real Envoy and without one.

    bare      Envoy and a backend that answers at once, no authorizer asked
    judged    the same, each request judged by the gate
    direct    the gate asked as Envoy asks it

Each at several numbers of requests at a time, in turns. Client, Envoy, gate and backend share the machine, so that what is
busy here counts against the gate. Nothing is judged: the figures are for people.
"""

import asyncio
import json
import statistics
import tempfile
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from tests.support.envoy import CLAIMS, INTERNAL, UNJUDGED, Bed, keys_of
from tests.support.gate import KEY, models_map

PATH = "/v1/chat/completions"
HEAD = ("way", "at a time", "prompt", "median", "p99", "requests/s")


def main() -> None:
    """Prints a table: milliseconds, medians over the rounds."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--requests", type=int, default=2000, metavar="N")
    parser.add_argument("--at-a-time", type=int, nargs="+", default=[1, 16, 64], metavar="N")
    parser.add_argument("--prompt", type=int, nargs="+", default=[1_000, 100_000], metavar="BYTES")
    options = parser.parse_args()
    found: dict[tuple[str, int, int], list[tuple[float, float, float]]] = defaultdict(list)
    with _bed() as bed:
        ways = {"bare": bed.url(UNJUDGED + PATH), "judged": bed.url(PATH), "direct": bed.gate.url(PATH, "team")}
        for _ in range(options.rounds):
            for prompt in options.prompt:
                for width in options.at_a_time:
                    for way, url in ways.items():
                        found[way, width, prompt].append(asyncio.run(_measured(url, width, options.requests, prompt)))
    print("| " + " | ".join(HEAD) + " |\n|" + len(HEAD) * "---|")
    for (way, width, prompt), rounds in sorted(found.items(), key=lambda item: (item[0][2], item[0][1])):
        median, late, rate = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {way} | {width} | {prompt} | {1000 * median:.2f} ms | {1000 * late:.2f} ms | {rate:.0f} |")


@contextmanager
def _bed() -> Iterator[Bed]:
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(Path(folder), "keys", (*INTERNAL, *CLAIMS))
        bed.config_maps += [keys_of(), models_map()]
        yield from bed.run()


async def _measured(url: str, width: int, count: int, prompt: int) -> tuple[float, float, float]:
    """Seconds of the median and of the slowest hundredth, and requests a second."""
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "word " * (prompt // 5)}]}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    taken: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in range(count // width):
            begun = time.perf_counter()
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                assert response.status == 200, response.status
            taken.append(time.perf_counter() - begun)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        begun = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(width)))
        seconds = time.perf_counter() - begun
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98], len(taken) / seconds


if __name__ == "__main__":
    main()
