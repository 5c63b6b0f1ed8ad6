"""How the process logs: one record is one line, whatever others wrote into the messages and names that it tells of.

A pod's last words reach the log through events and conditions; a line break in them must not begin a record of its own.
"""

import logging


class OneLine(logging.Formatter):
    """Control characters are written as escapes, and every line of a traceback but the first is indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        record.message = "".join(map(_shown, record.message))
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - the library's name
        return super().formatException(ei).replace("\n", "\n  ")  # type: ignore[arg-type]


def log_to_stderr(level: str) -> None:
    """From now on records of that level and above go to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
