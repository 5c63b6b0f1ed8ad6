"""How the process logs: one record is one line, whatever others wrote into the messages and names that it tells of.

A pod's last words reach the log through events and conditions; a line break in them must not begin a record of its own.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from deepseek_operator.controller.key import Key

LogFormat: TypeAlias = Literal["text", "json"]


class OneLine(logging.Formatter):
    """Control characters are written as escapes, and every line of a traceback but the first is indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        record.message = "".join(map(_shown, record.message))
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - the library's name
        return super().formatException(ei).replace("\n", "\n  ")  # type: ignore[arg-type]


class Json(logging.Formatter):
    """A JSON object a line: time, level, logger, message, the custom resource that it is about, and a traceback.

    Only what is ASCII stands there as it is: no other character can end the line for whoever reads it.
    """

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (key := _about(record)) is not None:
            told |= {"kind": key.resource.kind, "namespace": key.namespace, "name": key.name}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def log_to_stderr(level: str, form: LogFormat = "text") -> None:
    """From now on records of that level and above go to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _about(record: logging.LogRecord) -> Key | None:
    """The first custom resource among the message's arguments: every line on one is written with its key."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return next((argument for argument in arguments if isinstance(argument, Key)), None)
