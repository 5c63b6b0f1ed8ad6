"""While a foreign trainer runs: what it has saved becomes a checkpoint of ours.

A folder is taken when two looks in a row find it the same and complete. Its files get second names in `_tmp-step-N`, are
hashed there, where no rotation takes them away, and the manifest makes the checkpoint. What is kept is our retention's
concern: the framework's rotation deletes names of its own only.

transformers may save one step twice, into the same files (at its interval, and again after a SIGTERM before the next
step is done). Second names would be overwritten with it. So its own names are taken away before the manifest is written.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from deepseek_runtime.checkpoint.files import put_back, remove, sync_files
from deepseek_runtime.checkpoint.integrity import sha256_of
from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME, File, Manifest
from deepseek_runtime.checkpoint.retention import prunable
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.checkpoint.volume import Volume, commit
from deepseek_runtime.clock import now
from deepseek_runtime.contract import Contract
from deepseek_runtime.foreign.layouts import Layout, Signature, Told, signature
from deepseek_runtime.foreign.placing import READERS, TAKEN_PREFIX, Placed, link_tree


@dataclass
class Follower:
    """Rank 0's eye on the output folder. Methods raise OSError, Full, and Superseded when a later attempt has begun.

    `own` are this attempt's checkpoints, by step upwards; `max_steps` what the newest folder said of the training's end.
    """

    contract: Contract
    layout: Layout
    volume: Volume
    placed: Placed
    say: Callable[[str], None] = lambda sentence: print(f"checkpoints: {sentence}", file=sys.stderr, flush=True)
    own: list[Manifest] = field(default_factory=list)
    seconds: float | None = None
    max_steps: int | None = None
    _seen: dict[Path, Signature] = field(default_factory=dict)
    _said: set[tuple[Path, str]] = field(default_factory=set)

    @property
    def step(self) -> int:
        """The newest that is safe, of this attempt or of the one that it goes on from."""
        return self.own[-1].step if self.own else self.placed.step

    def look(self, *, is_at_rest: bool = False) -> Manifest | None:
        """Takes the newest folder that is whole and newer than what there is; `is_at_rest`: nobody writes any more."""
        return self.take(self.placed.output, is_at_rest=is_at_rest)

    def take(self, output: Path, *, is_at_rest: bool) -> Manifest | None:
        """The same of any output folder."""
        for step, folder in self.layout.steps(output):
            if step <= self.step:
                break
            seen = signature(folder)
            if seen is None or not (is_at_rest or self._seen.get(folder) == seen):
                if seen is not None:
                    self._seen[folder] = seen
                continue
            why = self.layout.why_unannounced(output, step) or self._torn(folder, step)
            if why is None and (made := self._taken(folder, step, seen)) is not None:
                return made
            if why is not None and (folder, why) not in self._said:
                self._said.add((folder, why))
                self.say(f"{folder.name} is not whole yet: {why}")
        return None

    def adopt(self, placed: Placed, output: Path) -> Manifest | None:
        """At the start: what the attempt before had finished and died before its manifest was written."""
        self.placed = placed
        made = self.take(output, is_at_rest=True)
        if made is not None and not made.healthy:
            self.volume.delete(made, self.contract.attempt, self.contract.pod_uid)
            self.own.clear()
            return None
        if made is not None:
            self.say(f"step {made.step} was whole when the attempt before this one died, and is taken")
        return made

    def _torn(self, folder: Path, step: int) -> str | None:
        return self.layout.why_torn(folder, step, self.contract.gang.world_size)

    def _taken(self, folder: Path, step: int, seen: Signature) -> Manifest | None:
        """A checkpoint of the folder; None when somebody wrote there meanwhile, and it is looked at again."""
        begun = time.monotonic()
        self.volume.check_alive(self.contract.attempt)
        torn = self.volume.torn_directory(self.contract.pod_uid, step)
        remove(torn)
        with writing(self.volume.root, f"the checkpoint of step {step}"):
            if not self._named(folder, torn, step):
                return None
            files = _hashed(torn)
            sync_files(torn)
            told = self.layout.told(torn, step)
            apart = self._apart(folder)
            now_there = signature(apart)
            # A rotation may take the folder away meanwhile: our names stay.
            if (now_there is not None and now_there != seen) or self._torn(torn, step) is not None:
                remove(torn)
                if apart != folder:
                    put_back(apart, folder)
                return None
            self._commit(torn, self._manifest(step, files, told))
            if apart != folder:
                remove(apart)
        self.seconds, self.max_steps = time.monotonic() - begun, told.max_steps or self.max_steps
        self._seen.pop(folder, None)
        return self.own[-1]

    def _named(self, folder: Path, torn: Path, step: int) -> bool:
        """Gives the folder's files their second names; False when a rotation took some away before all had one."""
        try:
            link_tree(folder, torn)
        except FileNotFoundError:
            remove(torn)
            return False
        if self._torn(torn, step) is not None:
            remove(torn)
            return False
        return True

    def _apart(self, folder: Path) -> Path:
        """Where nobody writes any more, for a framework that may save a step twice; else where it is."""
        if not self.layout.saves_twice:
            return folder
        apart = folder.with_name(f"{TAKEN_PREFIX}{folder.name}")
        remove(apart)
        try:
            return folder.rename(apart)
        except FileNotFoundError:
            return apart

    def _commit(self, torn: Path, manifest: Manifest) -> None:
        self.volume.check_alive(self.contract.attempt)
        commit(torn, self.volume.step_directory(manifest.incarnation, manifest.step), manifest)
        self.own.append(manifest)
        if not manifest.healthy:
            self.say(f"step {manifest.step} is not finite: nothing will go on from it")
        self._prune()

    def _manifest(self, step: int, files: tuple[File, ...], told: Told) -> Manifest:
        contract = self.contract
        return Manifest(
            kind="Checkpoint",
            training_uid=contract.training_uid,
            attempt=contract.attempt,
            job_uid=contract.job_uid,
            incarnation=contract.pod_uid,
            step=step,
            world_size=contract.gang.world_size,
            sharding="none",
            parent=self.own[-1].position if self.own else self.placed.resumed_from,
            files=files,
            metrics={"loss": told.loss, **({} if told.eval_loss is None else {"evalLoss": told.eval_loss})},
            healthy=told.is_finite,
            created_at=now(),
        )

    def _prune(self) -> None:
        """Deletes what retention lets go; the one that was saved just now stays, healthy or not."""
        policy, placed = self.contract.checkpoints, self.placed
        doomed = prunable(
            self.own,
            placed.ancestors,
            placed.leftovers,
            keep_last=policy.keep_last,
            keep_best=policy.keep_best,
            by=policy.best,
        )
        gone = {
            manifest.position
            for manifest in doomed
            if manifest is not self.own[-1]
            and self.volume.delete(manifest, self.contract.attempt, self.contract.pod_uid)
        }
        self.own = [m for m in self.own if m.position not in gone]
        self.placed = replace(
            placed,
            ancestors=tuple(m for m in placed.ancestors if m.position not in gone),
            leftovers=tuple(m for m in placed.leftovers if m.position not in gone),
        )


def _hashed(folder: Path) -> tuple[File, ...]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST_NAME)
    with ThreadPoolExecutor(READERS) as readers:
        hashes = readers.map(sha256_of, paths)
        return tuple(
            File(str(path.relative_to(folder)), path.stat().st_size, digest)
            for path, digest in zip(paths, hashes, strict=True)
        )
