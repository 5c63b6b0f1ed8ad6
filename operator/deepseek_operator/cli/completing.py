"""Shell completion: kubectl asks `kubectl_complete-deepseek` with the words so far, in every shell that kubectl completes in.

What it reads is cobra's: a candidate per line, and at last `:4`, which says that no file names are meant (`:0`: they are).
"""

import asyncio
import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from deepseek_operator.cli.kubectl import parser
from deepseek_operator.cli.shown.naming import kinds_of
from deepseek_operator.kinds.registry import KINDS

NO_FILES, FILES = ":4", ":0"
PATIENCE_S = 3.0
"""For names from the cluster: whoever presses a key waits no longer."""
_FILES = ("FILE", "FOLDER", "MODEL")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the candidates for the last of the words; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments) or [""]
    for line in completed(words):
        print(line)
    return 0


def completed(words: Sequence[str]) -> Iterator[str]:
    """What kubectl reads."""
    *before, last = words
    at, rest = _descended(parser(), before)
    wanted = _argument(at, rest, last)
    if wanted is not None and wanted.metavar in _FILES:
        yield FILES
        return
    found = _names(before) if wanted is not None and wanted.metavar == "NAME" else _offered(at, wanted, rest, last)
    yield from sorted(one for one in found if one.startswith(last))
    yield NO_FILES


def _descended(top: ArgumentParser, words: Sequence[str]) -> tuple[ArgumentParser, list[str]]:
    """The parser of the command that the words name, and the words behind it."""
    at, rest = top, list(words)
    for index, word in enumerate(words):
        commands = _commands(at)
        if word in commands:
            at, rest = commands[word], list(words[index + 1 :])
    return at, rest


def _commands(at: ArgumentParser) -> Mapping[str, ArgumentParser]:
    return next((one.choices for one in at._actions if one.nargs == "A..." and isinstance(one.choices, dict)), {})


def _argument(at: ArgumentParser, words: Sequence[str], last: str) -> Action | None:
    """What the last word is the value of: of the option before it, or of the next place; None for an option or a command."""
    options = {name: one for one in at._actions for name in one.option_strings}
    if words and (option := options.get(words[-1])) is not None and option.nargs != 0:
        return option
    if last.startswith("-"):
        return None
    places = [one for one in at._actions if not one.option_strings and one.nargs != "A..."]
    taken = 0
    for before, word in zip(("", *words), words, strict=False):
        option = options.get(before)
        taken += not word.startswith("-") and (option is None or option.nargs == 0)
    return places[taken] if taken < len(places) else None


def _offered(at: ArgumentParser, wanted: Action | None, words: Sequence[str], last: str) -> Iterator[str]:
    if wanted is not None:
        yield from map(str, wanted.choices or ())
        return
    if last.startswith("-"):
        yield from (
            name for one in at._actions if one.help != SUPPRESS for name in one.option_strings if name[:2] == "--"
        )
        return
    if not any(not word.startswith("-") for word in words):
        yield from _commands(at)


def _names(words: Sequence[str]) -> Iterator[str]:
    """Of the objects in the namespace that the words name; none where the cluster doesn't say so in time."""
    with suppress(Exception):  # A shell that completes shows no errors.
        yield from asyncio.run(asyncio.wait_for(_listed(_place(words)), PATIENCE_S))


def _place(words: Sequence[str]) -> Namespace:
    """Where, by what of it is written already."""
    place = ArgumentParser(add_help=False, exit_on_error=False)
    place.add_argument("-n", "--namespace")
    place.add_argument("--kubeconfig")
    place.add_argument("--context")
    return place.parse_known_args(list(words))[0]


async def _listed(options: Namespace) -> list[str]:
    from deepseek_operator.cli.connection import api_server, namespace_of
    from deepseek_operator.cli.finding import Reader

    async with api_server(options) as server:
        found = await Reader(server, namespace_of(options)).every(kinds_of(KINDS))
    names = [str(one["metadata"]["name"]) for _, one in found]
    return [
        name if names.count(name) == 1 else f"{entry.word}/{name}"
        for name, (entry, _) in zip(names, found, strict=True)
    ]
