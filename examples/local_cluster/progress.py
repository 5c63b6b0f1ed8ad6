"""What a person sees while a cluster comes up: one line per step, with the time it took."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and, when it ends, its seconds; a failed step says so and lets the error pass."""
    started = time.monotonic()
    print(f"  … {title}", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(f"  ✗ {title} ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)
        raise
    print(f"  ✓ {title} ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """One line that is no step."""
    print(f"    {text}", file=sys.stderr, flush=True)


def wait_for(what: str, is_true: Callable[[], bool], timeout_s: float, every_s: float = 0.1) -> None:
    """Return once the condition holds; raise TimeoutError naming it otherwise."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)
