"""Whatever fails while something that the user gave is read is the user's error, save what a machine may cure."""

import asyncio
import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.reading import MACHINE_ERRORS, reading

WHAT, REMEDY = "dataset /data/a.jsonl line 3", "write it anew"


class PanicException(BaseException):
    """As code in Rust panics through Python: no Exception."""


def raised(error: BaseException, *, under: BaseException | None = None) -> BaseException:
    error.__cause__ = under
    with pytest.raises(BaseException) as caught, reading(WHAT, REMEDY):
        raise error
    return caught.value


USERS: tuple[tuple[BaseException, str], ...] = (
    (ValueError("half a number"), "half a number"),
    (KeyError("model.layers.0"), "KeyError 'model.layers.0'"),
    (TypeError("TextEncodeInput must be Union"), "TypeError TextEncodeInput must be Union"),
    (AssertionError(), "AssertionError"),
    (AttributeError("no attribute"), "AttributeError no attribute"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
    (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
    (MemoryError(), "more memory than this machine has"),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4611686018427387904 bytes."),
        "46",
    ),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/x"), "/data/x: No such file or directory"),
    (PermissionError(errno.EACCES, "Permission denied", b"/data/x"), "/data/x: Permission denied"),
    (OSError(errno.ELOOP, "Too many levels of symbolic links", "/data/x"), "/data/x: Too many"),
    (OSError("Unable to load weights from the file"), "Unable to load weights"),
    (Exception("invalid type at line 1 (os error 2)"), "Exception invalid type"),
    (PanicException("called `Option::unwrap()` on a `None` value"), "PanicException called"),
)


@pytest.mark.parametrize(("error", "says"), USERS, ids=lambda value: type(value).__name__)
def test_whatever_is_raised_becomes_the_users_error_with_place_and_remedy(error: BaseException, says: str) -> None:
    found = raised(error)
    assert isinstance(found, Invalid)
    assert str(found).startswith(f"{WHAT} can't be read: ")
    assert says in str(found)
    assert str(found).endswith(f"; {REMEDY}")
    assert found.__cause__ is error


MACHINES: tuple[BaseException, ...] = (
    *(OSError(number, "failed", "/data/a.jsonl") for number in sorted(MACHINE_ERRORS)),
    Exception("Stale file handle (os error 116)"),
    PanicException("called `Result::unwrap()` on an `Err` value: Input/output error (os error 5)"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes."),
    type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."),
)


@pytest.mark.parametrize("error", MACHINES, ids=str)
def test_what_another_try_may_cure_stays_what_it_is(error: BaseException) -> None:
    assert raised(error) is error
    wrapped = OSError("Can't load the model")
    assert raised(wrapped, under=error) is wrapped, "libraries wrap what they catch"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError(), Invalid("write 3")])
def test_what_is_not_about_the_file_passes(error: BaseException) -> None:
    assert raised(error) is error


@pytest.mark.parametrize(
    "read",
    [
        lambda place: json.loads("[" * 10_000),
        lambda place: "\ud83d".encode(),
        lambda place: place.joinpath("absent").read_text(),
        lambda place: place.read_text(),
        lambda place: bytearray(1 << 62),
    ],
)
def test_real_failures_are_told_in_one_line_of_bounded_length(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught, reading("it", REMEDY):
        read(tmp_path)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_a_very_long_message_is_cut_so_that_the_remedy_is_read() -> None:
    said = str(raised(ValueError("x" * 100_000)))
    assert len(said) < 1000
    assert said.endswith(REMEDY)
