"""Room on a claim, by the pod's own command: what nobody uses any more goes, longest unused first, and nothing else does."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sources.fetches import MIB, Fetch, Place, content
from tests.support.s3 import S3, serving

BUCKET = "team-models"
MINE, THEIRS = "5e1f-mine", "07e4-theirs"
DAY_S = 24 * 3600.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with serving(tmp_path_factory.mktemp("server") / "s3") as server:
        for seed, name in enumerate(("one", "two", "three", "four")):
            server.put(BUCKET, name, {"config.json": b"{}", "model.safetensors": content(4 * MIB, seed)})
        yield server


class Claim(Place):
    """A claim of 64 MiB of margin and room for three models of 4 MiB, and what its operator says of it."""

    def fetched(self, name: str, days: float = 0.0, uid: str = MINE) -> str:
        """A model that was last asked for so long ago; its folder below sources/."""
        said = self.fetch(f"s3://{BUCKET}/{name}", DEEPSEEK_CLAIM_UID=uid).said
        folder = str(said["source"]["folder"])
        self.asked_for(folder, days)
        return folder.removeprefix("sources/")

    def asked_for(self, folder: str, days: float) -> None:
        then = time.time() - days * DAY_S
        os.utime(f"{self.claim / folder}.json", (then, then))

    def for_room(self, name: str, named: Sequence[str] = (), age_s: float = 0.0, spared: Sequence[str] = ()) -> Fetch:
        """A fetch before which others may go."""
        usage = {"named": [*named], "lookedAt": time.time() - age_s, "spared": [*spared]}
        return self.fetch(f"s3://{BUCKET}/{name}", DEEPSEEK_CLAIM_UID=MINE, DEEPSEEK_CLAIM_USAGE=json.dumps(usage))

    def has(self, folder: str) -> bool:
        return (self.claim / "sources" / folder / "model.safetensors").exists()


@pytest.fixture
def claim(tmp_path: Path, s3: S3) -> Iterator[Claim]:
    path = tmp_path / "claim"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=77m", "tmpfs", path], check=True)
    try:
        yield Claim(path, "", s3.variables)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture(scope="module")
def filled(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """A claim with three models, and their folders below sources/."""
    path = tmp_path_factory.mktemp("filled") / "claim"
    path.mkdir()
    there = Claim(path, "", s3.variables)
    return path, tuple(there.fetched(name) for name in ("one", "two", "three"))


@pytest.fixture
def three(claim: Claim, filled: tuple[Path, tuple[str, ...]]) -> tuple[str, ...]:
    """All that the claim has room for: asked for three days ago, two, and one."""
    path, folders = filled
    shutil.copytree(path, claim.claim, dirs_exist_ok=True)
    for days, folder in zip((3, 2, 1), folders, strict=True):
        claim.asked_for(f"sources/{folder}", days)
    return folders


def test_what_was_used_last_goes_last_and_no_more_goes_than_lacks(claim: Claim, three: tuple[str, ...]) -> None:
    fetch = claim.for_room("four")
    assert fetch.ended() == 0, fetch.log.read_text()
    assert [claim.has(folder) for folder in three] == [False, True, True]
    assert fetch.said["source"]["evicted"] == [f"{three[0]} (4.0 MiB)"]
    assert f"sources/{three[0]} went from the claim" in fetch.log.read_text()
    left = sorted(path.name for path in (claim.claim / "sources" / three[0]).parent.iterdir())
    assert left == [f"{Path(three[0]).name}.lock"]


def test_what_is_named_never_goes_whatever_lacks(claim: Claim, three: tuple[str, ...]) -> None:
    fetch = claim.for_room("four", named=three)
    assert fetch.ended() == 73
    assert "nothing was fetched, and nothing went: what nobody uses any more is 0 bytes" in fetch.said["message"]
    assert all(claim.has(folder) for folder in three)


def test_what_is_named_counts_as_used_until_it_is_not(claim: Claim, three: tuple[str, ...]) -> None:
    assert claim.for_room("four", named=three).ended() == 73
    fetch = claim.for_room("four", named=[three[1], f"{three[2]}/data/a.jsonl"])
    assert fetch.ended() == 73, "a moment ago it was in use"
    claim.asked_for(f"sources/{three[0]}", 0.1)
    assert claim.for_room("four", named=[three[1], f"{three[2]}/data/a.jsonl"]).ended() == 0
    assert [claim.has(folder) for folder in three] == [False, True, True]


def test_what_was_asked_for_since_the_operator_looked_stays(claim: Claim, three: tuple[str, ...]) -> None:
    assert claim.fetch(f"s3://{BUCKET}/one", DEEPSEEK_CLAIM_UID=MINE).ended() == 0
    assert claim.for_room("four", age_s=600).ended() == 0
    assert [claim.has(folder) for folder in three] == [True, False, True]


def test_an_old_look_is_none(claim: Claim, three: tuple[str, ...]) -> None:
    fetch = claim.for_room("four", age_s=3600)
    assert fetch.ended() == 73
    assert "which folders are in use was looked up 60 minutes ago; the next try knows it" in fetch.said["message"]
    assert all(claim.has(folder) for folder in three)


def test_nothing_goes_where_all_of_it_would_not_be_enough(claim: Claim, three: tuple[str, ...]) -> None:
    (claim.claim / "mine.bin").write_bytes(b"x" * (40 * MIB))
    fetch = claim.for_room("four", named=three[:2])
    assert fetch.ended() == 73
    assert "what nobody uses any more is 4.0 MiB" in fetch.said["message"]
    assert all(claim.has(folder) for folder in three)


def test_what_another_claim_of_the_volume_asked_for_stays(claim: Claim, three: tuple[str, ...]) -> None:
    (claim.claim / "sources" / f"{three[0]}.claims").write_text(json.dumps({"uids": [THEIRS]}))
    (claim.claim / "sources" / f"{three[1]}.claims").unlink()  # As an earlier release of the operator left it.
    claim.fetched("three", 1, uid=THEIRS)
    assert claim.for_room("four").ended() == 73
    assert all(claim.has(folder) for folder in three)


def test_what_is_there_is_found_without_a_free_byte_and_stays_where_nobody_could_note_who_asked(
    claim: Claim, three: tuple[str, ...]
) -> None:
    filler = claim.claim / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    fetch = claim.fetch(f"s3://{BUCKET}/one", DEEPSEEK_CLAIM_UID=THEIRS)
    assert fetch.ended() == 0, fetch.log.read_text()
    filler.unlink()
    claim.asked_for(f"sources/{three[0]}", 3)
    assert claim.for_room("four", named=three[1:]).ended() == 73
    assert claim.has(three[0])


def test_what_can_not_be_fetched_again_stays(claim: Claim, three: tuple[str, ...]) -> None:
    assert claim.for_room("four", spared=["s3"]).ended() == 73
    assert all(claim.has(folder) for folder in three)


def test_what_others_laid_on_the_claim_stays(claim: Claim, three: tuple[str, ...]) -> None:
    root = claim.claim / "sources"
    (root / three[0] / "notes.txt").write_text("mine")
    (root / three[1] / "link").symlink_to(root / three[0])
    (root / f"{three[2]}.json").write_text("{}")
    assert claim.for_room("four").ended() == 73
    assert all(claim.has(folder) for folder in three)


def test_no_link_and_no_forged_manifest_leads_out_of_the_folder(claim: Claim, three: tuple[str, ...]) -> None:
    kept = three[0]
    for other in three[1:]:
        shutil.rmtree(claim.claim / "sources" / other)
    place = (claim.claim / "sources" / kept).parent
    precious = claim.claim / "precious"
    shutil.copytree(claim.claim / "sources" / kept, precious)
    said = json.loads((place / f"{Path(kept).name}.json").read_text())
    # A folder that is a link to another, one behind a link, and a manifest that names what lies elsewhere.
    (place / ("a" * 40)).symlink_to(precious)
    (place.parent / "behind").mkdir()
    (place.parent / "linked").symlink_to(place.parent / "behind")
    forged = place.parent / "behind" / ("b" * 40)
    forged.mkdir()
    out = {**said, "files": [{**one, "path": f"../../../../precious/{one['path']}"} for one in said["files"]]}
    for path, told in ((place / f"{'a' * 40}.json", said), (place.parent / "behind" / f"{'b' * 40}.json", out)):
        path.write_text(json.dumps(told))
        path.with_suffix(".claims").write_text(json.dumps({"uids": [MINE]}))
        os.utime(path, (1, 1))
    (claim.claim / "filler").write_bytes(b"x" * (4 * MIB))
    fetch = claim.for_room("four")
    assert fetch.ended() == 0, fetch.log.read_text()
    assert fetch.said["source"]["evicted"] == [f"{kept} (4.0 MiB)"]
    assert sorted(path.name for path in precious.iterdir()) == ["config.json", "model.safetensors"]


def test_what_an_eviction_left_when_it_was_killed_goes_with_the_next(claim: Claim, three: tuple[str, ...]) -> None:
    (claim.claim / "sources" / three[0]).rename(claim.claim / "sources" / f"{three[0]}.going")
    fetch = claim.for_room("four", named=three[1:])
    assert fetch.ended() == 0, fetch.log.read_text()
    assert "evicted" not in fetch.said["source"]
    assert not list(claim.claim.rglob("*.going"))


def test_a_part_that_nobody_has_gone_on_with_for_a_day_goes(claim: Claim, three: tuple[str, ...]) -> None:
    whole = claim.claim / "sources" / three[0]
    part = whole.with_name(f"{whole.name}.part")
    whole.rename(part)
    whole.with_name(f"{whole.name}.json").unlink()
    for path in (part, *part.rglob("*")):
        os.utime(path, (1, 1))
    assert claim.for_room("four", named=three[1:]).ended() == 0
    assert not part.exists()
    assert all(claim.has(folder) for folder in three[1:])


def test_two_at_once_count_on_no_byte_twice(claim: Claim, s3: S3, three: tuple[str, ...]) -> None:
    s3.put(BUCKET, "five", {"config.json": b"{}", "model.safetensors": content(4 * MIB, 5)})
    fetches = [claim.for_room(name, named=[three[2]]) for name in ("four", "five")]
    assert [fetch.ended() for fetch in fetches] == [0, 0], [fetch.log.read_text() for fetch in fetches]
    gone = sorted(one for fetch in fetches for one in fetch.said["source"]["evicted"])
    assert gone == sorted(f"{folder} (4.0 MiB)" for folder in three[:2])
    assert claim.has(three[2])
