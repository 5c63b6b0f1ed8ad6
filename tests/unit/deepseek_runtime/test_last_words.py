"""Whatever a trainer fails with, its rank says so, and its exit code says whether another try may help."""

import faulthandler
import os
import signal
from pathlib import Path

import pytest

from deepseek_runtime.contract import Diverged, ExitCode, Invalid
from deepseek_runtime.rundir import RunDirectory
from deepseek_runtime.trainer import __main__ as trainer


class PanicException(BaseException):
    """As code in Rust panics through Python."""


class CheckpointException(BaseException):
    """As torch.distributed.checkpoint raises: no Exception either."""


class Left(Exception):
    """The process would be gone."""


@pytest.mark.parametrize(
    ("error", "code", "diverged"),
    [
        (Invalid("datasets[0] is empty"), ExitCode.INVALID, False),
        (Diverged("diverged at step 3"), ExitCode.INVALID, True),
        (RuntimeError("connection closed by peer"), 1, False),
        (OSError(28, "No space left on device"), 1, False),
        (MemoryError(), 1, False),
        (RecursionError("too deep"), 1, False),
        (PanicException("unwrap of None"), 1, False),
        (CheckpointException("rank 1: disk full"), 1, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rank_says_what_ended_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, diverged: bool
) -> None:
    def train(*_: object) -> int:
        raise error

    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(trainer, "_train", train)
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("DEEPSEEK_RUN_DIRECTORY", str(tmp_path))
    with pytest.raises(Left) as left:
        trainer.main()
    assert left.value.args == (code,)
    said = RunDirectory(tmp_path).result(3)
    assert str(error) in str(said["message"])
    assert said["diverged"] is diverged
