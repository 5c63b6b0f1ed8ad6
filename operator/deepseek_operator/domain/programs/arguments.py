"""What a user's own arguments and variables say of things that the operator decides.

A program takes the later of two equal flags, so a flag that repeats one of the operator's would move the port that an
engine's probes look at, the folder in which a trainer resumes, or the devices that were counted. Each such flag is refused with the field to write (``flags`` says
which), or read into sizing where there is no field. What a program does with a word is done here too: underscores for
dashes, ``--flag=value``, ``-tp8``, ``--no-flag``, unambiguous beginnings, ``--flag.key`` and ``$(VARIABLE)``.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from deepseek_operator.domain.models.model import SHAPE_FIELDS
from deepseek_operator.domain.values.command import Refusal

_REFERENCE = re.compile(r"\$\$\(|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG]?)")
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Owned:
    """Flags or variables that the operator decides by.

    ``names`` are spelled with dashes, without the leading two; ``*`` stands for any end, and a name that keeps its one
    dash is a short flag. ``instead`` says what to write, with the reason where that is not plain. Values in ``harmless``
    decide nothing; with ``by_reference`` a value that comes from a Secret (``$(NAME)``) is let through.
    """

    names: tuple[str, ...]
    instead: str
    harmless: tuple[str, ...] = ()
    by_reference: bool = False


@dataclass(frozen=True)
class Flags:
    """One program's flags by what the operator does about them.

    ``owned`` are refused. ``read`` maps a flag to the field of ``Given`` that takes its value. ``overrides`` replace
    fields of config.json: refused where sizing reads the field. ``yielding`` are written by the operator as well, and
    nothing else depends on them: the user's word comes later and wins. ``variables`` are refused like ``owned``.
    """

    owned: tuple[Owned, ...] = ()
    read: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    yielding: tuple[str, ...] = ()
    variables: tuple[Owned, ...] = ()


NO_FLAGS = Flags()
"""Of a program that has none, or of which none are known."""


@dataclass(frozen=True)
class Given:
    """What the user's own flags tell sizing and scaling; None where they say nothing.

    ``memory_fraction`` is the engine's part of a device, ``step_tokens`` its tokens per step, ``running`` and
    ``waiting`` bound the requests of one replica. ``offload_gib`` of each device's weights lie in host memory. ``adapter_slots`` and ``adapter_rank`` are those that it keeps room for.
    """

    memory_fraction: float | None = None
    step_tokens: int | None = None
    running: int | None = None
    waiting: int | None = None
    speculation: bool = False
    offload_gib: int | None = None
    adapter_slots: int | None = None
    adapter_rank: int | None = None

    @property
    def admitted(self) -> int | None:
        """Requests that one replica takes before it answers 429; None: no bound that is known."""
        return None if self.running is None or self.waiting is None else self.running + self.waiting


def given(
    flags: Flags, args: Sequence[str], variables: Mapping[str, str | None], block: str = "engine"
) -> Given | Refusal:
    """Return what the arguments and variables say, or every one of them that is the operator's, with what to write.

    ``variables`` maps names to values, None where the value is not in the spec; ``block`` of the spec has both.
    """
    found, refused = Given(), []
    for argument in _arguments(args, variables):
        match _judged(flags, argument):
            case str() as instead:
                refused.append(f"{argument.shown}: {instead}")
            case (str() as name, int() | float() | bool() as value):
                found = replace(found, **{name: value})  # type: ignore[arg-type]
            case None:
                pass
    refused += [f"{block}.env {name}: {owned.instead}" for name, owned in _owned_variables(flags, variables)]
    if refused:
        return Refusal(f"{block}.args or {block}.env say what the operator decides", "; ".join(dict.fromkeys(refused)))
    return found


@dataclass(frozen=True)
class _Argument:
    """One flag with its value, or a word that belongs to none (no ``name``); ``is_joined``: one item held both."""

    name: str
    path: str
    value: str | None
    shown: str
    is_joined: bool = False


def _arguments(args: Sequence[str], variables: Mapping[str, str | None]) -> Iterator[_Argument]:
    words, follows_flag = [_expanded(word, variables) for word in args], False
    for index, word in enumerate(words):
        if _is_flag(word):
            name, equals, value = word.partition("=")
            following = words[index + 1] if index + 1 < len(words) else None
            taken = value if equals else following if following is not None and not _is_flag(following) else None
            name, *joined = name.split(maxsplit=1)
            stem, _, path = name.partition(".")
            yield _Argument(stem.replace("_", "-"), path, taken, name, bool(joined))
            follows_flag = not equals
        else:
            if index == 0 or (word.startswith("$(") and not follows_flag):
                yield _Argument("", "", word, word)
            follows_flag = False


def _expanded(word: str, variables: Mapping[str, str | None]) -> str:
    """The word as Kubernetes passes it on, as far as the values are known."""

    def known(match: re.Match[str]) -> str:
        value = variables.get(match[1]) if match[1] else "$("
        return match[0] if value is None else value

    return _REFERENCE.sub(known, word)


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not word[1].isdigit() and word[1] != "."


def _judged(flags: Flags, argument: _Argument) -> str | tuple[str, float | bool] | None:
    """What to write instead; or what sizing reads; or None where nothing is decided."""
    if not argument.name:
        return "begin with a flag: this word would be taken for another model, or for a flag that can't be seen"
    owned = _owned(flags, argument.name)
    if owned is not None:
        value = argument.value or ""
        is_free = value in owned.harmless or (owned.by_reference and value.startswith("$("))
        return None if is_free else owned.instead
    if argument.is_joined:
        return "write a flag and its value as two items, or with ="
    name = argument.name.removeprefix("--")
    if (reads := _named(flags.read, name)) is not None:
        return _read(flags.read[reads], argument.value)
    if name in flags.overrides:
        return _overridden(argument)
    return None


def _owned(flags: Flags, name: str) -> Owned | None:
    if not name.startswith("--"):
        short = _short(flags, name)
        return next((owned for owned in flags.owned if short in owned.names), None) if short else None
    word = name[2:]
    spellings = {word, word.removeprefix("no-")}
    exact = (
        owned for owned in flags.owned for known in owned.names for spelt in spellings if fnmatchcase(spelt, known)
    )
    if (found := next(exact, None)) is not None:
        return found
    if word in (*flags.read, *flags.overrides, *flags.yielding):
        return None
    begun = (o for o in flags.owned for known in o.names for spelt in spellings if known.startswith(spelt))
    return next(begun, None)


def _short(flags: Flags, name: str) -> str | None:
    """The short flag that a word begins with: ``-tp8`` and ``-tp=8`` are ``-tp``; the longest wins."""
    known = {short for owned in flags.owned for short in owned.names if short.startswith("-")}
    return max((short for short in known if name.startswith(short)), key=len, default=None)


def _named(known: Mapping[str, str], name: str) -> str | None:
    return name if name in known else next((flag for flag in known if flag.startswith(name)), None)


def _read(what: str, value: str | None) -> str | tuple[str, float | bool] | None:
    if what == "speculation":
        return what, True
    if what == "memory_fraction":
        fraction = _fraction(value)
        return (what, fraction) if fraction is not None else "write a part of the device above 0 and up to 1, like 0.9"
    count = _count(value)
    if count is None:
        return "write a whole number"
    return (what, count) if count > 0 else None  # -1 and 0 leave the choice to the engine


def _fraction(value: str | None) -> float | None:
    try:
        fraction = float(value or "")
    except ValueError:
        return None
    return fraction if 0 < fraction <= 1 else None


def _count(value: str | None) -> int | None:
    """A number as vLLM reads it: 8192, 8k (8,000) or 8K (8,192)."""
    if value in ("-1", "auto"):
        return -1
    match = _COUNT.fullmatch(value or "")
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def _overridden(argument: _Argument) -> str | None:
    """Fields of config.json that sizing reads, where they are given by hand."""
    keys = {argument.path.split(".")[0]} if argument.path else _keys(argument.value)
    touched = sorted(keys & SHAPE_FIELDS)
    if not touched:
        return None
    return f"{', '.join(touched)} decide the model's size: write the config.json in model.source so, and the same as model.custom"


def _keys(text: str | None) -> set[str]:
    try:
        value = json.loads(text or "null")
    except (ValueError, RecursionError):
        return set()
    nested = [value, *(value.values() if isinstance(value, dict) else ())]
    return {str(key) for part in nested if isinstance(part, dict) for key in part}


def _owned_variables(flags: Flags, variables: Mapping[str, str | None]) -> Iterator[tuple[str, Owned]]:
    for name, value in variables.items():
        for owned in flags.variables:
            if any(fnmatchcase(name, known) for known in owned.names) and not (owned.by_reference and value is None):
                yield name, owned
                break
