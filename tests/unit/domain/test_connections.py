"""An engine's answers close their connections, by a module that the program finds beside whatever it found before."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from deepseek_operator.domain.programs.engines.connections import MIDDLEWARE, MODULE, TEXT, finding
from deepseek_operator.domain.programs.engines.request import FILES

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
BODY = {"type": "http.response.body", "body": b"data", "more_body": True}


def sent(kind: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What the server is given of an application that sends these."""
    names: dict[str, Any] = {}
    exec(TEXT, names)
    found: list[dict[str, Any]] = []

    async def application(scope: object, receive: object, send: Any) -> None:
        for message in messages:
            await send(message)

    async def send(message: dict[str, Any]) -> None:
        found.append(message)

    asyncio.run(names[MIDDLEWARE.rpartition(".")[2]](application)({"type": kind}, None, send))
    return found


def test_every_answer_says_that_its_connection_ends_and_keeps_what_else_it_said() -> None:
    start, body = sent("http", START, BODY)
    assert start == {**START, "headers": [(b"content-type", b"text/event-stream"), (b"connection", b"close")]}
    assert body == BODY
    (bare,) = sent("http", {"type": "http.response.start", "status": 500})
    assert bare["headers"] == [(b"connection", b"close")]


def test_what_is_no_request_passes_as_it_is() -> None:
    accepted = {"type": "websocket.accept", "headers": []}
    assert sent("websocket", accepted) == [accepted]


@pytest.mark.parametrize("own", [None, "/usr/local/Ascend/python"])
def test_the_program_finds_the_module_and_what_its_image_had_before(own: str | None) -> None:
    words = ("$(touch /tmp/x)", 'a "b" $HOME')
    told = [sys.executable, "-c", "import os, sys; print([os.environ['PYTHONPATH'], *sys.argv[1:]])", *words]
    variables = {"PATH": "/usr/bin:/bin", **({"PYTHONPATH": own} if own else {})}
    done = subprocess.run(finding(tuple(told)), env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([FILES if own is None else f"{FILES}:{own}", *words])


def test_the_module_lies_where_it_is_looked_for() -> None:
    assert f"{FILES}/{MIDDLEWARE.partition('.')[0]}.py" == MODULE
