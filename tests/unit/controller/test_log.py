"""What reaches the log from strangers stays inside its record."""

import json
import logging
import sys
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.log import Json, OneLine, log_to_stderr


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


KEY = Key(TRAINING, "team", "tune")


def as_json(message: str, *arguments: object, info: Any = None) -> dict[str, Any]:
    line = Json().format(logging.LogRecord("operator", 30, "p", 1, message, arguments, info))
    assert len(line.splitlines()) == 1, "whoever splits lines finds one"
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_of_json_has_its_object_in_fields() -> None:
    found = as_json("%s: applied %s", KEY, "Job tune-1")
    time = found.pop("time")
    assert time.endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "operator",
        "message": "DeepSeekTraining team/tune: applied Job tune-1",
        "kind": "DeepSeekTraining",
        "namespace": "team",
        "name": "tune",
    }


def test_a_line_about_nothing_in_particular_names_no_object() -> None:
    assert as_json("the mirror is complete: %s objects", 4).keys() == {"time", "level", "logger", "message"}
    assert as_json("no arguments").keys() == {"time", "level", "logger", "message"}
    assert "kind" not in as_json("%(a)s", {"a": "b"})


def test_nothing_that_strangers_write_ends_a_line_of_json() -> None:
    forged = 'oops\n{"level": "info"}\r\u2028\u2029\x85\x0b\x1c größer'
    assert as_json("%s", forged)["message"] == forged
    try:
        raise ValueError("bad\nline")
    except ValueError:
        found = as_json("failed", info=sys.exc_info())
    assert found["exception"].endswith("ValueError: bad\nline")


@pytest.mark.parametrize(("form", "formatter"), [("text", OneLine), ("json", Json)])
def test_the_process_logs_in_the_form_that_it_is_told(
    monkeypatch: pytest.MonkeyPatch, form: Any, formatter: type[logging.Formatter]
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **given: told.update(given))
    log_to_stderr("debug", form)
    (handler,) = told["handlers"]
    assert type(handler.formatter) is formatter
    assert told["level"] == "DEBUG"
