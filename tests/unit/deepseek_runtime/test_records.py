"""What a dataset's file holds is read from its content; what isn't data is refused by name, line and remedy."""

import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.data.records import read_content, records, text_of

ADVICE = "write it so"
LINE = '{"text": "hello"}'
NAMES = ("corpus", "corpus.txt", "corpus.ndjson", "corpus.jsonl", "corpus.JSONL", "corpus.json", "corpus.md")


def file_of(folder: Path, content: bytes | str, name: str = "corpus") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(file: Path) -> list[tuple[str, str]]:
    """Each record's `text` with its place behind the file's name."""
    content = read_content(file)
    found = [(place, text_of(place, record, "text", ADVICE)) for place, record in records(content, ADVICE)]
    return [(place.removeprefix(f"dataset {file} "), text) for place, text in found]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (f"{LINE}\n{LINE}\n", [("line 1", "hello"), ("line 2", "hello")]),
        (f"\ufeff{LINE}", [("line 1", "hello")]),
        (f"\n\n{LINE}\r\n  \r\n{LINE}\r\n", [("line 3", "hello"), ("line 5", "hello")]),
        (f"[{LINE},\n {LINE}]", [("entry 1 (line 1)", "hello"), ("entry 2 (line 2)", "hello")]),
        ('{"text": "a\\u0000b\\ud83d\\ude00", "score": NaN}', [("line 1", "a\0b\U0001f600")]),
        ('{ "text": "one\u2028two\x85three" }', [("line 1", "one\u2028two\x85three")]),
        (json.dumps({"text": "x" * 3_000_000}), [("line 1", "x" * 3_000_000)]),
    ],
    ids=["lines", "byte order mark", "CRLF and empty lines", "list", "escapes", "separators", "one long line"],
)
def test_json_is_read_alike_whatever_the_file_is_called(
    content: str, texts: list[tuple[str, str]], name: str, tmp_path: Path
) -> None:
    file = file_of(tmp_path, content, name)
    assert read_content(file).is_json
    assert read(file) == texts


PROSE = (
    "Once upon a time.\n",
    "[Chapter 1]\nOnce upon a time.",
    '["Stop!", she cried',
    "[[File:moon.png]] The moon.",
    "{% for x in y %}",
    "{ curly } braces",
    '"Stop!"',
    "12",
    "text, and more of it",
    "version 3 of git-lfs",
    "PAR1 is how a Parquet table begins; ORC and PK are others",
)


@pytest.mark.parametrize("text", PROSE)
@pytest.mark.parametrize("name", ["corpus", "corpus.txt", "corpus.md", "corpus.tex"])
def test_prose_stays_prose(text: str, name: str, tmp_path: Path) -> None:
    content = read_content(file_of(tmp_path, text, name))
    assert not content.is_json
    assert content.text == text


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.ndjson", "a.Json"])
def test_name_that_promises_json_is_believed_when_the_content_is_none(name: str, tmp_path: Path) -> None:
    """A first line that is broken must not turn a dataset into prose."""
    file = file_of(tmp_path, f"broken\n{LINE}\n", name)
    assert read_content(file).is_json
    with pytest.raises(Invalid, match="line 1 is not JSON"):
        read(file)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jsonl", LINE)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"))
    return buffer.getvalue()


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
FOREIGN: dict[str, tuple[bytes | str, str]] = {
    "gzip": (gzip.compress(LINE.encode()), "is a gzip archive; unpack it"),
    "xz": (lzma.compress(LINE.encode()), "is an xz archive"),
    "zstd": (b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51", "is a Zstandard archive"),
    "zip": (zipped(), "is a zip archive; unpack it"),
    "tar": (tarred(), "is a tar archive"),
    "parquet cut": (b"PAR1\x15\x04\x15\x00\x00\x00\x80\xff", "is a Parquet table that was cut off; copy it again"),
    "parquet encrypted": (b"PARE\x15\x04\x15\x00\xff\x00PARE", "is an encrypted Parquet table"),
    "arrow": (b"ARROW1\x00\x00\xff\xff\xff\xff", "is an Arrow table"),
    "sqlite": (b"SQLite format 3\x00\x10\x00", "is an SQLite database"),
    "numpy": (b"\x93NUMPY\x01\x00", "is a numpy array"),
    "pickle": (b"\x80\x04\x95\x0b\x00\x00", "is a Python pickle"),
    "UTF-16": (LINE.encode("utf-16"), "is text in UTF-16; write it in UTF-8"),
    "UTF-16 without a mark": (LINE.encode("utf-16-le"), "line 1 holds a NUL byte"),
    "UTF-32": (LINE.encode("utf-32-be"), "line 1 holds a NUL byte"),
    "Git LFS": (POINTER, "is a Git-LFS pointer; fetch the file itself with git lfs pull"),
    "HTML": ("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is an HTML page; download the file itself"),
    "HTML without a type": ("<html lang='en'><head>", "is an HTML page"),
    "S3": ("<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code></Error>", "is an object store's error"),
    "PDF": ("%PDF-1.7\n1 0 obj", "is a PDF"),
    "CSV": ('id,text\n1,"hello"\n', "is a table with the columns 'id,text'; write its rows as JSON lines"),
    "CSV of pairs": ("Prompt;Completion\na;b\n", "is a table with the columns"),
    "TSV": ("prompt\tcompletion\na\tb\n", "is a table with the columns"),
    "NUL": (f"{LINE}\n{LINE}\0\n", "line 2 holds a NUL byte"),
    "Latin-1": (
        f"{LINE}\n{LINE}\n".encode() + '{"text": "\xe9"}\n'.encode("latin-1"),
        "line 3 is no UTF-8 (byte 0xe9)",
    ),
    "Latin-1 after a mark": (b"\xef\xbb\xbfone\ntwo\xe9", "line 2 is no UTF-8 (byte 0xe9)"),
    "surrogates in UTF-8": (b"one\n\xed\xa0\xbd", "line 2 is no UTF-8 (byte 0xed)"),
    "cut in a character": ("one\ntw\u00f6".encode()[:-1], "line 2 is no UTF-8 (byte 0xc3)"),
    "empty": ("", "holds no text"),
    "blank": ("\ufeff \r\n\n", "holds no text"),
}


@pytest.mark.parametrize("kind", sorted(FOREIGN))
@pytest.mark.parametrize("name", ["train.jsonl", "corpus.txt", "data"])
def test_what_is_no_data_is_refused_by_name_with_what_to_do(kind: str, name: str, tmp_path: Path) -> None:
    content, words = FOREIGN[kind]
    file = file_of(tmp_path, content, name)
    with pytest.raises(Invalid) as caught:
        read_content(file)
    assert str(caught.value).startswith(f"dataset {file} {words}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON"),
        ("{'text': 'a'}", "line 2 is not JSON (Expecting property name enclosed in double quotes, column 2)"),
        ('{"text": "a"', "line 2 is not JSON"),
        ('{"text": "a"}{"text": "b"}', "line 2 is not JSON (Extra data, column 14)"),
        ('{"text": "a\tb"}', "line 2 is not JSON (Invalid control character at, column 12)"),
        ("[" * 10_000, "line 2 can't be read: it is nested too deeply"),
        ('{"text": ' * 10_000, "line 2 can't be read: it is nested too deeply"),
        ('{"text": "a", "id": ' + "9" * 5000 + "}", "line 2 can't be read: Exceeds the limit (4300"),
        ('{"text": "a", "text": "b"}', "line 2 can't be read: the key 'text' stands twice"),
        ('{"text": "hi \\ud83d there"}', "line 2: 'text' holds half of a surrogate pair (\\ud83d) at character 4"),
        ('{"text": "\\ude00\\ud83d"}', "line 2: 'text' holds half of a surrogate pair (\\ude00) at character 1"),
        ('{"text": true}', "line 2: 'text' is true, no text"),
        ('{"text": 7}', "line 2: 'text' is 7, no text"),
        ('{"text": NaN}', "line 2: 'text' is NaN, no text"),
        ('{"text": -Infinity}', "line 2: 'text' is -Infinity, no text"),
        ('{"text": 1e999}', "line 2: 'text' is Infinity, no text"),
        ('{"text": null}', "line 2: 'text' is null, no text"),
        ('{"text": ["a", "b"]}', 'line 2: \'text\' is ["a", "b"], no text'),
        ('{"text": {"a": "b"}}', 'line 2: \'text\' is {"a": "b"}, no text'),
        ('{"Text": "a"}', "line 2 has no 'text', only 'Text'"),
        ('{"messages": [], "id": 1}', "line 2 has no 'text', only 'id', 'messages'"),
        ("{}", "line 2 has no 'text', only nothing"),
        ('["a", "b"]', 'line 2 is ["a", "b"], no JSON object'),
        ('"a"', 'line 2 is "a", no JSON object'),
        ("true", "line 2 is true, no JSON object"),
        ("NaN", "line 2 is NaN, no JSON object"),
        ("text", "line 2 is not JSON (Expecting value, column 1)"),
    ],
)
def test_line_that_holds_no_example_is_named_with_what_to_write(line: str, words: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, f"{LINE}\n{line}\n{LINE}\n")
    with pytest.raises(Invalid) as caught:
        read(file)
    said = str(caught.value)
    assert said.startswith(f"dataset {file} {words}")
    assert ADVICE in said or "surrogate" in said
    assert len(said) < 1000
    said.encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"text": "a"}, {"text": 7}]', "entry 2 (line 1): 'text' is 7, no text"),
        ('[{"text": "a"}, "b"]', 'entry 2 (line 1) is "b", no JSON object'),
        ('[{"text": "a"},\n {"text" "b"}]', "is not JSON (Expecting ':' delimiter, line 2 column 10)"),
        ('[{"text": "a"}]\n[{"text": "b"}]', "is not JSON (Extra data, line 2 column 1)"),
        ('{\n  "text": "a"\n}', "line 1 is not JSON"),
    ],
)
def test_json_of_another_shape_says_where(content: str, words: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, content)
    with pytest.raises(Invalid) as caught:
        read(file)
    assert str(caught.value).startswith(f"dataset {file} {words}")


def test_what_is_no_file_is_told_with_the_field_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "link").symlink_to("../../blobs/4d7a2146")
    (tmp_path / "circle").symlink_to("circle")
    for name, words in (
        ("absent", "No such file or directory"),
        ("blobs", "Is a directory"),
        ("link", "is a link to ../../blobs/4d7a2146, which is not there"),
        ("circle", "circle"),
        ("blobs/a/b", "No such file or directory"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null byte"),
    ):
        with pytest.raises(Invalid) as caught:
            read_content(tmp_path / name)
        assert words in str(caught.value)
        assert "source.uri" in str(caught.value) or "link" in str(caught.value)


def test_disk_that_fails_is_not_the_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, *_: object, **__: object) -> bytes:
        raise OSError(5, "Input/output error", str(self))

    file = file_of(tmp_path, LINE)
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        read_content(file)


def test_content_has_one_name_whatever_the_file_is_called(tmp_path: Path) -> None:
    one, other = file_of(tmp_path, LINE, "a"), file_of(tmp_path, LINE, "b")
    assert read_content(one).sha256 == read_content(other).sha256
    assert read_content(one).sha256 != read_content(file_of(tmp_path, LINE + "\n", "b")).sha256


def test_a_line_that_no_memory_holds_is_told_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_runtime.trainer.data.records.memory_bytes", lambda: 3 << 20)
    (tmp_path / "d.jsonl").write_bytes(b"{}\n" + b"x" * (5 << 20))
    with pytest.raises(Invalid, match="line 2 alone is larger than this machine's memory"):
        read_content(tmp_path / "d.jsonl")
    (tmp_path / "d.jsonl").write_bytes((b"x" * (2 << 20) + b"\n") * 4)
    read_content(tmp_path / "d.jsonl")
