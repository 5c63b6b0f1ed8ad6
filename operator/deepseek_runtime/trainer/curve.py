"""The attempt's curve on its volume: the lines of rank 0's log, in `<training>/<incarnation>/metrics.jsonl`.

Logs go with their pods, the curve stays with the checkpoints. A thread writes it, so that no step waits for a volume
that is slow or hangs; what can't be written is left out, because a training is worth more than its curve.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

NAME = "metrics.jsonl"

EVERY_STEP_UNTIL = 1000
"""Steps of which every one is written; later at most one a second, so that a week takes some 60 MB."""
STEP_EVERY_S = 1.0
WAIT_S = 2.0
"""How long the end of a training waits for the last lines."""
_LIMIT = 10_000
"""Lines that may wait for the volume; more are left out."""


class Curve:
    """Appends lines to a file, which begins with the first of them. Every method returns at once but `close`."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._steps = 0
        self._step_s = 0.0

    def step(self, line: str) -> None:
        """One line for an optimizer step; of many quick ones some are left out."""
        self._steps += 1
        now = self._clock()
        if self._steps <= EVERY_STEP_UNTIL or now - self._step_s >= STEP_EVERY_S:
            self._step_s = now
            self.add(line)

    def add(self, line: str) -> None:
        """One line, without its end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="curve", daemon=True)
            self._thread.start()
        if self._thread.is_alive() and self._lines.qsize() < _LIMIT:
            self._lines.put(line)

    def close(self) -> None:
        """Waits until all lines are written, or WAIT_S."""
        if self._thread is not None:
            self._lines.put(None)
            self._thread.join(WAIT_S)

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            is_cut = _is_cut(self._path)
            with self._path.open("a", buffering=1, encoding="utf-8") as file:
                file.write("\n" if is_cut else "")
                while (line := self._lines.get()) is not None:
                    file.write(line + "\n")
        except OSError as error:
            print(f"trainer: {self._path} ends here: {error}", file=sys.stderr, flush=True)


def _is_cut(path: Path) -> bool:
    """Whether whoever wrote to it before died within a line."""
    if not path.is_file():  # nor a pipe, which would be waited for
        return False
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
