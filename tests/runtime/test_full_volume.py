"""A volume without room ends an attempt with words and 73, costs nothing that was saved, and the next attempt goes on."""

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from deepseek_runtime.checkpoint import room, volume
from deepseek_runtime.checkpoint.files import write_whole
from deepseek_runtime.checkpoint.room import Full
from deepseek_runtime.contract import ExitCode
from deepseek_runtime.trainer import export, saver
from deepseek_runtime.trainer.writing import HashedStream
from tests.runtime.pods import Attempt, spec
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
STEPS = {"hyperparameters.maxSteps": 3}


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def at_the_first_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(saver, "write_file", refuse)


def at_the_tensors(patch: pytest.MonkeyPatch) -> None:
    really = HashedStream.write

    def write(self: HashedStream, data: bytes) -> int:
        if self._path.suffix == ".distcp":
            with self._noting():
                refuse()
        return really(self, data)

    patch.setattr(HashedStream, "write", write)


def at_closing(patch: pytest.MonkeyPatch) -> None:
    """NFS and quotas tell only then."""
    patch.setattr(HashedStream, "fileno", refuse)


def at_small_file(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    really = write_whole

    def write(path: Path, text: str) -> None:
        if path.name == name:
            refuse()
        really(path, text)

    return lambda patch: patch.setattr(volume, "write_whole", write)


def at_the_export(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(export, "write_export", refuse)


PLACES = {
    "first file": at_the_first_file,
    "tensors": at_the_tensors,
    "closing": at_closing,
    "manifest": at_small_file("manifest.json"),
    "origin": at_small_file("origin.json"),
    "export": at_the_export,
}


@pytest.mark.parametrize("place", PLACES)
def test_full_volume_has_a_reason_in_words_wherever_it_is_met(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1"}
    with monkeypatch.context() as patch:
        PLACES[place](patch)
        with pytest.raises(Full, match=r"the checkpoint volume is full: no room for .* of .* are free"):
            workplace.attempt(tmp_path, STEPS, **policy)
    again = workplace.attempt(tmp_path, STEPS, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY, **policy)
    assert again.code == ExitCode.COMPLETE
    assert [export.name for export in (tmp_path / "training-uid" / "exports").glob("[0-9]*")] == ["3"]


def test_failure_that_is_no_lack_of_room_stays_what_it_is(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(HashedStream, "fileno", fail)
    with pytest.raises(BaseException, match=os.strerror(errno.EIO)) as caught:  # torch's CheckpointException
        workplace.attempt(tmp_path, STEPS)
    assert not isinstance(caught.value, Full)
    assert not room.is_full(caught.value)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A volume of 8 MiB; the plain folder where nobody may mount one, on which nothing ever is full."""
    place = tmp_path / "volume"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True)
    yield place
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(file: Path, leave: int = 0) -> None:
    """Takes the room of a small volume but `leave` bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    left = os.statvfs(file.parent)
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        for _ in range(min(left.f_bavail * left.f_frsize, 8 << 20) // 4096 - leave // 4096):
            stream.write(b"x" * 4096)


def test_pod_on_a_full_volume_ends_with_73_and_the_next_one_clears_before_it_writes(small: Path) -> None:
    few = spec(maxSteps=4, warmupSteps=0)
    variables = {"DEEPSEEK_CHECKPOINT_EVERY_STEPS": "2", "DEEPSEEK_CHECKPOINT_KEEP_LAST": "1"}
    first = Attempt(small, 1, "first", few, processes=2, variables=variables)
    log = {"DEEPSEEK_TERMINATION_LOG": str(small.parent / "log")}
    if os.path.ismount(small):
        fill(small / "ballast", leave=200 << 10)
        process = Attempt(**{**vars(first), "variables": {**variables, **log}}).start()
        assert process.ended() == ExitCode.FULL, process.log
        said = json.loads((small.parent / "log").read_text())
        assert said["result"] == "Full"
        assert "the checkpoint volume is full: no room for the checkpoint of step 2" in said["message"]
        assert list(first.directory.glob("_tmp-*")) == []
        (small / "ballast").unlink()
    # The node died instead, in the middle of a save that took all room there was.
    fill(first.directory / "_tmp-step-00000002" / "__0_0.distcp")
    second = Attempt(small, 2, "second", few, ancestry=((1, "first"),), variables={**variables, **log})
    process = second.start()
    assert process.ended() == 0, process.log
    assert second.steps() == [4]
