"""The end of the process, without ending the process of the test."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from deepseek_operator.controller.ending import Ending


class Left:
    """Stands for `os._exit`."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.happened = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.happened.set()


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    left, asked = Left(), []
    Ending(3600.0, left).on_signals(lambda: asked.append(True))
    os.kill(os.getpid(), number)
    assert (asked, left.codes) == ([True], [])
    os.kill(os.getpid(), number)
    assert left.codes == [128 + number]


def test_an_end_that_takes_too_long_is_ended() -> None:
    left = Left()
    ending = Ending(0.01, left)
    ending.begin()
    ending.begin()
    assert left.happened.wait(10)
    assert left.codes == [1]
