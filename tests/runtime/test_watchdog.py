"""The built-in engine under its watchdog, by the command of a pod: saturated it is left alone, stopped it is ended and told of."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest_asyncio

from deepseek_operator.domain.programs.engines import builtin, contract, watchdog
from deepseek_operator.domain.values.command import Metrics
from tests.runtime.pods import LIMIT_S, Process
from tests.runtime.untrained import a_model
from tests.support.ports import free_port

CONCURRENCY, QUEUE = 2, 2
STALL_S = 6
FULL_S = 12.0 * STALL_S
"""As an hour is of the usual limit."""
LONG = {"prompt": "hello=", "temperature": 0, "ignore_eos": True, "max_tokens": 300}


@dataclass
class Pod:
    """What the kubelet starts, and starts again."""

    model: Path
    log: Path
    port: int
    process: Process

    @staticmethod
    def start(model: Path, log: Path, port: int) -> "Pod":
        published = Metrics("/metrics", port, builtin.ENTRY.metric_names(None))
        command = watchdog.watched(builtin.ENTRY, contract.COMMAND, STALL_S, published)
        told = dict(contract.variables(str(model), "demo", port, CONCURRENCY, QUEUE, 30))
        process = Process.start(
            [sys.executable if word == "python3" else word for word in command],
            {**told, "DEEPSEEK_TERMINATION_LOG": str(log)},
        )
        process.wait_for(lambda line: "is ready" in line)
        return Pod(model, log, port, process)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def engine(self) -> int:
        """The process below the watchdog's."""
        pid = self.process.popen.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)


@pytest_asyncio.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    one = Pod.start(a_model(tmp_path / "model"), tmp_path / "termination", free_port())
    yield one
    one.process.kill()


async def ask_for_ever(session: aiohttp.ClientSession, url: str, answered: list[int]) -> None:
    """One client of a full engine: when it is turned away, it asks again."""
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.post(f"{url}/v1/completions", json=LONG) as answer:
                await answer.read()
                answered.append(answer.status)
                if answer.status == 429:
                    await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def full_load(url: str) -> AsyncIterator[list[int]]:
    """As many clients as run and wait, and two more."""
    answered: list[int] = []
    async with aiohttp.ClientSession() as session:
        clients = [asyncio.create_task(ask_for_ever(session, url, answered)) for _ in range(CONCURRENCY + QUEUE + 2)]
        try:
            yield answered
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


async def test_an_hour_at_full_load_is_no_stall_and_a_stopped_engine_is_ended_with_its_stacks_and_starts_again(
    pod: Pod,
) -> None:
    async with full_load(pod.url) as answered:
        await asyncio.sleep(FULL_S)
        assert pod.process.popen.poll() is None, pod.process.log
        assert answered.count(200) >= CONCURRENCY
        assert 429 in answered, "it was full"
        os.kill(pod.engine, signal.SIGSTOP)
        stopped_s = time.monotonic()
        code = await asyncio.to_thread(pod.process.ended)
        took_s = time.monotonic() - stopped_s
    assert code == 76, pod.process.log
    # A look waits for an answer for ten seconds, and what is ended has five for its stacks: the rest is a busy machine's.
    assert STALL_S - 1 < took_s < LIMIT_S
    assert "in _compute" in pod.process.log, "where the computing thread was"
    said = json.loads(pod.log.read_text())
    assert said["result"] == "Stalled"
    assert "stacks are in the log" in said["message"]
    again = Pod.start(pod.model, pod.log, pod.port)
    try:
        async with aiohttp.ClientSession() as session, session.post(f"{again.url}/v1/completions", json=LONG) as answer:
            assert answer.status == 200
        again.process.terminate()
        assert again.process.ended() == 0, again.process.log
        assert "draining 0 requests" in again.process.log
    finally:
        again.process.kill()
