"""Time, where the shell gets it from."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall clock for what is stored, monotonic clock for what is waited for."""

    def now(self) -> datetime:
        """The time with zone UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
