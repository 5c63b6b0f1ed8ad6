"""What reaches the log from strangers stays inside its record."""

import logging
import sys

from deepseek_operator.controller.log import OneLine


def formatted(message: str, error: Exception | None = None) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    return OneLine("%(levelname)s %(message)s").format(logging.LogRecord("n", 30, "p", 1, "%s", (message,), info))


def test_a_message_can_not_begin_a_line_of_its_own() -> None:
    forged = "the trainer ended: oops\n2026-01-01 INFO leads\r\x1b[2K\u2028 größer"
    assert formatted(forged) == r"WARNING the trainer ended: oops\n2026-01-01 INFO leads\r\x1b[2K\u2028 größer"


def test_the_text_of_an_exception_can_not_look_like_a_record() -> None:
    first, *rest = formatted("failed", ValueError("bad\nINFO all is well")).splitlines()
    assert first == "WARNING failed"
    assert "INFO all is well" in [line.strip() for line in rest]
    assert not any(line.startswith("INFO") for line in rest)
