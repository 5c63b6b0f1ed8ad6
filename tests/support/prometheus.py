"""A real Prometheus that a test has started."""

import time
from collections.abc import Callable
from urllib.error import URLError
from urllib.request import urlopen

FOREVER_S = 60.0


def eventually(done: Callable[[], bool]) -> None:
    """Returns once it is so; fails when it is not within a minute."""
    ends_at = time.monotonic() + FOREVER_S
    while not done():
        assert time.monotonic() < ends_at
        time.sleep(0.2)


def is_ready(url: str) -> bool:
    """It answers queries."""
    try:
        with urlopen(f"{url}/-/ready", timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
