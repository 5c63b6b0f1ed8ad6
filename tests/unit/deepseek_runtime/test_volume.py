"""What lies on a volume is believed only when it is whole."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deepseek_runtime.checkpoint.integrity import Damaged, describe, verify_hashes, verify_sizes
from deepseek_runtime.checkpoint.manifest import Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.volume import Superseded, Volume, commit
from deepseek_runtime.contract import Ancestor
from tests.support.manifests import checkpoint


def saved(volume: Volume, incarnation: str, step: int, data: bytes = b"weights") -> Manifest:
    torn = volume.torn_directory(incarnation, step)
    torn.mkdir(parents=True)
    (torn / "rank-0").write_bytes(data)
    manifest = Manifest(**{**vars(checkpoint(incarnation, step)), "files": describe(torn)})
    commit(torn, volume.step_directory(incarnation, step), manifest)
    return manifest


def test_checkpoint_is_listed_once_it_is_committed(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    first, second = saved(volume, "a", 2), saved(volume, "a", 10)
    assert volume.checkpoints() == {"a": [first, second]}


def test_torn_directories_are_ignored_and_cleared(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    whole = saved(volume, "a", 2)
    exports = (
        volume.torn_export_directory("a", 9),
        volume.torn_export_directory("b-1", 9),
        tmp_path / "exports/_tmp-9",
    )
    for torn in (volume.torn_directory("a", 4), volume.step_directory("a", 6), *exports):
        torn.mkdir(parents=True)
        (torn / "rank-0").write_bytes(b"half")
    assert volume.checkpoints() == {"a": [whole]}
    assert [path.name for path in volume.clear(volume.past("a", []))] == [
        "_tmp-step-00000004",
        "step-00000006",
        "_tmp-a-9",
    ]
    assert volume.checkpoints() == {"a": [whole]}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["step-00000002"]
    # An earlier release's export has no name on it: it is an ancestor's for whoever has one.
    assert [path.name for path in volume.clear(volume.past("c", [Ancestor(1, "job-1", "b-1")]))] == [
        "_tmp-9",
        "_tmp-b-1-9",
    ]


def test_only_what_certainly_is_of_the_past_is_cleared(tmp_path: Path) -> None:
    """Attempt 1 starts late: attempts 2 and 3 write already, under the same step's name."""
    volume = Volume(tmp_path)
    for attempt, name in enumerate(("late", "second", "third", "third-again"), start=1):
        volume.claim(name, min(attempt, 3))
        volume.torn_directory(name, 4).mkdir(parents=True)
    assert volume.past("late", []) == {"late"}
    recorded = [Ancestor(1, "job-1", "never-came"), Ancestor(2, "job-2", None)]
    # A recorded attempt's other pods are told by their claims.
    assert volume.past("third", recorded) == {"third", "never-came", "late", "second", ""}
    volume.clear(volume.past("late", []))
    left = sorted(path.parent.name for path in tmp_path.glob("*/_tmp-*"))
    assert left == ["second", "third", "third-again"]


def test_link_in_the_place_of_a_torn_directory_leads_nowhere(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "volume")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("")
    (tmp_path / "volume" / "a").mkdir(parents=True)
    volume.torn_directory("a", 4).symlink_to(precious)
    (tmp_path / "volume" / "b").symlink_to(precious)
    volume.clear({"a", "b"})
    assert (precious / "file").exists()
    assert list((tmp_path / "volume" / "a").iterdir()) == []


def manifest_of(place: Path) -> Path:
    return place / "manifest.json"


def as_pipe(place: Path) -> None:
    os.mkfifo(manifest_of(place))


def as_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(manifest_of(place)))


def as_link(place: Path) -> None:
    manifest_of(place).symlink_to(place.parent / "step-00000002" / "manifest.json")


def as_link_in_a_ring(place: Path) -> None:
    manifest_of(place).symlink_to(manifest_of(place))


def as_device(place: Path) -> None:
    manifest_of(place).symlink_to("/dev/zero")


def as_directory(place: Path) -> None:
    manifest_of(place).mkdir()


def as_deep_nesting(place: Path) -> None:
    manifest_of(place).write_text("[" * 100_000 + "]" * 100_000)


def as_sparse_terabyte(place: Path) -> None:
    with manifest_of(place).open("wb") as stream:
        stream.truncate(1 << 40)


def as_other_step(place: Path) -> None:
    manifest_of(place).write_bytes(manifest_of(place.parent / "step-00000002").read_bytes())


def as_half(place: Path) -> None:
    manifest_of(place).write_bytes(manifest_of(place.parent / "step-00000002").read_bytes()[:-20])


def as_foreign_encoding(place: Path) -> None:
    manifest_of(place).write_bytes(b'{"formatVersion": 1, "kind": "\xff\xfe')


@pytest.mark.parametrize(
    "lies",
    [
        *(as_pipe, as_socket, as_link, as_link_in_a_ring, as_device, as_directory),
        *(as_deep_nesting, as_sparse_terabyte, as_other_step, as_half, as_foreign_encoding),
    ],
)
def test_manifest_that_is_none_is_passed_over_with_words(tmp_path: Path, lies: Callable[[Path], None]) -> None:
    said: list[str] = []
    volume = Volume(tmp_path, said.append)
    whole = saved(volume, "a", 2)
    volume.step_directory("a", 4).mkdir()
    lies(volume.step_directory("a", 4))
    assert volume.checkpoints() == {"a": [whole]}
    (sentence,) = said
    assert "step-00000004" in sentence
    assert "passed over" in sentence


def test_claim_or_origin_that_is_none_neither_hangs_nor_ends_an_attempt(tmp_path: Path) -> None:
    said: list[str] = []
    volume = Volume(tmp_path, said.append)
    for name in ("pipe", "deep", "text"):
        (tmp_path / name).mkdir()
    for file in ("claim.json", "origin.json"):
        os.mkfifo(tmp_path / "pipe" / file)
        (tmp_path / "deep" / file).write_text("[" * 100_000)
        (tmp_path / "text" / file).write_text('{"attempt": "9"}')
    assert not volume.is_superseded(1)
    assert volume.origins() == {}
    assert len(said) == 6


def test_manifest_that_names_another_incarnation_is_not_believed(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    saved(volume, "a", 2)
    (tmp_path / "a").rename(tmp_path / "b")
    assert volume.checkpoints() == {"b": []}


def test_deleted_checkpoint_is_gone(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    doomed = saved(volume, "a", 2)
    assert volume.delete(doomed, 1, "a")
    assert list((tmp_path / "a").iterdir()) == []
    assert volume.delete(doomed, 1, "a")


def test_deletion_that_sees_a_later_claim_puts_the_checkpoint_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(tmp_path)
    doomed = saved(volume, "a", 2)
    volume.claim("b", 2)
    really = os.rename

    def claimed_in_between(old: Path, new: Path) -> None:
        really(old, new)
        monkeypatch.undo()
        volume.claim("c", 3)

    monkeypatch.setattr(os, "rename", claimed_in_between)
    with pytest.raises(Superseded):
        volume.delete(doomed, 2, "b")
    assert volume.checkpoints()["a"] == [doomed]
    with pytest.raises(Superseded):
        volume.delete(doomed, 2, "b")
    assert volume.checkpoints()["a"] == [doomed]


def test_two_pods_of_one_attempt_delete_their_own_only(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    ancestors, own = saved(volume, "a", 2), saved(volume, "b", 4)
    volume.claim("b", 2)
    volume.claim("b-again", 2)
    assert not volume.delete(ancestors, 2, "b")
    assert volume.delete(own, 2, "b")
    assert volume.checkpoints()["a"] == [ancestors]


def test_nothing_is_committed_without_its_files_nor_over_what_is_there(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    whole = saved(volume, "a", 2)
    torn, final = volume.torn_directory("a", 4), volume.step_directory("a", 4)
    named = Manifest(**{**vars(checkpoint("a", 4)), "files": whole.files})
    with pytest.raises(FileNotFoundError):
        commit(torn, final, named)  # cleared away meanwhile: it isn't made anew
    assert not torn.exists()
    torn.mkdir()
    with pytest.raises(Damaged, match="rank-0 is missing"):
        commit(torn, final, named)
    assert not final.exists()
    (torn / "rank-0").write_bytes(b"weights")
    with pytest.raises(OSError, match="not empty"):
        commit(torn, volume.step_directory("a", 2), named)
    assert volume.checkpoints() == {"a": [whole]}


def test_missing_short_or_altered_file_is_damage(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    manifest = saved(volume, "a", 2)
    directory = volume.step_directory("a", 2)
    verify_sizes(directory, manifest)
    verify_hashes(directory, manifest.files)
    (directory / "rank-0").write_bytes(b"WEIGHTS")
    verify_sizes(directory, manifest)
    with pytest.raises(Damaged, match="sha256"):
        verify_hashes(directory, manifest.files)
    (directory / "rank-0").write_bytes(b"weight")
    with pytest.raises(Damaged, match="6 bytes"):
        verify_sizes(directory, manifest)
    (directory / "rank-0").unlink()
    with pytest.raises(Damaged, match="missing"):
        verify_sizes(directory, manifest)
    os.mkfifo(directory / "rank-0")
    with pytest.raises(Damaged, match="no regular file"):
        verify_sizes(directory, manifest)
    assert "no regular file" in str(volume.problem_of(manifest, manifest.files))


def test_later_attempts_claim_makes_an_earlier_one_a_zombie(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    volume.claim("a", 1)
    assert not volume.is_superseded(1)
    volume.claim("b", 2)
    assert volume.is_superseded(1)
    assert not volume.is_superseded(2)


def test_origins_are_read_back(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    origin = Origin(2, "job", "b", Position("a", 10))
    volume.write_origin(origin)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "origin.json").write_text("{torn")
    assert volume.origins() == {"b": origin}


def exported(volume: Volume, incarnation: str, step: int, data: bytes, attempt: int = 1) -> str:
    torn = volume.torn_export_directory(incarnation, step)
    torn.mkdir(parents=True)
    (torn / "model").write_bytes(data)
    parent = checkpoint(incarnation, step).position
    made = {**vars(checkpoint(incarnation, step, parent=parent)), "kind": "Export", "files": describe(torn)}
    return volume.commit_export(Manifest(**made), attempt)


def test_exports_are_listed_apart_from_checkpoints(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    assert exported(volume, "a", 7, b"weights") == "Made"
    assert [export.step for export in volume.exports()] == [7]
    assert volume.checkpoints() == {}
    assert volume.has_export_of(checkpoint("a", 7))
    assert not volume.has_export_of(checkpoint("b", 7))
    assert not volume.has_export_of(checkpoint("a", 8))


@pytest.mark.parametrize(("data", "came"), [(b"weights", "Same"), (b"others", "Another")])
def test_export_that_a_serving_may_have_mounted_stays(tmp_path: Path, data: bytes, came: str) -> None:
    volume = Volume(tmp_path)
    exported(volume, "a", 7, b"weights")
    mounted = os.open(volume.export_directory(7), os.O_RDONLY)
    assert exported(volume, "b", 7, data) == came
    assert os.listdir(mounted) == os.listdir(volume.export_directory(7))
    os.close(mounted)
    assert (volume.export_directory(7) / "model").read_bytes() == b"weights"
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["7"]


def test_zombies_export_is_none(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    volume.claim("b", 2)
    with pytest.raises(Superseded):
        exported(volume, "a", 7, b"weights")
    assert volume.exports() == []


def test_folder_without_a_manifest_gives_an_export_its_place_and_keeps_its_files(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    volume.export_directory(7).mkdir(parents=True)
    (volume.export_directory(7) / "somebodys").write_text("")
    assert exported(volume, "a", 7, b"weights") == "Made"
    assert (tmp_path / "exports" / "no-export-a-7" / "somebodys").exists()
    assert [export.step for export in volume.exports()] == [7]


def test_volume_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "not-yet")
    assert (volume.checkpoints(), volume.origins(), volume.exports(), volume.clear({"a"})) == ({}, {}, [], [])


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder in which this process is nobody in particular, whom the kernel refuses."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        Path(name).chmod(0o777)
        if os.geteuid():
            yield Path(name)
            return
        os.seteuid(65534)
        try:
            yield Path(name) / "volume"
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("place", ["a", "a/step-00000004", "a/step-00000004/rank-0"])
@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_what_nobody_may_look_into_is_passed_over_and_not_deleted(nobody: Path, place: str, mode: int) -> None:
    volume = Volume(nobody, lambda _: None)
    saved(volume, "b", 2)
    second = saved(volume, "a", 4)
    is_file = place.endswith("rank-0")
    (nobody / place).chmod(0 if is_file else mode)
    assert [m.step for held in volume.checkpoints().values() for m in held] == ([4, 2] if is_file else [2])
    assert volume.clear({"a", "b"}) == []
    assert volume.problem_of(second, second.files) is not None
    volume.exports(), volume.origins(), volume.is_superseded(1)
    (nobody / place).chmod(0o700)
    assert volume.checkpoints()["a"] == [second]


def test_failing_volume_is_an_error_and_no_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone for a moment must not look like a checkpoint without a manifest, which is cleared away."""
    volume = Volume(tmp_path)
    whole = saved(volume, "a", 2)
    really = Path.lstat

    def failing(path: Path) -> os.stat_result:
        if path.name == "manifest.json":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return really(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", failing)
        with pytest.raises(OSError, match="Stale"):
            volume.clear({"a"})
    assert volume.checkpoints() == {"a": [whole]}
