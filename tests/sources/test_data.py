"""Data of a training from a mirror of the hub and from a real S3 server, by the pod's own command: the part that is named, once,
as promised, whatever happens meanwhile."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deepseek_runtime.trainer.data.files import files_of
from tests.sources.fetches import MIB, Place, content, digest
from tests.support.mirror import Mirror
from tests.support.s3 import S3, flip, serving

NAME = "datasets/team/support"
TABLE = "2026/train-00000-of-00002.parquet"
FILES = {
    TABLE: content(6 * MIB, 1),
    "2026/train-00001-of-00002.parquet": content(MIB, 2),
    "2026/test.parquet": content(MIB, 3),
    "notes.jsonl": b'{"text": "a"}\n',
}
TRAIN = {name: body for name, body in FILES.items() if "/train-" in name}
BESIDE = {"README.md": b"---\n", ".gitattributes": b"*", "2026/_SUCCESS": b""}


@dataclass
class Bed:
    """A claim, and where its data is published: `uri` is of the path that is put behind it."""

    place: Place
    uri: str
    mirror: Mirror | None = None
    s3: S3 | None = None

    def fetch(self, path: str, **variables: str) -> Any:
        return self.place.fetch(f"{self.uri}/{path}", DEEPSEEK_SOURCE_WANT="Data", **variables)

    def spoil(self, name: str) -> None:
        """One byte of it is another, and stays so."""
        if self.mirror is not None:
            self.mirror.flips[name] = 2
        if self.s3 is not None:
            flip(self.s3.file("corpora", f"support/{name}"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Bed]:
    with Mirror().serving() as mirror:
        mirror.push(NAME, {**FILES, **BESIDE})
        yield Bed(claim(tmp_path, {"HF_ENDPOINT": mirror.url}), f"hf://{NAME}@main", mirror=mirror)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bed]:
    with serving(tmp_path / "s3") as s3:
        s3.put("corpora", "support", {**FILES, **BESIDE})
        yield Bed(claim(tmp_path, s3.variables), "s3://corpora/support", s3=s3)


@pytest.fixture(params=["hub", "bucket"])
def bed(request: pytest.FixtureRequest) -> Bed:
    found: Bed = request.getfixturevalue(request.param)
    return found


def claim(tmp_path: Path, told: dict[str, str]) -> Place:
    path = tmp_path / "claim"
    path.mkdir()
    return Place(path, "", told)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("2026/train-*.parquet", sorted(TRAIN)),
        (TABLE, [TABLE]),
        ("2026", sorted(name for name in FILES if name.startswith("2026/"))),
        ("**/test.parquet", ["2026/test.parquet"]),
    ],
)
def test_the_part_that_is_named_is_fetched_once_and_read_whole(bed: Bed, path: str, names: list[str]) -> None:
    source = bed.fetch(path).said["source"]
    folder = bed.place.claim / source["folder"]
    there = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    # A bucket's paths begin where its pattern does, or its file or folder.
    stem = "2026/" if bed.s3 is not None and path.startswith("2026/") else ""
    wanted = {name.removeprefix(stem): FILES[name] for name in names}
    assert there == wanted
    assert source["digest"] == digest(wanted)
    read = files_of(folder / path.removeprefix(stem))
    assert sorted(file.relative_to(folder).as_posix() for file in read) == sorted(wanted)
    assert bed.fetch(path).said["source"]["fetchedBytes"] == 0
    assert bed.place.beside == []


def test_a_part_of_a_commit_stands_beside_another_and_both_say_the_commit(hub: Bed) -> None:
    first, second = (hub.fetch(path).said["source"] for path in ("2026/test.parquet", "notes.jsonl"))
    assert hub.mirror is not None
    assert first["revision"] == second["revision"] == hub.mirror.names[NAME]["main"]
    assert first["folder"] != second["folder"]


def test_a_commit_is_used_without_asking_and_a_branch_is_when_the_hub_is_offline(hub: Bed) -> None:
    commit = hub.fetch("notes.jsonl").said["source"]["revision"]
    assert hub.mirror is not None
    hub.mirror.asked.clear()
    named = Bed(hub.place, hub.uri.replace("main", commit))
    assert named.fetch("notes.jsonl").said["source"]["revision"] == commit
    assert hub.fetch("notes.jsonl", HF_HUB_OFFLINE="1").said["source"]["revision"] == commit
    assert hub.mirror.asked == []
    other = hub.fetch("2026", HF_HUB_OFFLINE="1")
    assert other.ended() == 64
    assert f"revision {commit} is not on it whole" in other.said["message"]


def test_what_else_comes_to_a_bucket_is_no_other_revision_of_the_part(bucket: Bed) -> None:
    first = bucket.fetch("2026/train-*.parquet").said["source"]
    assert bucket.s3 is not None
    bucket.s3.put("corpora", "support/2026", {"later.parquet": b"x"})
    assert bucket.fetch("2026/train-*.parquet").said["source"]["folder"] == first["folder"]
    bucket.s3.put("corpora", "support/2026", {"train-00002-of-00003.parquet": b"x"})
    assert bucket.fetch("2026/train-*.parquet").said["source"]["folder"] != first["folder"]


def test_a_killed_fetch_goes_on_where_it_was(hub: Bed) -> None:
    assert hub.mirror is not None
    hub.mirror.pause_s = 0.05
    first = hub.fetch(TABLE)
    hub.place.has_come(Path(TABLE).name, 4 * MIB)
    first.kill()
    hub.mirror.pause_s = 0.0
    assert hub.fetch(TABLE).said["source"]["fetchedBytes"] <= 2 * MIB
    assert any(one.endswith(f"{TABLE} bytes={4 * MIB}-") for one in hub.mirror.asked)


def test_a_killed_fetch_of_a_bucket_goes_on_where_it_was(bucket: Bed) -> None:
    assert bucket.s3 is not None
    large = content(4 * MIB, 9) * 64
    bucket.s3.put("corpora", "support/large", {"a.jsonl": large}, in_parts=True)
    first = bucket.fetch("large/a.jsonl")
    bucket.place.has_come("a.jsonl", 8 * MIB)
    first.kill()
    (part,) = bucket.place.claim.rglob("a.jsonl")
    there = part.stat().st_size
    assert bucket.fetch("large/a.jsonl").said["source"]["fetchedBytes"] == len(large) - there


def test_a_flipped_byte_is_refused_and_nothing_of_it_stays(bed: Bed) -> None:
    bed.spoil(TABLE)
    fetch = bed.fetch("2026/train-*.parquet")
    assert fetch.ended() == 65, fetch.log.read_text()
    assert "came twice with another checksum than the source promises" in fetch.said["message"]
    assert not any(bed.place.claim.rglob("*.json"))


def test_sums_in_the_folder_that_is_named_are_held_to(bucket: Bed) -> None:
    assert bucket.s3 is not None
    bodies = {name.removeprefix("2026/"): body for name, body in FILES.items() if name.startswith("2026/")}
    bucket.s3.put("corpora", "sums", bodies, in_parts=True)
    lines = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in bodies.items())
    bucket.s3.put("corpora", "sums", {"SHA256SUMS": lines.encode()})
    sums = Bed(bucket.place, "s3://corpora", s3=bucket.s3)
    assert sorted(Path(name).name for name in bucket.place.folder(sums.fetch("sums").said)) == sorted(bodies)
    flip(bucket.s3.file("corpora", "sums/test.parquet"))
    for path in ("sums/test.parquet", "sums/*.parquet"):
        # Its ETag is the same still, and so is the revision: nobody is to find what came before.
        other = claim_beside(bucket.place, path)
        fetch = Bed(other, "s3://corpora").fetch(path)
        assert fetch.ended() == 65, fetch.log.read_text()
        assert "than the source promises, sha256:" in fetch.said["message"]


def claim_beside(place: Place, path: str) -> Place:
    other = place.claim.with_name(hashlib.sha256(path.encode()).hexdigest()[:8])
    other.mkdir()
    return Place(other, "", place.told)


def test_ten_fetches_of_one_part_are_one_download(bed: Bed) -> None:
    fetches = [bed.fetch("2026/train-*.parquet") for _ in range(10)]
    assert sorted(fetch.said["source"]["fetchedBytes"] > 0 for fetch in fetches) == [False] * 9 + [True]


@pytest.mark.parametrize("path", ["2025/*.parquet", "train", "2026/_SUCCES"])
def test_a_part_that_is_not_there_is_refused_with_what_to_write(bed: Bed, path: str) -> None:
    fetch = bed.fetch(path)
    assert fetch.ended() == 64, fetch.log.read_text()
    assert (
        "correct the bucket or the prefix" in fetch.said["message"]
        or "or a folder of it, or a pattern" in fetch.said["message"]
    )
    assert not any(bed.place.claim.rglob("*.parquet"))


def test_the_token_is_for_the_mirror_alone(hub: Bed) -> None:
    assert hub.mirror is not None
    hub.mirror.tokens = frozenset({"hf_secret"})
    assert hub.fetch(TABLE).ended() == 77
    known = hub.fetch(TABLE, HF_TOKEN="hf_secret")
    assert known.ended() == 0, known.log.read_text()
    assert hub.mirror.leaked == []
    assert "hf_secret" not in known.log.read_text() + known.words.read_text()
