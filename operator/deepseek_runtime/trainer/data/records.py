"""What the file of a dataset holds: one text, or records with the line, entry or row that each stands on.

Its content decides, never its name: `corpus.ndjson`, `corpus.txt` and `corpus` are read alike. What is no text, or
no data (an archive, a table, a pointer to a file that was never fetched, a page that a server answered with), is
refused by name with what to do: to train on its bytes would teach a model their syntax.
"""

import codecs
import csv
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deepseek_runtime.checkpoint.integrity import sha256_of
from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import bounded, elements, half_pair, parsed, shown
from deepseek_runtime.reading import memory_bytes, reading
from deepseek_runtime.trainer.data.files import WHERE
from deepseek_runtime.trainer.data.parquet import is_parquet, rows

# What isn't UTF-8 text is named by its first bytes, each with what makes text of it.
_BINARY = (
    (b"\x1f\x8b", "a gzip archive", "unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it with unzstd"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it with unxz"),
    (b"BZh", "a bzip2 archive", "unpack it with bunzip2"),
    (b"\x04\x22\x4d\x18", "an LZ4 archive", "unpack it with unlz4"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"PK", "a zip archive", "unpack it with unzip"),
    (b"PAR1", "a Parquet table that was cut off", "copy it again, whole"),
    (b"PARE", "an encrypted Parquet table", "write it without encryption"),
    (b"ARROW1", "an Arrow table", "write its rows as JSON lines"),
    (b"FEA1", "a Feather table", "write its rows as JSON lines"),
    (b"ORC", "an ORC table", "write its rows as JSON lines"),
    (b"Obj\x01", "an Avro file", "write its records as JSON lines"),
    (b"SQLite format 3\x00", "an SQLite database", "write its rows as JSON lines"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its rows as JSON lines"),
    (b"\x93NUMPY", "a numpy array", "write texts as JSON lines: tokens aren't read"),
    (b"\x80", "a Python pickle", "write its records as JSON lines"),
    (b"\xff\xfe", "text in UTF-16", "write it in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "write it in UTF-8"),
    (b"\x00\x00\xfe\xff", "text in UTF-32", "write it in UTF-8"),
)
_TAR = (257, b"ustar")
# What is text, and yet not the data.
_TEXTS = (
    (r"version https://git-lfs\.github\.com/", "a Git-LFS pointer", "fetch the file itself with git lfs pull"),
    (r"(?i)<!doctype html|<html\b", "an HTML page", "download the file itself, or write the page as a text in JSON"),
    (r"(?s)<\?xml\b.{,200}?<Error>|<Error>", "an object store's error", "download the file itself"),
    (r"%PDF-", "a PDF", "write its text"),
)
_JSON_OBJECT = re.compile(r'\s*\{\s*("|\})')
_JSON_LIST = re.compile(r"\s*\[\s*\{")
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")

# How much is read at once, and how many characters of a text tell what it is.
_CHUNK_BYTES = 1 << 20
_BEGINNING = 4096


@dataclass(frozen=True)
class Content:
    """A file that holds text in UTF-8, or a Parquet table: its name for a person, the sha256 of its bytes, how the text begins.

    The file itself stays where it is: lines and rows are read as they are asked for, however many there are.
    """

    name: str
    path: Path
    sha256: str
    beginning: str
    is_table: bool = False

    @property
    def has_records(self) -> bool:
        """Whether it holds records, one text otherwise."""
        return self.is_table or self.is_json

    @property
    def is_json(self) -> bool:
        """Whether it holds JSON: by how it begins, by being a list as a whole, or because its name promises so."""
        if self.is_table:
            return False
        promises = self.path.suffix.lower() in _JSON_SUFFIXES
        if _JSON_OBJECT.match(self.beginning) or _JSON_LIST.match(self.beginning) or promises:
            return True
        return self.is_list and _is_json(self.text)

    @property
    def is_list(self) -> bool:
        return self.beginning.startswith("[")

    @property
    def text(self) -> str:
        """All of it. Raises Invalid for more than the machine could hold."""
        with reading(self.name, WHERE):
            if (size := self.path.stat().st_size) > memory_bytes():
                raise Invalid(
                    f"{self.name} has {size} bytes, more than this machine's memory: split it, write it as JSON lines, or"
                    " use a larger machine"
                )
            return self.path.read_text(encoding="utf-8-sig")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines with their numbers, from 1. Only CR and LF end one: JSON lets a text hold Unicode's separators as they are."""
        with reading(self.name, WHERE), self.path.open(encoding="utf-8-sig") as stream:
            yield from enumerate(stream, start=1)


def read_content(path: Path) -> Content:
    """Looks through a file once. Raises Invalid for what is no text in UTF-8, or no data."""
    name = f"dataset {path}"
    with reading(name, WHERE):
        if path.is_symlink() and not path.exists():
            raise Invalid(
                f"{name} is a link to {path.readlink()}, which is not there: the claim must hold the file itself, not a"
                " link to what lies outside of the mounted folder (cp --dereference copies what links lead to)"
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise Invalid(f"{name} is a pipe, a socket or a device; name a file by datasets[].source.uri")
        if is_parquet(path):
            return Content(name, path, sha256_of(path), "", is_table=True)
        with path.open("rb") as stream:
            sha256, beginning = _looked_through(name, stream)
    _refuse_foreign(name, beginning)
    return Content(name, path, sha256, beginning)


def _looked_through(name: str, stream: BinaryIO) -> tuple[str, str]:
    """The sha256 of all bytes, and the first characters that aren't white space."""
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    beginning, lines, head, length, most = "", 0, b"", 0, memory_bytes()
    while True:
        chunk = stream.read(_CHUNK_BYTES)
        digest.update(chunk)
        head = head or chunk
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            _refuse_binary(name, head)
            line = lines + error.object.count(b"\n", 0, error.start) + 1
            byte = error.object[error.start]
            raise Invalid(f"{name} line {line} is no UTF-8 (byte 0x{byte:02x}); write it in UTF-8") from None
        if (place := chunk.find(b"\0")) >= 0:
            _refuse_binary(name, head)
            line = lines + chunk.count(b"\n", 0, place) + 1
            raise Invalid(f"{name} line {line} holds a NUL byte: it is binary or UTF-16; write it as text in UTF-8")
        if len(beginning) < _BEGINNING:
            beginning = f"{beginning}{text}".lstrip("\ufeff \t\r\n")[:_BEGINNING]
        if not chunk:
            return digest.hexdigest(), beginning.replace("\r\n", "\n").replace("\r", "\n")
        lines += chunk.count(b"\n")
        length = len(chunk) - chunk.rfind(b"\n") - 1 if b"\n" in chunk else length + len(chunk)
        if length > most:
            raise Invalid(
                f"{name} line {lines + 1} alone is larger than this machine's memory: write one example a line"
            )


def records(
    content: Content, advice: str, columns: Collection[str] = ("text",)
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """JSON objects, one a line or all in one list, or a table's rows, each with its place. `advice` says what to write.

    Of a table only `columns` are read. Raises Invalid with the line for what is no JSON object, and where a key stands
    twice: one of them would be lost.
    """
    if content.is_table:
        yield from rows(content.name, content.path, columns, advice)
        return
    for place, record in _entries(content, advice) if content.is_list else _lines(content, advice):
        if not isinstance(record, dict):
            raise Invalid(f"{place} is {shown(record)}, no JSON object; {advice}")
        yield place, record


def value_of(place: str, record: Mapping[str, object], field: str, advice: str) -> object:
    """What stands in a field of a record. Raises Invalid when it is absent."""
    if field in record:
        return record[field]
    there = ", ".join(sorted(map(repr, record)))
    raise Invalid(f"{place} has no {field!r}, only {bounded(there) or 'nothing'}; {advice}")


def text_of(place: str, record: Mapping[str, object], field: str, advice: str) -> str:
    """The text in a field of a record. Raises Invalid when it is absent, no text, or none that UTF-8 can write."""
    value = value_of(place, record, field, advice)
    if not isinstance(value, str):
        raise Invalid(f"{place}: {field!r} is {shown(value)}, no text; {advice}")
    if words := half_pair(value):
        raise Invalid(
            f"{place}: {field!r} holds {words}: no text has one; write the whole character, or leave the line out"
        )
    return value


def _lines(content: Content, advice: str) -> Iterator[tuple[str, object]]:
    for number, line in content.lines():
        if line.strip():
            place = f"{content.name} line {number}"
            with reading(place, advice):
                try:
                    record = parsed(line.rstrip("\n"))
                except json.JSONDecodeError as error:
                    raise Invalid(f"{place} is not JSON ({error.msg}, column {error.colno}); {advice}") from None
            yield place, record


def _entries(content: Content, advice: str) -> Iterator[tuple[str, object]]:
    """Of one list, entry by entry, however long it is."""
    with reading(content.name, advice), content.path.open(encoding="utf-8-sig") as stream:
        try:
            for number, (line, entry) in enumerate(elements(stream.read), start=1):
                yield f"{content.name} entry {number} (line {line})", entry
        except json.JSONDecodeError as error:
            where = f"line {error.lineno} column {error.colno}"
            raise Invalid(f"{content.name} is not JSON ({error.msg}, {where}); {advice}") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_binary(name: str, content: bytes) -> None:
    for magic, what, remedy in _BINARY:
        if content.startswith(magic):
            raise Invalid(f"{name} is {what}; {remedy}")
    place, magic = _TAR
    if content[place : place + len(magic)] == magic:
        raise Invalid(f"{name} is a tar archive; unpack it with tar")


def _refuse_foreign(name: str, beginning: str) -> None:
    if not beginning.strip():
        raise Invalid(f"{name} holds no text; write some, or leave the dataset out")
    for pattern, what, remedy in _TEXTS:
        if re.match(pattern, beginning):
            raise Invalid(f"{name} is {what}; {remedy}")
    first = beginning.partition("\n")[0]
    if any(_is_header(cells) for mark in ",\t;" for cells in csv.reader([first], delimiter=mark)):
        raise Invalid(f"{name} is a table with the columns {first.strip()!r}; write its rows as JSON lines")


def _is_header(cells: list[str]) -> bool:
    names = [cell.strip().lower() for cell in cells]
    wanted = "text" in names or {"prompt", "completion"} <= set(names)
    return wanted and len(names) > 1 and all(re.fullmatch(r"[\w.-]+", name) for name in names)
