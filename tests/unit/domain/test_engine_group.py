"""What a worker asks of its leader, run as its container would run it."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deepseek_operator.domain.programs.engines.group import LEADER_VARIABLE, leader_answers, until_leader_is_gone
from deepseek_operator.domain.programs.engines.request import PORT
from tests.support.ports import free_port

HERE = {**os.environ, LEADER_VARIABLE: "127.0.0.1"}


class Leader(BaseHTTPRequestHandler):
    """Healthy, or not."""

    says = 200

    def do_GET(self) -> None:
        self.send_response(self.says if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def asked(words: tuple[str, ...], port: int = PORT) -> int:
    """How the words end, where the leader listens on that port."""
    program, option, script = words
    assert program == "python3"
    command = [sys.executable, option, script.replace(f":{PORT}/", f":{port}/")]
    return subprocess.run(command, env=HERE, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


@pytest.mark.parametrize(("says", "is_alive"), [(200, True), (503, False)])
def test_a_worker_is_alive_while_its_leader_is_healthy(says: int, is_alive: bool) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Says", (Leader,), {"says": says}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert (asked(leader_answers(), server.server_port) == 0) is is_alive
    server.shutdown()


def test_a_leader_that_is_not_there_is_not_healthy() -> None:
    assert asked(leader_answers(), free_port()) != 0


def test_a_worker_waits_for_its_leader_no_longer_than_it_may() -> None:
    began = time.monotonic()
    assert asked(until_leader_is_gone(2)) == 0
    assert time.monotonic() - began >= 2


def test_a_worker_ends_once_its_leader_has_no_address_any_more() -> None:
    program, option, script = until_leader_is_gone(10_000)
    gone = "import socket\ndef gone(*_): raise socket.gaierror\nsocket.getaddrinfo = gone\n"
    assert asked((program, option, gone + script)) == 0
