"""Programs that share a volume, one of them running at a time: a seed says who goes on at every look at it, and who dies.

A program is interrupted wherever it lists, opens, makes, renames or deletes something. A killed one gets an exception
that nothing catches at that very call, and at every later one, so what lies on the disk is what SIGKILL would leave.
"""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

POINTS = {os: ("listdir", "scandir", "mkdir", "open", "rename", "rmdir", "unlink"), io: ("open",), time: ("sleep",)}
LIMIT_S = 60.0
MOODS = (0.01, 0.05, 0.3)
"""How likely a program changes its rank at a call, one of them per seed. The highest rank runs: with rare changes one
program sleeps between a look and the act that it looked for while others live whole lives."""


class Killed(BaseException):
    """What a program gets instead of its next call."""


@dataclass(eq=False)
class Program:
    """`after` names a program and the number of calls that it must have made (or be over) before this one begins."""

    name: str
    work: Callable[[], None]
    after: "tuple[Program, int] | None" = None
    dies_at: int | None = None
    calls: int = 0
    is_over: bool = False
    error: BaseException | None = None
    rank: float = 1.0
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def may_run(self) -> bool:
        if self.is_over:
            return False
        return self.after is None or self.after[0].is_over or self.after[0].calls >= self.after[1]


def run(programs: list[Program], seed: int) -> None:
    """Runs them to their ends. What a program raised is its `error`."""
    random = Random(seed)
    running = threading.local()
    over = threading.Event()

    mood = random.choice(MOODS)

    def next_one() -> Program | None:
        return max((one for one in programs if one.may_run), key=lambda one: one.rank, default=None)

    def point() -> None:
        own: Program | None = getattr(running, "program", None)
        if own is None:
            return
        own.calls += 1
        if own.dies_at is not None and own.calls >= own.dies_at:
            raise Killed
        if random.random() < mood:
            own.rank = random.random()
        chosen = next_one()
        if chosen is not None and chosen is not own:
            chosen.turn.release()
            assert own.turn.acquire(timeout=LIMIT_S)

    def live(own: Program) -> None:
        assert own.turn.acquire(timeout=LIMIT_S)
        running.program = own
        try:
            own.work()
        except BaseException as error:
            own.error = error
        running.program = None
        own.is_over = True
        chosen = next_one()
        if chosen is not None:
            chosen.turn.release()
        else:
            over.set()

    for one in programs:
        one.rank = random.random()
    with _interrupted(point):
        threads = [threading.Thread(target=live, args=(one,), daemon=True) for one in programs]
        for thread in threads:
            thread.start()
        programs[0].turn.release()
        assert over.wait(LIMIT_S), [one.name for one in programs if not one.is_over]


@contextmanager
def _interrupted(point: Callable[[], None]) -> Iterator[None]:
    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*arguments: Any, **named: Any) -> Any:
            point()
            return None if call is time.sleep else call(*arguments, **named)

        return interrupted

    with pytest.MonkeyPatch.context() as patch:
        for module, names in POINTS.items():
            for name in names:
                patch.setattr(module, name, before(getattr(module, name)))
        yield
