"""A save that fails on one rank alone ends that rank, and the others with it: nobody waits for it for ever."""

import errno
import io
import pickle
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deepseek_runtime.checkpoint.room import Full, is_full
from deepseek_runtime.checkpoint.volume import Superseded, Volume
from deepseek_runtime.trainer import saver
from deepseek_runtime.trainer.saver import Lineage, Saver, _Pending
from deepseek_runtime.trainer.snapshot import Taken
from deepseek_runtime.trainer.wire import PlainUnpickler


class CheckpointException(BaseException):
    """As torch.distributed.checkpoint raises: no Exception."""


def saving(volume: Path, failure: BaseException | None) -> Saver:
    """The first of two ranks, whose own save has ended, while the other one still waits."""
    future: Future[Any] = Future()
    if failure is not None:
        future.set_exception(failure)
    gang = SimpleNamespace(total=lambda values: list(values), world_size=2, is_first=True)
    made = Saver(cast(Any, gang), Volume(volume), cast(Any, None), Lineage("a", None), lambda: None, dict)
    made._pending = _Pending(3, True, {}, Taken({}, Future()), 0.0, future=future)
    return made


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (CheckpointException("a rank sent what no rank sends"), CheckpointException),
        (RuntimeError("connection closed by peer"), RuntimeError),
        (OSError(errno.ENOSPC, "No space left on device"), Full),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_save_that_failed_here_alone_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, raised: type[BaseException]
) -> None:
    monkeypatch.setattr(saver, "ALONE_S", 0.05)
    with pytest.raises(raised):
        saving(tmp_path, failure).settle()


def test_others_have_a_moment_to_learn_of_a_failure(tmp_path: Path) -> None:
    """torch tells all of them; what ends the pod is then what each of them says."""
    saving(tmp_path, RuntimeError("told by torch")).check_alone()
    saving(tmp_path, None).check_alone()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/checkpoints/manifest.json"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        PermissionError(errno.EACCES, "Permission denied", Path("/checkpoints")),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/checkpoints/a", None, "/checkpoints/b"),
        Superseded("a later attempt than 1 has begun"),
    ],
    ids=lambda error: f"{type(error).__name__} {getattr(error, 'errno', '')}",
)
def test_what_the_first_rank_was_refused_is_raised_on_all(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A commit, or what retention deletes: as a message of one rank to the others."""
    sent: list[bytes] = []

    def travels(value: object, group: object) -> object:
        if value is not None:
            sent.append(pickle.dumps(value))
        return PlainUnpickler(io.BytesIO(sent[-1])).load()

    def refused() -> Any:
        raise error

    monkeypatch.setattr(saver, "broadcast", travels)
    for is_first in (True, False):
        with pytest.raises(type(error)) as caught:
            saver._agreed(cast(Any, SimpleNamespace(is_first=is_first)), None, refused)
        assert (str(caught.value), is_full(caught.value)) == (str(error), is_full(error))
    assert len(sent) == 1
