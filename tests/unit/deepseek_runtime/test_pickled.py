"""A pickle is described, and nothing that it names is looked up, called or filled."""

import pickle
from collections import OrderedDict
from pathlib import PurePosixPath

import pytest

from deepseek_runtime.checkpoint.document import Unreadable
from deepseek_runtime.trainer.pickled import Made, Name, Pairs, described

PATH = f"{PurePosixPath.__module__}.PurePosixPath"


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (OrderedDict, ([("called", True)],))


def test_plain_values_are_themselves() -> None:
    shared = [1, 2.5, None]
    value = [True, False, "text", (), (1,), (1, 2, 3, 4), shared, shared, 1 << 40]
    assert described(pickle.dumps(value, 4), ()) == value


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_older_protocols_which_torch_does_not_write_are_refused(protocol: int) -> None:
    with pytest.raises(Unreadable, match="which no checkpoint needs"):
        described(pickle.dumps([1.5, "text"], protocol), ())


def test_dictionaries_are_pairs_and_nothing_is_hashed() -> None:
    value = described(pickle.dumps({"one": 1, "two": {}}), ())
    assert value == Pairs([("one", 1), ("two", Pairs())])


def test_calls_are_notes() -> None:
    made = described(pickle.dumps(PurePosixPath("/a/b")), {PATH})
    assert isinstance(made, Made)
    assert (made.name, made.arguments, made.state) == (PATH, ("/", "a", "b"), None)
    assert described(pickle.dumps(PurePosixPath), {PATH}) == Name(PATH)


@pytest.mark.parametrize(
    "value",
    [Evil(), print, OrderedDict(), Evil, PurePosixPath("/")],
    ids=["a call of its own", "a function", "an object", "a class", "a path"],
)
def test_name_that_is_not_expected_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match="which no checkpoint needs: it may be an attack"):
        described(pickle.dumps(value), {"builtins.getattr"})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"\x80\x04}", "pickle exhausted before seeing STOP"),
        (b"", "pickle exhausted before seeing STOP"),
        (b"\x80\x04.", "not enough values to unpack"),
        (b"\x80\x04NN.", "too many values to unpack"),
        (b"\x80\x04\x86.", "it takes more than there is"),
        (b"\x80\x04)R.", "it takes more than there is"),
        (b"\x80\x04K\x01)R.", "it calls what is no class"),
        (b"\x80\x04K\x01Nb.", "it changes what is no new object"),
        (b"\x80\x04K\x01K\x02a.", "it fills what is no list or dictionary"),
        (b"\x80\x04]K\x02K\x03s.", "it fills what is no list or dictionary"),
        (b"\x80\x04cbuiltins\ngetattr\n)R}b}b.", "it changes what is no new object"),
        (b"\x80\x04t.", "pop from empty list"),
        (b"\x80\x04h\x05.", "list index out of range"),
        (b"\x80\x04\x8f.", "the operation EMPTY_SET, which no checkpoint needs"),
        (b"Pthing\n.", "the operation PERSID, which no checkpoint needs"),
        (b"\x80\x04\x82\x01.", "the operation EXT1, which no checkpoint needs"),
    ],
)
def test_program_that_no_checkpoint_is_ends_in_words(program: bytes, said: str) -> None:
    """Those of Python's own are put into a sentence by whoever asked."""
    with pytest.raises((Unreadable, ValueError, IndexError), match=said):
        described(program, {"builtins.getattr"})
