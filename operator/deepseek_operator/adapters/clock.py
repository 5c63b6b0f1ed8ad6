"""The machine's clocks."""

import time
from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock` of the running process."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
