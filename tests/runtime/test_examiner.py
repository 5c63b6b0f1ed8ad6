"""An exam over HTTP: what is right, what is wrong, and what was never answered, which is neither."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from deepseek_runtime.contract import Invalid
from deepseek_runtime.examiner import exam
from deepseek_runtime.examiner.__main__ import read_settings
from deepseek_runtime.examiner.exam import Marks, examine

QUESTIONS = [(f"{word}=", word.upper()) for word in ("ab", "cd", "ef", "gh")]


@dataclass
class Server:
    """Answers in capitals; `odd` does something else to a request, by how often its prompt was asked."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    odd: Callable[[str, int], web.Response | None] = lambda prompt, times: None

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        prompt = str(body["prompt"])
        other = self.odd(prompt, sum(one["prompt"] == prompt for one in self.asked))
        return other or answered(prompt.rstrip("=").upper())


def answered(text: str, finish: str = "stop") -> web.Response:
    return web.json_response({"choices": [{"text": text, "finish_reason": finish}]})


@pytest_asyncio.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(exam, "PAUSE_S", 0.01)
    found, application = Server(), web.Application()
    application.router.add_post("/v1/completions", found.complete)
    async with TestServer(application) as running:
        found.url = str(running.make_url("/"))
        yield found


async def test_each_question_is_asked_once_greedily_with_room_for_its_answer(server: Server) -> None:
    assert await examine(server.url, "demo", QUESTIONS) == Marks(right=4, answered=4, unanswered=0)
    assert sorted(one["prompt"] for one in server.asked) == [prompt for prompt, _ in QUESTIONS]
    assert {(one["model"], one["temperature"], one["max_tokens"]) for one in server.asked} == {("demo", 0, 3)}


@pytest.mark.parametrize("wrong", [answered("ab"), answered("AB", "length"), answered("AB "), answered("")])
async def test_only_an_exact_answer_with_its_end_is_right(server: Server, wrong: web.Response) -> None:
    server.odd = lambda prompt, times: wrong if prompt == "ab=" else None
    marks = await examine(server.url, "demo", QUESTIONS)
    assert (marks.right, marks.answered, marks.accuracy) == (3, 4, 0.75)


async def test_a_full_replica_is_asked_again(server: Server) -> None:
    server.odd = lambda prompt, times: web.Response(status=429) if prompt == "cd=" and times < 3 else None
    assert (await examine(server.url, "demo", QUESTIONS)).accuracy == 1.0


@pytest.mark.parametrize(
    "other",
    [
        lambda: web.Response(status=500),
        lambda: web.Response(text="<html>"),
        lambda: web.json_response([]),
        lambda: web.json_response({"choices": []}),
        lambda: web.json_response({"choices": [{"text": "AB"}]}),
    ],
)
async def test_what_is_not_answered_is_no_wrong_answer(server: Server, other: Callable[[], web.Response]) -> None:
    server.odd = lambda prompt, times: other() if prompt == "ab=" else None
    marks = await examine(server.url, "demo", QUESTIONS)
    assert (marks.right, marks.answered, marks.unanswered, marks.accuracy) == (3, 3, 1, 1.0)
    assert marks.why


async def test_nobody_there_leaves_no_marks() -> None:
    marks = await examine("http://127.0.0.1:9", "demo", QUESTIONS[:1])
    assert (marks.accuracy, marks.unanswered) == (None, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"DEEPSEEK_EXAM_URL": "chat:8000"}, "write a server's address"),
        ({"DEEPSEEK_EXAM_DATA": ""}, "write a file"),
        ({"DEEPSEEK_EXAM_DATA": "builtin://x"}, "builtin://uppercase"),
        ({"DEEPSEEK_EXAM_SAMPLES": "0"}, "a whole number of at least 1"),
        ({"DEEPSEEK_EXAM_SAMPLES": "many"}, "a whole number of at least 1"),
    ],
)
def test_what_can_not_be_asked_is_said_with_what_to_write(change: dict[str, str], words: str) -> None:
    good = {"DEEPSEEK_EXAM_URL": "http://chat:8000", "DEEPSEEK_EXAM_DATA": "builtin://uppercase"}
    assert read_settings(good).samples == 200
    with pytest.raises(Invalid, match=words):
        read_settings({**good, **change})


def run(tmp_path: Path, **said: str) -> tuple[int, dict[str, Any]]:
    """The program's exit code and last words."""
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": "operator", "DEEPSEEK_TERMINATION_LOG": str(log), **said}
    code = subprocess.run([sys.executable, "-m", "deepseek_runtime.examiner"], env=environment, check=False).returncode
    return code, json.loads(log.read_text())


def test_the_program_says_why_there_are_no_marks(tmp_path: Path) -> None:
    data = tmp_path / "heldout.jsonl"
    data.write_text('{"prompt": "ab="}\n')
    code, last = run(tmp_path, DEEPSEEK_EXAM_URL="http://127.0.0.1:9", DEEPSEEK_EXAM_DATA=str(data))
    assert (code, last["result"]) == (64, "Invalid")
    assert "completion" in last["message"]
    data.write_text('{"prompt": "ab=", "completion": "AB"}\n')
    code, last = run(tmp_path, DEEPSEEK_EXAM_URL="http://127.0.0.1:9", DEEPSEEK_EXAM_DATA=str(data))
    assert (code, last["result"], last["metrics"]) == (1, "Failed", {})
    assert "1 of 1 questions were not answered" in last["message"]
