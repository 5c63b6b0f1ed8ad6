"""Whatever a client sends is answered as its own error: 400 with words, never 500."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator
from typing import TypeAlias

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.errors import MAX_BODY_BYTES
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.state import Engine
from tests.runtime.bare_model import model

Client: TypeAlias = TestClient[Request, Application]
JSON = "application/json"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    metrics = Metrics("demo")
    engine = Engine("demo", Scheduler(1, 1, metrics), metrics, model=model())
    async with TestClient(TestServer(application(engine))) as client:
        yield client


async def refused(client: Client, path: str, body: bytes, **headers: str) -> str:
    """The message of the 400 that a body gets."""
    told = {"Content-Type": JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = await client.post(path, data=body, headers=told)
    text = await answer.text()
    assert answer.status == 400, text
    error = json.loads(text)["error"]
    assert (error["type"], error["code"]) == ("BadRequestError", 400)
    return str(error["message"])


BODIES: tuple[tuple[bytes, str], ...] = (
    (b"", "the body is not JSON"),
    (b"{", "the body is not JSON"),
    (b"prompt=hello&max_tokens=4", "the body is not JSON"),
    (b"[]", "must be a JSON object"),
    (b'"hi"', "must be a JSON object"),
    (b"true", "must be a JSON object"),
    (b'{"prompt": "hi", "prompt": "ho"}', "the key 'prompt' stands twice"),
    (b'{"prompt": "hi", "temperature": NaN}', "NaN is no JSON"),
    (b'{"prompt": "hi", "metadata": {"score": -Infinity}}', "-Infinity is no JSON"),
    (b'{"prompt": "hi", "temperature": 1e999}', "temperature must lie between"),
    (b'{"prompt": "hi", "temperature": 1' + b"0" * 400 + b"}", "temperature must lie between"),
    (b'{"prompt": "hi", "temperature": true}', "temperature must be a number"),
    (b'{"prompt": "hi", "top_p": "0.5"}', "top_p must be a number"),
    (b'{"prompt": "hi", "seed": ' + b"9" * 30 + b"}", "seed must be a whole number"),
    (b'{"prompt": "hi", "seed": ' + b"9" * 5000 + b"}", "the body is not JSON: Exceeds the limit"),
    (b'{"prompt": "hi", "max_tokens": 4.0}', "max_tokens must be a whole number"),
    (b'{"prompt": "hi", "max_tokens": true}', "max_tokens must be a whole number"),
    (b'{"prompt": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deeply"),
    (b'{"metadata": ' * 10_000, "nested too deeply"),
    (b'{"prompt": "hi \\ud83d", "max_tokens": 4}', "prompt holds half of a surrogate pair (\\ud83d) at character 4"),
    (b'{"prompt": ["\\ude00"]}', "prompt holds half of a surrogate pair"),
    (b'{"prompt": "hi", "stop": "\\ud83d"}', "stop holds half of a surrogate pair"),
    (b'{"prompt": "hi", "stop": ["a", "\\ude00\\ud83d"]}', "stop holds half of a surrogate pair"),
    (b'{"prompt": "hi", "stop": [1]}', "stop must be a text"),
    (b'{"prompt": "hi", "stream_options": []}', "stream_options must be an object"),
    (b'{"prompt": "hi", "\\ud83d": 1}', "is not supported"),
    (b'{"prompt": [true, false]}', "prompt must be one text or one list of token ids"),
    (b'{"prompt": [5, true]}', "prompt must be one text or one list of token ids"),
    (b'{"prompt": [5, 6.0]}', "prompt must be one text or one list of token ids"),
    (b'{"prompt": [5, null]}', "prompt must be one text or one list of token ids"),
    (b'{"prompt": [5, ' + b"9" * 30 + b"]}", "each from 0 to 258"),
    (b'{"prompt": [-1]}', "each from 0 to 258"),
    (b'{"prompt": 7}', "prompt must be one text"),
    (b'{"prompt": ""}', "at least one token"),
    (b'{"prompt": "\xff"}', "the body is not JSON: 'utf-8' codec can't decode"),
    ('{"prompt": "hi"}'.encode("utf-16"), "the body is not JSON"),
    (b'{"prompt": "\xed\xa0\xbd"}', "the body is not JSON"),
    (b'{"prompt": "a\0b"}', "the body is not JSON: Invalid control character"),
    (b'{"prompt": "' + b"x" * 200_000 + b'"}', "exceed the model's 100 tokens"),
)  # fmt: skip


@pytest.mark.parametrize(("body", "words"), BODIES, ids=[str(body[:40]) for body, _ in BODIES])
async def test_body_that_asks_for_nothing_possible_is_the_clients_error(
    client: Client, body: bytes, words: str
) -> None:
    assert words in await refused(client, "/v1/completions", body)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "user", "content": "hi \ud83d"}], "messages[0].content holds half of a surrogate pair"),
        (
            [{"role": "user", "content": "a"}, {"role": "\ude00", "content": "b"}],
            'messages[1].role is "\\ude00"; write one of system, developer, user',
        ),
        ([{"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}], "messages[0].content[0] holds half"),
        ([{"role": "user", "content": True}], "messages[0].content is true, no text"),
        ([{"role": 1, "content": "a"}], "messages[0].role is 1"),
        ([True], "messages[0] is true; write {"),
        ({"role": "user", "content": "a"}, "no list; write {"),
        (7, "messages is 7, no list; write {"),
    ],
)
async def test_messages_that_say_nothing_are_the_clients_error(client: Client, messages: object, words: str) -> None:
    body = json.dumps({"messages": messages}).encode()
    assert words in await refused(client, "/v1/chat/completions", body)


@pytest.mark.parametrize(
    "charset", ["utf-7", "zlib", "idna", "utf-16", "base64", "punycode", "no-such", "latin-1", "\u00e9"]
)
async def test_charset_other_than_json_has_is_refused_by_name(client: Client, charset: str) -> None:
    headers = {"Content_Type": f"{JSON}; charset={charset}"}
    message = await refused(client, "/v1/completions", b'{"prompt": "hi"}', **headers)
    assert message.startswith("charset ")
    assert message.endswith("send the body in UTF-8")


@pytest.mark.parametrize("kind", [JSON, f"{JSON}; charset=UTF-8", f'{JSON}; charset="utf8"', "text/plain", "x", ""])
async def test_json_is_read_under_any_type_and_name_of_its_charset(client: Client, kind: str) -> None:
    """What curl sends without a header is JSON all the same; that it is read shows in what is asked for next."""
    message = await refused(client, "/v1/completions", b'\xef\xbb\xbf{"prompt": 7}', Content_Type=kind)
    assert message.startswith("prompt must be one text")


async def test_what_nobody_thought_of_leaves_its_traceback_in_the_log(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake of ours would else look like the client's, and nobody could find it."""

    def fail(*_: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr("deepseek_runtime.engine.request._asked", fail)
    assert "a mistake of ours" in await refused(client, "/v1/completions", b'{"prompt": "hi"}')
    assert "KeyError: 'a mistake of ours'" in capsys.readouterr().err
    assert "prompt must be" in await refused(client, "/v1/completions", b'{"prompt": 7}')
    assert capsys.readouterr().err == ""


async def test_body_that_is_too_large_or_not_what_its_encoding_says_is_no_failure_of_the_engine(client: Client) -> None:
    large = await client.post("/v1/completions", data=b"x" * (MAX_BODY_BYTES + 1))
    assert (large.status, (await large.json())["error"]["message"]) == (413, "the body exceeds 8 MiB")
    bomb = await client.post(
        "/v1/completions", data=gzip.compress(b" " * (MAX_BODY_BYTES + 1)), headers={"Content-Encoding": "gzip"}
    )
    assert bomb.status == 413
    broken = await client.post("/v1/completions", data=b"not gzip", headers={"Content-Encoding": "gzip"})
    assert broken.status == 400
    assert "the body can't be read" in (await broken.json())["error"]["message"]
    assert (await client.post("/v1/completions", data=b"{")).status == 400, "the engine goes on"


def raw(head: str, body: bytes = b"") -> bytes:
    return f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "sent",
    [
        raw("Content-Length: -5", b"{}"),
        raw("Content-Length: abc", b"{}"),
        raw(f"Content-Length: {'9' * 30}", b"{}"),
        raw("Content-Length: 2\r\nContent-Length: 3", b"{}"),
        raw("Transfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n"),
        raw("Transfer-Encoding: chunked", b"-1\r\nhello\r\n0\r\n\r\n"),
        raw("Transfer-Encoding: chunked", b"F" * 20 + b"\r\nhello"),
        raw("Transfer-Encoding: chunked\r\nContent-Length: 2", b"0\r\n\r\n"),
        raw("Transfer-Encoding: gzip", b"{}"),
        raw("Content-Encoding: br\r\nContent-Length: 2", b"{}"),
        raw("Content-Encoding: deflate\r\nContent-Length: 2", b"\0\1"),
        raw(f"X: {'x' * 20_000}"),
        raw("\r\n".join(f"X{number}: x" for number in range(5000))),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"BREW /v1/completions HTTP/1.1\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[48:80]),
)
async def test_what_is_no_http_is_the_clients_error(client: Client, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(sent)
    assert (await asyncio.wait_for(reader.readline(), 30)).split()[1] == b"400"
    writer.close()
    assert (await client.get("/health")).status == 200


async def test_body_that_does_not_come_is_waited_for_only_so_long(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_runtime.engine.errors.BODY_S", 0.05)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(raw("Content-Length: 100", b"{"))
    assert (await asyncio.wait_for(reader.readline(), 30)).split()[1] == b"408"
    writer.close()


async def test_long_prompt_keeps_nobody_from_asking_for_health(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 MiB are tokenized for seconds, and the kubelet asks meanwhile."""
    begun, goes_on = threading.Event(), threading.Event()

    def slowly(body: bytes, charset: str | None) -> object:
        begun.set()
        assert goes_on.wait(30)
        return {"prompt": 7}

    monkeypatch.setattr("deepseek_runtime.engine.request.read_body", slowly)
    asked = asyncio.create_task(client.post("/v1/completions", data=b"{}"))
    await asyncio.to_thread(begun.wait, 30)
    assert (await client.get("/health")).status == 200
    goes_on.set()
    assert (await asked).status == 400


async def test_error_quotes_only_the_beginning(client: Client) -> None:
    assert len(await refused(client, "/v1/completions", b'{"' + b"x" * 1_000_000 + b'": 1}')) <= 2000
