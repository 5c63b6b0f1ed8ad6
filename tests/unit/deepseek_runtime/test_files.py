"""A dataset's path may be a file, a folder or a pattern; what it names is read in one order, and nothing else is."""

from pathlib import Path

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.data.files import files_of

THERE = (
    "b.jsonl",
    "a.jsonl",
    "c.parquet",
    "_SUCCESS",
    ".hidden.jsonl",
    "deep/er/d.jsonl",
    "_old/e.jsonl",
    "x[1].jsonl",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in THERE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("absent.jsonl", ["absent.jsonl"]),
        ("", ["a.jsonl", "b.jsonl", "c.parquet", "deep/er/d.jsonl", "x[1].jsonl"]),
        ("deep", ["deep/er/d.jsonl"]),
        ("*.jsonl", ["a.jsonl", "b.jsonl", "x[1].jsonl"]),
        ("?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("**/*.jsonl", ["a.jsonl", "b.jsonl", "deep/er/d.jsonl", "x[1].jsonl"]),
        ("deep/*/*", ["deep/er/d.jsonl"]),
        ("*", ["a.jsonl", "b.jsonl", "c.parquet", "x[1].jsonl"]),
        ("_old/*", ["_old/e.jsonl"]),
        ("x[1].jsonl", ["x[1].jsonl"]),
    ],
)
def test_path_names_files_in_the_order_of_their_names(folder: Path, path: str, names: list[str]) -> None:
    assert [str(one.relative_to(folder)) for one in files_of(folder / path)] == names


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("*.csv", "matches no file: .* holds .hidden.jsonl, _SUCCESS, _old, a.jsonl, b.jsonl and 4 more"),
        ("none/*.jsonl", "there is no folder .*none"),
        ("empty", "holds no file"),
        ("empty/*", "matches no file: .*empty is empty"),
    ],
)
def test_path_that_names_nothing_is_refused_with_what_is_there(folder: Path, path: str, words: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(Invalid, match=words):
        files_of(folder / path)
