"""SIGTERM to a pod, also one that arrives before there is anybody to tell: process 1 has no default for it."""

import signal
from typing import Protocol

from deepseek_runtime.stopping import release


class Stoppable(Protocol):
    def stop(self) -> None:
        """SIGTERM arrived."""


class StopRequests:
    """Tells whoever is to know, from now on."""

    def __init__(self) -> None:
        self._told: Stoppable | None = None
        self.is_pending = False
        signal.signal(signal.SIGTERM, self._arrived)
        signal.signal(signal.SIGINT, self._arrived)
        release()

    def send_to(self, told: Stoppable) -> None:
        """From here on this one is told, at once where one has arrived already."""
        self._told = told
        if self.is_pending:
            told.stop()

    def _arrived(self, *_: object) -> None:
        self.is_pending = True
        if self._told is not None:
            self._told.stop()
