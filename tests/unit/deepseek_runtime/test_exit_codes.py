"""What a rank's end means to the operator: what the user gave, no room, or a crash that another attempt may not repeat."""

import errno
import faulthandler
import os
import signal
from collections.abc import Callable

import pytest

from deepseek_runtime.checkpoint.integrity import Damaged, Missing
from deepseek_runtime.checkpoint.room import Full
from deepseek_runtime.checkpoint.volume import Superseded
from deepseek_runtime.contract import Diverged, Invalid
from deepseek_runtime.trainer import __main__ as trainer


class Left(BaseException):
    """The process has ended with this code."""


def leave(code: int) -> None:
    raise Left(code)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """The exit code of a rank in which the error comes up."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setattr(os, "_exit", leave)

    def end(error: BaseException) -> int:
        def train(*_: object) -> int:
            raise error

        monkeypatch.setattr(trainer, "_train", train)
        with pytest.raises(Left) as left:
            trainer.main()
        return int(left.value.args[0])

    return end


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Invalid("hyperparameters.seed is -1"), 64),
        (Diverged("the loss is NaN"), 64),
        (Damaged("none of 2 checkpoints is whole"), 64),
        (Missing("rank-0.pt is missing"), 64),
        (Full("no room for step 3"), 73),
        (OSError(errno.EIO, "Input/output error"), 1),
        (OSError("none of 2 checkpoints could be read"), 1),
        (ConnectionResetError("a peer is gone"), 1),
        (Superseded("a later attempt has begun"), 1),
        (MemoryError(), 1),
    ],
    ids=repr,
)
def test_what_the_user_gave_is_final_and_what_the_machine_did_is_tried_again(
    ends: Callable[[BaseException], int], error: BaseException, code: int
) -> None:
    assert ends(error) == code
