"""A command in a terminal of its own, and what then stands there as SVG text: no font, and nothing else, comes from elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from xml.sax.saxutils import escape

COLUMNS = 112
PAPER, INK = "#181a1f", "#e6e8ec"
COLOURS = ("#8a919e", "#ff8a8a", "#7ed58a", "#ecca6f", "#82b1ff", "#d3a0f2", "#6fd0dc", "#e6e8ec")
"""Of ANSI's eight, and of their bright ones: each has a contrast of more than 4.5 to 1 on the paper."""
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
WIDE, HIGH, MARGIN = 8.4, 18, 14
"""Of a cell of 14 px, and around all of them. Every run of cells has its width written, so that columns stand whatever the font."""
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_OTHER = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b[()].|\r")


class Screen:
    """A terminal of so many columns in which a command runs; `text` is all that it wrote, once it has ended."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], columns: int = COLUMNS) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        variables = {**environment, "TERM": "xterm-256color", "COLUMNS": str(columns)}
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
        os.close(theirs)
        self._said = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # The other end is closed: EIO.
            while piece := os.read(self._ours, 65536):
                self._said += piece

    def ended(self, timeout_s: float = 60) -> str:
        """Waits for the command's end; what it wrote."""
        self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        os.close(self._ours)
        return self._said.decode().replace("\r\n", "\n")


def picture(title: str, text: str, columns: int = COLUMNS) -> str:
    """The text, in its colours, as a terminal of so many columns shows it."""
    rows = [row for line in text.rstrip("\n").split("\n") for row in _folded(list(_cells(line)), columns)]
    width, height = round(columns * WIDE + 2 * MARGIN), len(rows) * HIGH + 2 * MARGIN
    drawn = [_drawn(row, MARGIN + number * HIGH + 13) for number, row in enumerate(rows)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
            f'<g font-family="{FONT}" font-size="14" fill="{INK}" xml:space="preserve">',
            *(one for one in drawn if one),
            "</g>",
            "</svg>",
            "",
        )
    )


def _cells(line: str) -> Iterator[tuple[str, str]]:
    """Each character with its colour; INK where it has none."""
    colour, at = INK, 0
    line = _OTHER.sub("", line)
    for code in _SGR.finditer(line):
        yield from ((letter, colour) for letter in line[at : code.start()])
        colour, at = _coloured(code[1], colour), code.end()
    yield from ((letter, colour) for letter in line[at:])


def _coloured(codes: str, before: str) -> str:
    numbers = [int(one or 0) for one in codes.split(";")]
    if numbers[:2] == [38, 5]:
        return COLOURS[numbers[2] % 8] if numbers[2] < 16 else INK
    for number in numbers:
        if number in (0, 39):
            before = INK
        elif 30 <= number <= 37 or 90 <= number <= 97:
            before = COLOURS[number % 10]
    return before


def _folded(cells: list[tuple[str, str]], columns: int) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, max(len(cells), 1), columns):
        yield cells[start : start + columns]


def _drawn(row: list[tuple[str, str]], y: int) -> str:
    """Words of one colour, each run of them at its column and as wide as its cells."""
    runs, at = [], 0
    while at < len(row):
        end = at
        while end < len(row) and row[end][1] == row[at][1]:
            end += 1
        fill = f' fill="{row[at][1]}"' if row[at][1] != INK else ""
        for words in re.finditer(r"\S+(?: \S+)*", "".join(letter for letter, _ in row[at:end])):
            place = f'x="{MARGIN + (at + words.start()) * WIDE:.1f}" textLength="{len(words[0]) * WIDE:.1f}"'
            runs.append(f'<tspan {place} lengthAdjust="spacingAndGlyphs"{fill}>{escape(words[0])}</tspan>')
        at = end
    return f'<text y="{y}">{"".join(runs)}</text>' if runs else ""
