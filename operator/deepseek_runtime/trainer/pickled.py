"""What a pickle would make, described and not made.

A pickle is a program for a small stack machine that may call whatever it names. Here its operations are only looked at,
one after the other: names stay names, calls stay notes of what should be called. Operations and names that the files
read here don't need are refused.
"""

import pickletools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from deepseek_runtime.checkpoint.document import Unreadable


@dataclass(frozen=True)
class Name:
    """A class or function that the file names; it is not looked up."""

    text: str


@dataclass(eq=False)
class Made:
    """What a call of `name` would have made: its arguments, and the state that it would have been given."""

    name: str
    arguments: tuple[object, ...]
    state: object = None


class Pairs(list[tuple[object, object]]):
    """A dictionary as the pairs that were put into it: nothing is hashed before it is known what it is."""


def described(content: bytes, allowed: Collection[str]) -> object:
    """What the pickle describes, as plain values, `Name`, `Made` and `Pairs`; `allowed` are full names.

    Raises Unreadable for what is refused, ValueError, IndexError or KeyError for what is no pickle.
    """
    machine = _Machine(allowed)
    for operation, argument, _ in pickletools.genops(content):
        if operation.name == "STOP":
            (value,) = machine.stack
            return value
        _OPERATIONS.get(operation.name, _refuse)(machine, operation.name, argument)
    raise Unreadable("it is cut off")


@dataclass
class _Machine:
    """The stack, the stacks below the last marks, and what is remembered by number."""

    allowed: Collection[str]
    stack: list[object] = field(default_factory=list)
    below: list[list[object]] = field(default_factory=list)
    memo: list[object] = field(default_factory=list)

    def take(self, count: int) -> list[object]:
        """The last values, which leave the stack."""
        if len(self.stack) < count:
            raise Unreadable("it takes more than there is")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def take_marked(self) -> list[object]:
        """Everything since the last mark."""
        taken, self.stack = self.stack, self.below.pop()
        return taken


_Operation = Callable[[_Machine, str, object], None]
_CONSTANTS: Mapping[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def _refuse(machine: _Machine, name: str, argument: object) -> None:
    raise Unreadable(f"it holds the operation {name}, which no checkpoint needs")


def _pass(machine: _Machine, name: str, argument: object) -> None:
    """About the file, not about its value."""


def _value(machine: _Machine, name: str, argument: object) -> None:
    machine.stack.append(argument)


def _constant(machine: _Machine, name: str, argument: object) -> None:
    machine.stack.append(_CONSTANTS[name])


def _empty(machine: _Machine, name: str, argument: object) -> None:
    machine.stack.append(Pairs() if name == "EMPTY_DICT" else [])


def _remember(machine: _Machine, name: str, argument: object) -> None:
    machine.memo.append(machine.stack[-1])


def _recall(machine: _Machine, name: str, argument: object) -> None:
    assert isinstance(argument, int)
    machine.stack.append(machine.memo[argument])


def _mark(machine: _Machine, name: str, argument: object) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _tuple(machine: _Machine, name: str, argument: object) -> None:
    items = machine.take_marked() if name == "TUPLE" else machine.take(int(name[-1]))
    machine.stack.append(tuple(items))


def _fill(machine: _Machine, name: str, argument: object) -> None:
    """Puts items into the list or dictionary below them."""
    items = machine.take_marked() if name.endswith("S") else machine.take(2 if name == "SETITEM" else 1)
    target = machine.stack[-1]
    if name.startswith("SETITEM") and isinstance(target, Pairs):
        target.extend(zip(items[::2], items[1::2], strict=True))
    elif name.startswith("APPEND") and type(target) is list:
        target.extend(items)
    else:
        raise Unreadable("it fills what is no list or dictionary")


def _name(machine: _Machine, name: str, argument: object) -> None:
    parts = machine.take(2) if name == "STACK_GLOBAL" else str(argument).split(" ", 1)
    text = ".".join(str(part) for part in parts)
    if text not in machine.allowed:
        raise Unreadable(f"it names {text[:200]!r}, which no checkpoint needs: it may be an attack")
    machine.stack.append(Name(text))


def _call(machine: _Machine, name: str, argument: object) -> None:
    what, arguments = machine.take(2)
    if not isinstance(what, Name) or not isinstance(arguments, tuple):
        raise Unreadable("it calls what is no class")
    machine.stack.append(Made(what.text, arguments))


def _build(machine: _Machine, name: str, argument: object) -> None:
    (state,), made = machine.take(1), machine.stack[-1]
    if not isinstance(made, Made) or made.state is not None:
        raise Unreadable("it changes what is no new object")
    made.state = state


_OPERATIONS: Mapping[str, _Operation] = {
    **dict.fromkeys(("PROTO", "FRAME"), _pass),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _value),
    **dict.fromkeys(_CONSTANTS, _constant),
    **dict.fromkeys(("EMPTY_DICT", "EMPTY_LIST"), _empty),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _recall),
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), _tuple),
    **dict.fromkeys(("SETITEM", "SETITEMS", "APPEND", "APPENDS"), _fill),
    **dict.fromkeys(("STACK_GLOBAL", "GLOBAL", "INST"), _name),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _call),
    "MEMOIZE": _remember,
    "MARK": _mark,
    "BUILD": _build,
}
