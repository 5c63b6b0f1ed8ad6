"""The simple commands of a piece of shell, as lists of words: enough of the grammar for what documentation shows.

Quotes, comments, continued lines, pipes, lists, redirections, here-documents and substitutions are read; functions, cases
and arithmetic are not.
"""

import re
import shlex
from collections.abc import Iterator

_OPERATORS = frozenset({"|", "||", "&", "&&", ";", ";;", "(", ")", "<(", ">(", "|&"})
_REDIRECTION = re.compile(r"^(\d?[<>]{1,3}|[<>]&|&>)$")
_KEYWORDS = frozenset({"do", "then", "if", "elif", "while", "until", "!", "else", "time"})
_ENDS = frozenset({"done", "fi", "esac"})
_ASSIGNED = re.compile(r"^[A-Za-z_]\w*=")
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)")
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")


def commands(text: str) -> Iterator[list[str]]:
    """Every simple command, first those of a line and then those that are substituted in it.

    Raises:
        ValueError: a quote is not closed.
    """
    for line in _lines(text):
        yield from _of_line(line)


def _lines(text: str) -> Iterator[str]:
    """Whole ones: continued lines and open quotes joined, comments and here-documents left out."""
    pending, until = "", ""
    for line in text.splitlines():
        if until:
            until = "" if line.strip() == until else until
            continue
        pending += line
        if pending.endswith("\\"):
            pending = f"{pending[:-1]} "
            continue
        try:
            shlex.split(pending, comments=True)
        except ValueError:
            pending += "\n"
            continue
        if found := _HERE.search(pending):
            until = found[1]
        yield pending
        pending = ""
    if pending.strip():
        raise ValueError(f"a quote is not closed: {pending.strip()}")


def _of_line(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] = []
    skips = False
    for token in lexer:
        if skips:
            skips = False
        elif token in _OPERATORS:
            yield from _simple(words)
            words = []
        elif _REDIRECTION.match(token):
            if words and words[-1].isdigit():
                words.pop()
            skips = True
        else:
            words.append(token)
    yield from _simple(words)
    for inner in _SUBSTITUTED.findall(line):
        yield from _of_line(inner)


def _simple(words: list[str]) -> Iterator[list[str]]:
    while words and (words[0] in _KEYWORDS or _ASSIGNED.match(words[0])):
        words = words[1:]
    if words and words[0] not in _ENDS and words[0] != "for":
        yield words
