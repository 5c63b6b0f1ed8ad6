"""What lies on a volume is believed only when it is whole."""

from pathlib import Path

import pytest

from deepseek_runtime.checkpoint.manifest import Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.volume import (
    Damaged,
    Volume,
    commit,
    describe,
    read_manifest,
    verify_hashes,
    verify_sizes,
)
from tests.unit.pods.manifests import checkpoint


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


def test_torn_directories_are_ignored_and_pruned(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    whole = saved(volume, "a", 2)
    for torn in (volume.torn_directory("a", 4), volume.step_directory("a", 6), tmp_path / "exports" / "_tmp-9"):
        torn.mkdir(parents=True)
        (torn / "rank-0").write_bytes(b"half")
    assert volume.checkpoints() == {"a": [whole]}
    assert [path.name for path in volume.prune_torn()] == ["_tmp-step-00000004", "step-00000006", "_tmp-9"]
    assert volume.checkpoints() == {"a": [whole]}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["step-00000002"]


def test_manifest_that_names_another_incarnation_is_not_believed(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    saved(volume, "a", 2)
    (tmp_path / "a").rename(tmp_path / "b")
    assert volume.checkpoints() == {"b": []}


def test_deleted_checkpoint_is_gone(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    doomed = saved(volume, "a", 2)
    volume.delete(doomed)
    assert list((tmp_path / "a").iterdir()) == []
    volume.delete(doomed)


def test_manifest_and_origin_of_damaged_bytes_are_none(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    whole = saved(volume, "a", 2)
    saved(volume, "a", 4)
    (volume.step_directory("a", 4) / "manifest.json").write_bytes(b'{"formatVersion": 1, "kind": "\xff\xfe')
    (tmp_path / "a" / "origin.json").write_bytes(b"\x80")
    assert (volume.checkpoints(), volume.origins()) == ({"a": [whole]}, {})


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


def test_exports_are_listed_apart_from_checkpoints(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    torn = tmp_path / "exports" / "_tmp-7"
    torn.mkdir(parents=True)
    export = Manifest(**{**vars(checkpoint("a", 7)), "kind": "Export"})
    commit(torn, volume.export_directory(7), export)
    assert volume.exports() == [export]
    assert volume.checkpoints() == {}
    assert read_manifest(volume.export_directory(8)) is None


def test_volume_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "not-yet")
    assert (volume.checkpoints(), volume.origins(), volume.exports(), volume.prune_torn()) == ({}, {}, [], [])
