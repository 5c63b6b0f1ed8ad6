"""Attempts that are alive at a time, start late or die anywhere harm no living one, and nobody goes on from a torn save.

DEEPSEEK_RACES sets how many seeds are tried; the first ones are the same always.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from deepseek_runtime.checkpoint import resume
from deepseek_runtime.checkpoint.integrity import Damaged, verify_hashes, verify_sizes
from deepseek_runtime.checkpoint.manifest import File, Manifest, Position
from deepseek_runtime.checkpoint.origin import ORIGIN_NAME, Origin
from deepseek_runtime.checkpoint.retention import prunable
from deepseek_runtime.checkpoint.volume import Superseded, Volume, commit
from deepseek_runtime.contract import read_contract
from deepseek_runtime.launcher.preparing import prepare
from tests.support.interleaving import Killed, Program, run
from tests.support.manifests import checkpoint

RACES = int(os.environ.get("DEEPSEEK_RACES", "200"))
BLOCKS = 8
"""Seeds are tried in so many tests, so that a failing one is not far from its test's beginning."""
STEPS = 6


@dataclass
class Attempt:
    """What rank 0 of an attempt does on the volume, without the training in between: launcher, start, saves, export."""

    root: Path
    number: int
    name: str
    ancestry: tuple[tuple[int, str], ...]
    keep_last: int
    earlier: "list[Attempt]" = field(default_factory=list)
    instead_of: "Attempt | None" = None
    began: Position | None = None
    committed: list[Manifest] = field(default_factory=list)
    committing: Manifest | None = None
    was_superseded: bool = False
    right: "tuple[Position | None, Position | None]" = (None, None)

    def work(self) -> None:
        try:
            self.live()
        except (Damaged, OSError, AssertionError):
            self.was_superseded = Volume(self.root).is_superseded(self.number)
            raise

    def live(self) -> None:
        volume, contract = Volume(self.root), read_contract(self.variables())
        prepare(volume, contract)
        before = self.right_beginning()
        found = resume.candidates(contract.ancestry, volume.origins(), volume.checkpoints())
        self.right = (before, self.right_beginning())
        # Only the first choice must be whole: an older one may be away while a zombie sleeps between its two looks.
        if found and (problem := volume.problem_of(found[0], found[0].files)) is not None:
            raise Damaged(str(problem))
        self.began = found[0].position if found else None
        volume.write_origin(Origin(self.number, f"job-{self.number}", self.name, self.began))
        lineage = list(found)
        for step in range(found[0].step + 1 if found else 1, STEPS + 1):
            lineage = self.let_go(volume, lineage, None)
            self.save(volume, step)
            lineage = self.let_go(volume, lineage, self.committed[-1])
        self.export(volume)

    def right_beginning(self) -> Position | None:
        """Where to go on from by what the earlier attempts know of themselves, whatever lies on the volume."""
        for one in reversed([one for one in self.earlier if one.has_left_something]):
            if (newest := one.newest()) is not None:
                return newest
            return one.began
        return None

    @property
    def has_left_something(self) -> bool:
        """Of two pods of an attempt the recorded one counts if it took up its work."""
        return self.has_begun and not (self.instead_of is not None and self.instead_of.has_begun)

    @property
    def has_begun(self) -> bool:
        return (self.root / self.name / ORIGIN_NAME).exists()

    def newest(self) -> Position | None:
        """What it saved last; it may have died after the rename that makes a checkpoint, before it could know."""
        if self.committing is not None:
            place = Volume(self.root).step_directory(self.name, self.committing.step)
            if place.exists():
                return self.committing.position
        return self.committed[-1].position if self.committed else None

    def let_go(self, volume: Volume, lineage: list[Manifest], spared: Manifest | None) -> list[Manifest]:
        there = [one for one in self.committed if volume.step_directory(one.incarnation, one.step).exists()]
        doomed = prunable(there, lineage, (), keep_last=self.keep_last, keep_best=0, by=None)
        gone = [one for one in doomed if one is not spared and volume.delete(one, self.number, self.name)]
        return [one for one in lineage if one not in gone]

    def save(self, volume: Volume, step: int) -> None:
        volume.check_alive(self.number)
        torn = volume.torn_directory(self.name, step)
        torn.mkdir(parents=True, exist_ok=True)
        files = tuple(self.write(torn / f"rank-{rank}", f"{self.name} {step} {rank}") for rank in range(3))
        volume.check_alive(self.number)
        made = Manifest(**{**vars(checkpoint(self.name, step, attempt=self.number)), "files": files})
        self.committing = made
        commit(torn, volume.step_directory(self.name, step), made)
        self.committed.append(made)

    def export(self, volume: Volume) -> None:
        step = STEPS
        torn = volume.torn_export_directory(self.name, step)
        torn.mkdir(parents=True, exist_ok=True)
        files = (self.write(torn / "model", f"weights {step}"), self.write(torn / "config", "config"))
        made = Manifest(**{**vars(checkpoint(self.name, step)), "kind": "Export", "files": files})
        volume.commit_export(made, self.number)

    def write(self, path: Path, text: str) -> File:
        with path.open("w") as stream:
            stream.write(text)
        return File(path.name, len(text), hashlib.sha256(text.encode()).hexdigest())

    def variables(self) -> dict[str, str]:
        ancestry = [{"attempt": n, "jobUID": f"job-{n}", "incarnation": name} for n, name in self.ancestry]
        return {
            "DEEPSEEK_TRAINING_NAME": "training",
            "DEEPSEEK_TRAINING_NAMESPACE": "team",
            "DEEPSEEK_TRAINING_UID": "training",
            "DEEPSEEK_ATTEMPT": str(self.number),
            "DEEPSEEK_JOB_UID": f"job-{self.number}",
            "DEEPSEEK_POD_UID": self.name,
            "DEEPSEEK_CHECKPOINT_ROOT": str(self.root),
            "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "1",
            "DEEPSEEK_RESUME_ANCESTRY": json.dumps(ancestry),
        }


def raced(root: Path, seed: int) -> tuple[list[Attempt], list[Program]]:
    """Three attempts, each beginning somewhere in the life of the one before, dead or not, and launchers that are late.

    The last attempt lives to its end and is the last of the list.
    """
    random = Random(seed)
    keep_last = random.randint(1, 2)
    begins: tuple[Program, int] | None = None
    attempts: list[Attempt] = []
    programs: list[Program] = []
    for number in (1, 2, 3):
        ancestry = tuple((n, f"attempt-{n}") for n in range(1, number))
        attempt = Attempt(root, number, f"attempt-{number}", ancestry, keep_last, list(attempts))
        dies_at = random.randint(1, 300) if number < 3 and random.random() < 0.5 else None
        programs.append(Program(attempt.name, attempt.work, begins, dies_at))
        begins = (programs[-1], random.randint(0, 250))
        if number < 3:
            # The Job replaced a pod that it believed lost, and its image took long to come.
            late = Attempt(root, number, f"late-{number}", ancestry, keep_last, instead_of=attempt)
            programs.append(Program(late.name, late.work, (programs[-1], random.randint(60, 250))))
            attempts.append(late)
        attempts.append(attempt)
    run(programs, seed)
    return attempts, programs


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is some: a disk would be waited for at every checkpoint."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as name:
        yield Path(name)


@pytest.mark.deep
@pytest.mark.parametrize("block", range(BLOCKS))
def test_zombies_late_launchers_and_kills_harm_no_living_attempt(memory: Path, block: int) -> None:
    for seed in range(block, RACES, BLOCKS):
        root = memory / str(seed)
        attempts, programs = raced(root, seed)
        living = attempts[-1]
        by_name = {one.name: one for one in attempts}
        last = next(one for one in programs if one.name == living.name)
        assert last.error is None, (seed, last.error)
        for one in programs:
            assert isinstance(one.error, Killed | Superseded | None) or by_name[one.name].was_superseded, (
                f"seed {seed}: {one.name} was alive and harmed: {one.error!r}"
            )
        volume = Volume(root)
        for manifest in whole_ones(volume):
            place = volume.step_directory(manifest.incarnation, manifest.step)
            verify_sizes(place, manifest)
            verify_hashes(place, manifest.files)
        (export,) = volume.exports()
        verify_hashes(volume.export_directory(STEPS), export.files)
        kept = [m.step for m in volume.checkpoints_of(living.name)]
        made = [m.step for m in living.committed]
        assert kept == made[-living.keep_last :], (seed, kept, made)
        assert went_on_from_the_newest(living), (seed, living.began, living.right)


def whole_ones(volume: Volume) -> Iterator[Manifest]:
    for held in volume.checkpoints().values():
        yield from held


def went_on_from_the_newest(living: Attempt) -> bool:
    """It began where it should have by what was known before or after its look, or between the two."""
    before, after = living.right
    if living.began in (before, after):
        return True
    if living.began is None or after is None or living.began.incarnation != after.incarnation:
        return False
    earliest = before.step if before is not None and before.incarnation == after.incarnation else 0
    return earliest <= living.began.step <= after.step
