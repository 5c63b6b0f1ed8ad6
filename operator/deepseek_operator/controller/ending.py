"""Every end is bounded: an orderly one is tried, and the process is gone in time whatever hangs.

The limit is kept by a thread, so that neither a blocked event loop nor a library's thread that never returns (which
the interpreter waits for at its exit) can outlast it. A second signal does not wait for it.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

END_LIMIT_S = 8.0
"""Seconds from the first wish to end; a kubelet's patience is thirty, and a Lease runs for fifteen."""


class Ending:
    """The end of this process, asked for by a signal or by `begin`."""

    def __init__(self, limit_s: float = END_LIMIT_S, leave: Callable[[int], None] = os._exit) -> None:
        self._limit_s = limit_s
        self._leave = leave
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        """From now on the limit runs; asked for again, it runs on."""
        if self._timer is None:
            self._timer = threading.Timer(self._limit_s, self._overrun)
            self._timer.daemon = True
            self._timer.start()

    def on_signals(self, stop: Callable[[], object]) -> None:
        """The first SIGTERM or SIGINT calls `stop` and begins the end, the second is the end. Main thread only."""
        asked = False

        def handle(number: int, _frame: object) -> None:
            nonlocal asked
            if asked:
                self._leave(128 + number)
            asked = True
            self.begin()
            stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)

    def _overrun(self) -> None:
        log.critical("the end took more than %.0f s; the process leaves as it is", self._limit_s)
        self._leave(1)
