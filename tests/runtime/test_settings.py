"""No variable of a serving pod is set in vain: each one changes what the built-in engine does.

The engine serves in this process what a training in this process has exported.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from deepseek_runtime.engine.__main__ import serve
from deepseek_runtime.engine.settings import read_settings
from tests.runtime.pods import rendered_variables
from tests.runtime.workplace import Workplace
from tests.support.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore")

ANSWER = {"prompt": "ab=", "temperature": 0, "ignore_eos": True}
# More tokens than are made before the engine is asked to leave.
LONG, SHORT = {**ANSWER, "max_tokens": 1000}, {**ANSWER, "max_tokens": 60}


@dataclass(frozen=True)
class Served:
    """The engine behind `url`."""

    url: str
    session: aiohttp.ClientSession

    async def card(self) -> dict[str, object]:
        """What it says of the model that it serves."""
        (card,) = await self.cards()
        return card

    async def cards(self) -> list[dict[str, object]]:
        """The same, by each of its names."""
        async with self.session.get(f"{self.url}/v1/models") as answer:
            return [dict(card) for card in (await answer.json())["data"]]

    async def answer(self, body: Mapping[str, object]) -> dict[str, object]:
        """A whole answer."""
        async with self.session.post(f"{self.url}/v1/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def ask(self, body: Mapping[str, object]) -> int:
        """The status of the answer, 0 when the connection broke before there was one."""
        try:
            async with self.session.post(f"{self.url}/v1/completions", json=body) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def until(self, asked: Sequence["asyncio.Task[int]"], running: int, waiting: int) -> None:
        """Returns once so many of the requests that were asked are in the engine; fails when one ends before that."""
        labels = '{engine="0",model_name="demo"}'
        wanted = {f"vllm:num_requests_running{labels} {running}.0", f"vllm:num_requests_waiting{labels} {waiting}.0"}
        while not any(task.done() for task in asked):
            async with self.session.get(f"{self.url}/metrics") as answer:
                if wanted <= set((await answer.text()).splitlines()):
                    return
        raise AssertionError(f"never were {running} answered and {waiting} waiting")


@asynccontextmanager
async def served(model: Path, **variables: str) -> AsyncIterator[Served]:
    """An engine from its start to its end by SIGTERM; `variables` by their names without DEEPSEEK_."""
    told = {"MODEL_PATH": str(model), "SERVED_MODEL_NAME": "demo", "PORT": str(free_port()), "DRAIN_SECONDS": "0"}
    settings = read_settings({f"DEEPSEEK_{name}": value for name, value in {**told, **variables}.items()})
    engine = asyncio.create_task(serve(settings))
    async with aiohttp.ClientSession() as session:
        here = Served(f"http://127.0.0.1:{settings.port}", session)
        while not await is_ready(here):
            await asyncio.sleep(0)
            assert not engine.done(), engine.exception()
        try:
            yield here
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await engine


async def is_ready(engine: Served) -> bool:
    try:
        async with engine.session.get(f"{engine.url}/health") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def another_model_is_served(export: Path, directory: Path) -> None:
    shutil.copytree(export, directory / "other", ignore=shutil.ignore_patterns("manifest.json"))
    config = directory / "other" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": 64}))
    for model, length in ((export, 1024), (directory / "other", 64)):
        async with served(model) as engine:
            assert (await engine.card())["max_model_len"] == length


async def model_is_called_so(export: Path, directory: Path) -> None:
    async with served(export, SERVED_MODEL_NAME="other") as engine:
        assert (await engine.card())["id"] == "other"
        assert await engine.ask({**SHORT, "model": "demo"}) == 404


async def model_without_a_name_is_called_as_the_resource(export: Path, directory: Path) -> None:
    async with served(export, SERVED_MODEL_NAME="", SERVING_NAME="resource") as engine:
        assert (await engine.card())["id"] == "resource"


async def engine_listens_there(export: Path, directory: Path) -> None:
    port = free_port()
    async with served(export, PORT=str(port)):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


async def so_many_are_answered_at_once(export: Path, directory: Path) -> None:
    for concurrency, waiting in ((1, 1), (2, 0)):
        async with served(export, MAX_CONCURRENCY=str(concurrency)) as engine:
            asked = [asyncio.create_task(engine.ask(LONG)) for _ in range(2)]
            await engine.until(asked, running=concurrency, waiting=waiting)
        await asyncio.gather(*asked)


async def so_many_wait(export: Path, directory: Path) -> None:
    async with served(export, MAX_CONCURRENCY="1", QUEUE_LIMIT="0") as engine:
        first = asyncio.create_task(engine.ask(LONG))
        await engine.until([first], running=1, waiting=0)
        assert await engine.ask(SHORT) == 429
    async with served(export, MAX_CONCURRENCY="1", QUEUE_LIMIT="1") as engine:
        asked = [asyncio.create_task(engine.ask(LONG)) for _ in range(2)]
        await engine.until(asked, running=1, waiting=1)
    await asyncio.gather(first, *asked)


async def running_answers_are_waited_for_so_long(export: Path, directory: Path) -> None:
    for drain_s, status in (("0", 0), ("60", 200)):
        async with served(export, DRAIN_SECONDS=drain_s) as engine:
            asked = asyncio.create_task(engine.ask(LONG))
            await engine.until([asked], running=1, waiting=0)
        assert await asked == status


async def cores_that_were_asked_for_are_computed_with(export: Path, directory: Path) -> None:
    """Told by a process of its own, which ends at once because it is told nothing else."""
    code = "import torch; from deepseek_runtime.engine.__main__ import main; main(); print(torch.get_num_threads())"
    unset = ("OMP_NUM_THREADS", "DEEPSEEK_MODEL_PATH")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    for cores in ("1", "3"):
        log = str(directory / "termination-log")
        told = {**inherited, "DEEPSEEK_CPUS": cores, "PYTHONPATH": "operator", "DEEPSEEK_TERMINATION_LOG": log}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env=told, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
        assert (process.returncode, output.decode().split()[-1:]) == (0, [cores]), errors.decode()


async def model_answers_to_every_alias(export: Path, directory: Path) -> None:
    async with served(export, MODEL_ALIASES="deepseek-chat  team/r1") as engine:
        names = ["demo", "deepseek-chat", "team/r1"]
        assert [card["id"] for card in await engine.cards()] == names
        for name in names:
            assert (await engine.answer({**SHORT, "model": name}))["model"] == name
        assert await engine.ask({**SHORT, "model": "other"}) == 404


VARIABLES: Mapping[str, Callable[[Path, Path], Awaitable[None]]] = {
    "DEEPSEEK_MODEL_PATH": another_model_is_served,
    "DEEPSEEK_SERVED_MODEL_NAME": model_is_called_so,
    "DEEPSEEK_MODEL_ALIASES": model_answers_to_every_alias,
    "DEEPSEEK_SERVING_NAME": model_without_a_name_is_called_as_the_resource,
    "DEEPSEEK_PORT": engine_listens_there,
    "DEEPSEEK_MAX_CONCURRENCY": so_many_are_answered_at_once,
    "DEEPSEEK_QUEUE_LIMIT": so_many_wait,
    "DEEPSEEK_DRAIN_SECONDS": running_answers_are_waited_for_so_long,
    "DEEPSEEK_CPUS": cores_that_were_asked_for_are_computed_with,
}
# Tells an engine of one's own whose it is; the built-in one has nothing to do with it.
OF_CUSTOM_ENGINES = {"DEEPSEEK_SERVING_NAMESPACE"}


@pytest.mark.parametrize(("variable", "shows"), VARIABLES.items(), ids=VARIABLES)
async def test_variable_changes_what_the_engine_does(
    workplace: Workplace, tmp_path: Path, variable: str, shows: Callable[[Path, Path], Awaitable[None]]
) -> None:
    await shows(Path(workplace.export()), tmp_path)


def test_every_variable_of_the_engine_has_a_case() -> None:
    rendered = rendered_variables("serving", "engine", program="deepseek_runtime.engine")
    assert rendered == set(VARIABLES) | OF_CUSTOM_ENGINES
