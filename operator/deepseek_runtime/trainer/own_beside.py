"""A program of the user's own in a container of its own: asked by files in a folder that the two share.

`asked` has four lines: a number, the step, the folder of the model, the Heldout files as a JSON list. The other side takes
it (`taken`), writes what the program prints to `<number>.said`, and its exit code to `<number>.over`, as a shell says it.
`<number>.stop` has it killed. The other side is a loop for /bin/sh, which the operator renders (`kinds.training.evaluator`).
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

TAIL = 64 * 1024
"""Bytes of its output that are read: the last line has some hundred."""
_SIGNALLED = 128
"""Added by a shell to the signal that has ended a program."""


class Beside:
    """One measure that was asked for. Raises OSError where the folder can't be written."""

    def __init__(self, folder: Path, told: Mapping[str, str], timeout_s: int) -> None:
        self._folder, self._timeout_s = folder, timeout_s
        self._since = time.monotonic()
        self._number = str(time.time_ns())
        self._end_former()
        lines = (self._number, told["DEEPSEEK_STEP"], told["DEEPSEEK_MODEL"], told["DEEPSEEK_HELDOUT"])
        part = self._file("part")
        part.write_text("".join(f"{line}\n" for line in lines))
        part.rename(self._asked)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or had its time."""
        return self._file("over").exists() or time.monotonic() - self._since > self._timeout_s

    def code(self) -> int | None:
        """Its exit code, less than 0 for a signal's number; None while it runs."""
        try:
            code = int(self._file("over").read_text())
        except (OSError, ValueError):
            return None
        return _SIGNALLED - code if code > _SIGNALLED else code

    def said(self) -> bytes:
        """The end of what it printed."""
        try:
            with self._file("said").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                return file.read()
        except OSError:
            return b""

    @property
    def late(self) -> str:
        """Why there is no code once its time is over."""
        if self._asked.exists():
            return (
                f"the container evaluation did not begin it within evaluation.timeoutSeconds {self._timeout_s}: "
                "see the container's log and state"
            )
        return f"it took longer than evaluation.timeoutSeconds {self._timeout_s}"

    def end(self) -> None:
        """Has it killed where it still runs, and takes away what is no longer read."""
        with suppress(OSError):
            self._asked.unlink(missing_ok=True)
            if not self._file("over").exists():
                self._file("stop").touch()
            for suffix in ("said", "over"):
                self._file(suffix).unlink(missing_ok=True)

    def _end_former(self) -> None:
        """What a trainer that was killed here has asked for is of no use to anybody."""
        with suppress(OSError, IndexError):
            former = (self._folder / "taken").read_text().split()[0]
            (self._folder / f"{former}.stop").touch()

    @property
    def _asked(self) -> Path:
        return self._folder / "asked"

    def _file(self, suffix: str) -> Path:
        return self._folder / f"{self._number}.{suffix}"
