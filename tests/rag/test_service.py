"""The retrieval service of examples/rag as it is written there, run by a real Hayhooks: in front of a server that notes what it is
asked, and of the built-in engine.

$HAYHOOKS and $TORCH are the environments that `tests/run rag` makes.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
SERVICE = {
    (one["kind"], one["metadata"]["name"]): one
    for one in yaml.safe_load_all((ROOT / "examples/rag/service.yaml").read_text())
}
CONTAINER: dict[str, Any] = SERVICE["Deployment", "rag"]["spec"]["template"]["spec"]["containers"][0]
PATIENCE_S = 300.0
QUESTION = "How often are backups made?"


class Engine:
    """Answers `every night`, in a whole or as a stream, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/chat/completions"
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                engine.asked.append(body)
                engine.keys.append(self.headers["Authorization"])
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream" if body.get("stream") else "application/json")
                self.end_headers()
                self.wfile.write(_streamed() if body.get("stream") else _whole())

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "every night"}, "finish_reason": "stop"}
    head = {"id": "1", "object": "chat.completion", "created": 1, "model": "chat"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return json.dumps({**head, "choices": [choice], "usage": usage}).encode()


def _streamed() -> bytes:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "chat"}
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": "every "}, None),
        ({"content": "night"}, None),
        ({}, "stop"),
    ]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


@contextmanager
def service(folder: Path, url: str, **more: str) -> Iterator[str]:
    """The Deployment's container as a process: its variables and files, at paths and a port of this machine."""
    mounts = {"rag-pipeline": folder / "pipelines/texts", "rag-texts": folder / "texts"}
    for name, path in mounts.items():
        path.mkdir(parents=True)
        for file, text in SERVICE["ConfigMap", name]["data"].items():
            (path / file).write_text(text)
    port = free_port()
    written = {one["name"]: one["value"] for one in CONTAINER["env"]}
    here = {
        "HAYHOOKS_HOST": "127.0.0.1",
        "HAYHOOKS_PORT": str(port),
        "HAYHOOKS_PIPELINES_DIR": str(folder / "pipelines"),
        "HOME": str(folder),
        "RAG_DOCUMENTS": str(folder / "texts"),
        "RAG_URL": url,
        **more,
    }
    program, *arguments = CONTAINER["command"]
    command = [f"{os.environ['HAYHOOKS']}/bin/{program}", *arguments]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], **written, **here}, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        answers(f"http://127.0.0.1:{port}{CONTAINER['readinessProbe']['httpGet']['path']}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str, process: "subprocess.Popen[Any]", log: Path) -> None:
    """Waits until a server does."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-4000:])


def asked(url: str, **more: Any) -> str:
    """The text of what the service answers."""
    body = {"model": "texts", "messages": [{"role": "user", "content": QUESTION}], **more}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def test_what_was_found_goes_to_the_serving_with_the_question(tmp_path: Path) -> None:
    engine = Engine()
    with service(tmp_path, engine.url) as url:
        told = json.loads(asked(url))
        assert told["choices"][0]["message"]["content"] == "every night"
        with urllib.request.urlopen(f"{url}/v1/models", timeout=PATIENCE_S) as answer:
            assert [one["id"] for one in json.load(answer)["data"]] == ["texts"]
        streamed = [line.removeprefix("data: ") for line in asked(url, stream=True).splitlines() if "{" in line]
        deltas = [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in streamed]
    assert "".join(deltas) == "every night"
    first = engine.asked[0]
    assert (first["model"], first["max_tokens"]) == ("chat", 256)
    prompt = str(first["messages"][-1]["content"])
    assert f"Question: {QUESTION}" in prompt
    assert prompt.index("[backups.md] Backups of every database") < prompt.index("Question:")
    assert engine.asked[1].get("stream") is True
    assert engine.keys == ["Bearer none"] * 2


def test_the_built_in_engine_answers_through_it(tmp_path: Path) -> None:
    model, port, log = tmp_path / "model", free_port(), tmp_path / "engine"
    model.mkdir()
    python = f"{os.environ['TORCH']}/bin/python"
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "operator")}
    subprocess.run(
        [python, str(ROOT / "tests/rag/make_model.py"), str(model)], env=path, check=True, timeout=PATIENCE_S
    )
    told = {
        **path,
        "DEEPSEEK_MODEL_PATH": str(model),
        "DEEPSEEK_SERVED_MODEL_NAME": "chat",
        "DEEPSEEK_PORT": str(port),
        "DEEPSEEK_TERMINATION_LOG": "/dev/null",
    }
    with log.open("w") as file:
        process = subprocess.Popen([python, "-m", "deepseek_runtime.engine"], env=told, stdout=file, stderr=file)
    try:
        answers(f"http://127.0.0.1:{port}/v1/models", process, log)
        with service(tmp_path / "service", f"http://127.0.0.1:{port}/v1", RAG_MAX_TOKENS="8") as url:
            assert json.loads(asked(url))["choices"][0]["message"]["content"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
            lines = [
                line for line in answer.read().decode().splitlines() if line.startswith("vllm:prompt_tokens_total")
            ]
    finally:
        process.terminate()
        process.wait(60)
    # As many bytes as the texts have, and the engine counts a token for each.
    assert float(lines[0].rpartition(" ")[2]) > 300
