"""What `helm test` asks: who leads and hears is well, everybody else is told what is wrong."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from deepseek_operator.__main__ import main
from deepseek_operator.cli.check import answer, trouble
from deepseek_operator.controller.metrics import Metrics


def page(leads: bool, down_s: float = 0.0) -> str:
    metrics = Metrics()
    metrics.follow(lambda: 0, lambda: leads, "deepseek-operator")
    metrics.follow_watch("pods", lambda: down_s)
    return metrics.exposition().decode()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (page(leads=True), None),
        (page(leads=False), "no process that answered leads"),
        (page(leads=True, down_s=3), "its watch of pods does not stand"),
        ("up 1\n", "what answers is no operator"),
    ],
)
def test_what_is_wrong_is_told(told: str, said: str | None) -> None:
    assert trouble(told) == said


def test_a_replica_that_stands_by_does_not_fail_it_while_another_leads(capsys: pytest.CaptureFixture[str]) -> None:
    pages = [page(leads=False), page(leads=True)]
    assert answer("http://x", read=lambda url: pages.pop(0)) == 0
    assert capsys.readouterr().out == "an operator leads, and every watch of it stands\n"


def test_at_the_limit_it_says_what_was_wrong_last(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(url: str) -> str:
        raise OSError("connection refused")

    assert answer("http://x", 0, refused) == 1
    assert "http://x can't be read: connection refused" in capsys.readouterr().out


def test_the_command_asks_over_http() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page(leads=True).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert main(["check", f"http://127.0.0.1:{server.server_address[1]}/metrics"]) == 0
        server.shutdown()
