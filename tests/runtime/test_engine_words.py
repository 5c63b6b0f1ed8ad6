"""An engine that can't serve its model says why before it goes: the operator shows it in the serving's status."""

import errno
import json
import os
from pathlib import Path

import pytest

from deepseek_runtime.engine import __main__ as engine
from deepseek_runtime.engine.model import Model
from tests.support.ports import free_port


class PanicException(BaseException):
    """As code in Rust panics through Python."""


def words_of(error: BaseException | None, folder: Path, patch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, result and message of an engine whose loading raises `error`, or finds what `folder` holds."""
    log = folder / "log"
    for name, value in (("MODEL_PATH", folder / "model"), ("PORT", free_port()), ("TERMINATION_LOG", log)):
        patch.setenv(f"DEEPSEEK_{name}", str(value))
    if error is not None:

        def load(path: Path) -> Model:
            raise error

        patch.setattr(Model, "load", staticmethod(load))
    code = engine.main()
    said = json.loads(log.read_text())
    return code, said["result"], said["message"]


@pytest.mark.parametrize(
    "error",
    [
        KeyError("model.embed_tokens.weight"),
        TypeError("unsupported operand"),
        AttributeError("no attribute 'quantize'"),
        json.JSONDecodeError("Expecting value", "", 0),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        RecursionError("maximum recursion depth exceeded"),
        MemoryError(),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/model/config.json"),
        PanicException("called `Option::unwrap()` on a `None` value"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_model_folder_that_can_not_be_read_is_the_users_error(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, result, message = words_of(error, tmp_path, monkeypatch)
    assert (code, result) == (64, "Invalid")
    assert message.startswith(f"model folder {tmp_path / 'model'} can't be read: ")
    assert message.endswith("serve a whole model in Hugging Face form, or copy this one again")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_failing_disk_is_a_crash_with_its_words(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, result, message = words_of(OSError(number, os.strerror(number)), tmp_path, monkeypatch)
    assert (code, result) == (1, "Failed")
    assert os.strerror(number) in message


def test_panic_over_a_failing_disk_ends_the_engine_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no Exception: unheard, the engine would load for ever."""
    code, result, message = words_of(PanicException("Input/output error (os error 5)"), tmp_path, monkeypatch)
    assert (code, result) == (1, "Failed")
    assert "os error 5" in message


def test_folder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, result, message = words_of(None, tmp_path, monkeypatch)
    assert (code, result) == (64, "Invalid")
    assert str(tmp_path / "model") in message
