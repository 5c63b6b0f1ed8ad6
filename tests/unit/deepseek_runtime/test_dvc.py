"""Data that is pinned by DVC is what DVC has recorded, or it is refused with both digests. The digests here are of DVC 3.67.1's."""

import json
from pathlib import Path
from typing import Any

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset, Pin, read_spec
from deepseek_runtime.trainer.data.dvc import check

LINES, CRLF, FOLDER = (
    "ea405059015cd95c7fac18b4aaeea653",
    "f4ad92518e52e3c35a6d15ae18fe4d93",
    "a9cda3282bdd5d98ff31a43d08632a6f.dir",
)
RECORDS = {
    "a.jsonl": f"outs:\n- md5: {LINES}\n  size: 18\n  hash: md5\n  path: a.jsonl\n",
    "crlf.jsonl": f"outs:\n- md5: {CRLF}\n  size: 34\n  hash: md5\n  path: crlf.jsonl\n",
    "train": f"outs:\n- md5: {FOLDER}\n  size: 44\n  nfiles: 5\n  hash: md5\n  path: train\n",
}


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    content = {
        "a.jsonl": '{"text": "hello"}\n',
        "crlf.jsonl": '{"text": "one"}\r\n{"text": "two"}\r\n',
        "train/b.jsonl": '{"text": "x"}\n',
        "train/deep/a.jsonl": '{"text": "y"}\n',
        "train/_SUCCESS": "",
        "train/.hidden": "z",
        "train/ü.jsonl": '{"text": "ü"}\n',
        **{f"{name}.dvc": text for name, text in RECORDS.items()},
    }
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def pinned(claim: Path, name: str, *, file: str | None = None, md5: str | None = None) -> Dataset:
    return Dataset(claim / name, None, "Train", 1.0, "Text", Pin(claim / file if file else None, md5))


@pytest.mark.parametrize(("name", "md5"), [("a.jsonl", LINES), ("crlf.jsonl", CRLF), ("train", FOLDER)])
def test_what_dvc_recorded_is_taken(claim: Path, name: str, md5: str) -> None:
    check(pinned(claim, name, md5=md5))
    check(pinned(claim, name, file=f"{name}.dvc"))
    check(pinned(claim, name, file=f"{name}.dvc", md5=md5))


def test_text_that_dvc_2_hashed_with_the_line_ends_of_unix_is_taken(claim: Path) -> None:
    (claim / "unix.jsonl").write_bytes((claim / "crlf.jsonl").read_bytes().replace(b"\r\n", b"\n"))
    with pytest.raises(Invalid) as caught:
        check(pinned(claim, "unix.jsonl", md5="0" * 32))
    legacy = str(caught.value).partition("it has md5 ")[2][:32]
    check(pinned(claim, "crlf.jsonl", md5=legacy))
    whole = b"\r\n" * ((1 << 20) // 2 - 1) + b"a\r\n\r\r\n"
    for name, content in (("long", whole), ("long-unix", whole.replace(b"\r\n", b"\n"))):
        (claim / name).write_bytes(content)
    with pytest.raises(Invalid) as caught:
        check(pinned(claim, "long-unix", md5="0" * 32))
    check(pinned(claim, "long", md5=str(caught.value).partition("it has md5 ")[2][:32]))


def changed(path: Path) -> None:
    path.write_text(path.read_text() + " ")


@pytest.mark.parametrize(
    ("name", "harmed"),
    [("a.jsonl", "a.jsonl"), ("train", "train/b.jsonl"), ("train", "train/deep/a.jsonl"), ("train", "train/_SUCCESS")],
)
def test_changed_data_is_refused_with_both_digests(claim: Path, name: str, harmed: str) -> None:
    changed(claim / harmed)
    pin = {"a.jsonl": LINES, "train": FOLDER}[name]
    with pytest.raises(Invalid, match=rf"is not what .*{name}.dvc says: .* md5 [0-9a-f]{{32}}.*, pinned is {pin};"):
        check(pinned(claim, name, file=f"{name}.dvc"))


@pytest.mark.parametrize("act", ["added", "removed", "renamed"])
def test_folder_with_other_files_is_refused(claim: Path, act: str) -> None:
    file = claim / "train" / "b.jsonl"
    match act:
        case "added":
            (claim / "train" / "c.jsonl").write_text("")
        case "removed":
            file.unlink()
        case _:
            file.rename(claim / "train" / "c.jsonl")
    with pytest.raises(Invalid, match="the list of its files has md5"):
        check(pinned(claim, "train", md5=FOLDER))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("outs: [", "is no YAML"),
        ("", "has no outs[] of path a.jsonl (there: none)"),
        ("outs: 7", "has no outs[] of path a.jsonl"),
        (RECORDS["train"], "has no outs[] of path a.jsonl (there: train)"),
        ("outs: [{md5: HEAD, path: a.jsonl}]", 'has md5 "HEAD" for a.jsonl'),
        ("outs: [{path: a.jsonl}]", "has md5 null for a.jsonl"),
        ("!!python/object/apply:os.system [true]", "is no YAML"),
        ("[" * 10_000, "can't be read"),
        (RECORDS["a.jsonl"].replace(LINES, CRLF), f"records md5 {CRLF}, and datasets[].source.dvc.md5 is {LINES}"),
    ],
)
def test_record_that_says_nothing_is_refused(claim: Path, text: str, words: str) -> None:
    (claim / "a.jsonl.dvc").write_text(text)
    with pytest.raises(Invalid) as caught:
        check(pinned(claim, "a.jsonl", file="a.jsonl.dvc", md5=LINES))
    assert words in str(caught.value)


def test_what_is_not_there_is_told(claim: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.dvc: No such file"):
        check(pinned(claim, "a.jsonl", file="none.dvc"))
    with pytest.raises(Invalid, match="No such file or directory; check datasets"):
        check(pinned(claim, "none", md5=LINES))


@pytest.mark.parametrize("pin", [{}, {"md5": ""}, {"rev": "v1"}])
def test_pin_of_nothing_is_refused(pin: dict[str, Any]) -> None:
    dataset = {"source": {"path": "/a", "dvc": pin}}
    with pytest.raises(Invalid, match="dvc"):
        read_spec(json.dumps({"model": {"path": "/m"}, "datasets": [dataset], "hyperparameters": {}}))
