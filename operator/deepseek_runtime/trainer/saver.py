"""Saving while training goes on.

`begin` notes what is to be saved and returns; a thread per rank does the rest. It copies the state to host memory, which is
done before the next step moves it (see `snapshot`), and writes it. When all ranks have written, the threads gather what each
wrote, rank 0's commits the manifest and prunes what retention lets go. They talk over a process group of their own.
Whether all are done is agreed between steps, so no rank ever waits for another's disk unless asked to.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from deepseek_runtime.checkpoint.manifest import File, Manifest, Position
from deepseek_runtime.checkpoint.retention import prunable
from deepseek_runtime.checkpoint.room import in_words, writing
from deepseek_runtime.checkpoint.volume import Superseded, Volume, commit
from deepseek_runtime.clock import now
from deepseek_runtime.contract import Contract
from deepseek_runtime.trainer import state as states
from deepseek_runtime.trainer.gang import Gang, broadcast, wait_for_all
from deepseek_runtime.trainer.held import random_file
from deepseek_runtime.trainer.snapshot import Taken
from deepseek_runtime.trainer.state import State
from deepseek_runtime.trainer.writing import HashingWriter, Ledger, write_file

# torch tells all ranks of a failure that one of them writes into; one that fails while they talk leaves the others waiting
# for its next message. Nothing that it is told of takes longer.
ALONE_S = 30.0


@dataclass(frozen=True)
class Saved:
    """A checkpoint that has become one, the seconds that it took, and those in which no step was made for it."""

    manifest: Manifest
    seconds: float
    blocked_s: float


@dataclass(frozen=True)
class Lineage:
    """What this attempt descends from: its incarnation, where it resumed, ancestors' checkpoints to keep or let go."""

    incarnation: str
    resumed_from: Position | None
    ancestors: tuple[Manifest, ...] = ()
    leftovers: tuple[Manifest, ...] = ()


@dataclass(frozen=True)
class _Kept:
    """What is on the volume, as rank 0 tells the others."""

    own: list[Manifest]
    lineage: Lineage


@dataclass(frozen=True)
class _Written:
    """The save is a checkpoint, `kept` is what is on the volume now, with it; since `ended` by the monotonic clock."""

    kept: _Kept
    ended: float


@dataclass
class _Pending:
    step: int
    healthy: bool
    metrics: Mapping[str, float | None]
    taken: Taken
    since: float
    ledger: Ledger = field(default_factory=Ledger)
    future: "Future[_Written]" = field(default_factory=Future)
    blocked_s: float = 0.0
    failed_since: float | None = None


@dataclass
class Saver:
    """At most one save is under way; every method but `is_done`, `written_bytes` and `check_alone` is called by all ranks together.

    `notes` are the small files that a checkpoint holds when it is begun, by name; `expert` is over how many processes
    experts are dealt out, `copies` how often all states are there.
    """

    gang: Gang
    volume: Volume
    contract: Contract
    lineage: Lineage
    beat: Callable[[], None]
    notes: Callable[[], Mapping[str, bytes]]
    expert: int = 1
    copies: int = 1
    own: list[Manifest] = field(default_factory=list)
    beside: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "save"))
    _pending: _Pending | None = None

    @property
    def is_saving(self) -> bool:
        return self._pending is not None

    @property
    def is_done(self) -> bool:
        """Whether this rank has nothing left to write."""
        return self._pending is None or self._pending.future.done()

    @property
    def written_bytes(self) -> int:
        return self._pending.ledger.written_bytes if self._pending else 0

    @property
    def last_step(self) -> int | None:
        """The step saved last in this attempt."""
        return self.own[-1].step if self.own else None

    @property
    def lineage_kept(self) -> list[Manifest]:
        """Checkpoints of this attempt and of its ancestors that are still on the volume."""
        return [*self.lineage.ancestors, *self.own]

    def begin(self, step: int, state: State, metrics: Mapping[str, float | None], *, healthy: bool) -> None:
        """Begins to copy the state and to write it. Random sources and notes are saved as they are now."""
        since = time.monotonic()
        taken = state.snapshot.take(state.tensors(step), self.beside)
        small = {random_file(self.gang.rank): states.random_state(), **(self.notes() if self.gang.is_first else {})}
        pending = _Pending(step, healthy, metrics, taken, since)
        pending.future = self.beside.submit(self._write, pending, small)
        self._pending, pending.blocked_s = pending, time.monotonic() - since

    def make_room(self) -> None:
        """Deletes what retention lets go."""
        self._take(_agreed(self.gang, None, lambda: self._pruned(self._kept, spared=None)))

    def check_alone(self) -> None:
        """Raises what this rank's save failed with when the others still wait for it: they end with its connections."""
        pending = self._pending
        if pending is None or not pending.future.done() or pending.future.exception() is None:
            return
        pending.failed_since = pending.failed_since or time.monotonic()
        if time.monotonic() - pending.failed_since > ALONE_S:
            self._raise_failure(pending)

    def settle(self) -> Saved | None:
        """Waits until all ranks have written, then commits."""
        if self._pending is None:
            return None
        called = time.monotonic()
        wait_for_all(
            self.gang,
            self.beat,
            is_done=lambda: self.is_done,
            written_bytes=lambda: self.written_bytes,
            look=self.check_alone,
        )
        self._pending.blocked_s += time.monotonic() - called
        return self.finish()

    def finish(self) -> Saved:
        """It is a checkpoint. All ranks must be done."""
        pending, called = self._pending, time.monotonic()
        assert pending is not None
        written = self._raise_failure(pending)
        self._take(written.kept)
        self._pending = None
        held_up = pending.blocked_s + pending.taken.waited_s
        return Saved(self.own[-1], written.ended - pending.since, held_up + time.monotonic() - called)

    def _raise_failure(self, pending: _Pending) -> _Written:
        with writing(self.volume.root, self._what(pending.step), lambda: pending.ledger.failure):
            return pending.future.result()

    def _write(self, pending: _Pending, small: Mapping[str, bytes]) -> _Written:
        """On a thread of its own, of all ranks together: from the copy to the checkpoint."""
        pending.taken.done.result()
        group = self.gang.saving
        # An attempt before may have died between a commit and that.
        kept = _agreed(self.gang, group, lambda: self._pruned(self._kept, spared=None))
        directory = self.volume.torn_directory(kept.lineage.incarnation, pending.step)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in small.items():
            write_file(directory / name, content, pending.ledger)
        dcp.save(pending.taken.state, storage_writer=HashingWriter(directory, pending.ledger), process_group=group)
        gathered: list[list[File]] | None = [[] for _ in range(self.gang.world_size)] if self.gang.is_first else None
        dist.gather_object(pending.ledger.files(), gathered, group=group)
        files = tuple(file for files in gathered or () for file in files)
        kept = _agreed(self.gang, group, lambda: self._committed(pending, files, kept))
        return _Written(kept, time.monotonic())

    def _what(self, step: int) -> str:
        known = [*self.own, *self.lineage.ancestors]
        size = f" of about {in_words(known[-1].size_bytes)}" if known else ""
        return f"the checkpoint of step {step}{size}"

    @property
    def _kept(self) -> _Kept:
        return _Kept(self.own, self.lineage)

    def _take(self, kept: _Kept) -> None:
        self.own, self.lineage = kept.own, kept.lineage

    def _committed(self, pending: _Pending, files: tuple[File, ...], kept: _Kept) -> _Kept:
        """On rank 0: commits and prunes. Raises Superseded when a later attempt has begun."""
        if self.volume.is_superseded(self.contract.attempt):
            raise Superseded(f"a later attempt than {self.contract.attempt} has begun; step {pending.step} is not kept")
        manifest = self._manifest(pending, files, kept)
        incarnation = kept.lineage.incarnation
        commit(
            self.volume.torn_directory(incarnation, pending.step),
            self.volume.step_directory(incarnation, pending.step),
            manifest,
        )
        return self._pruned(replace(kept, own=[*kept.own, manifest]), spared=manifest)

    def _manifest(self, pending: _Pending, files: tuple[File, ...], kept: _Kept) -> Manifest:
        return Manifest(
            kind="Checkpoint",
            training_uid=self.contract.training_uid,
            attempt=self.contract.attempt,
            job_uid=self.contract.job_uid,
            incarnation=kept.lineage.incarnation,
            step=pending.step,
            world_size=self.gang.world_size,
            sharding="fsdp",
            parent=kept.own[-1].position if kept.own else kept.lineage.resumed_from,
            files=files,
            metrics=pending.metrics,
            healthy=pending.healthy,
            created_at=now(),
            expert=self.expert,
            copies=self.copies,
        )

    def _pruned(self, kept: _Kept, spared: Manifest | None) -> _Kept:
        """On rank 0: deletes what retention lets go; what is left. `spared` was saved just now, healthy or not.

        Raises Superseded when a later attempt has begun.
        """
        policy, lineage = self.contract.checkpoints, kept.lineage
        doomed = prunable(
            kept.own,
            lineage.ancestors,
            lineage.leftovers,
            keep_last=policy.keep_last,
            keep_best=policy.keep_best,
            by=policy.best,
        )
        gone = {
            manifest.position
            for manifest in doomed
            if manifest is not spared and self.volume.delete(manifest, self.contract.attempt, lineage.incarnation)
        }
        return _Kept(
            [m for m in kept.own if m.position not in gone],
            replace(
                lineage,
                ancestors=tuple(m for m in lineage.ancestors if m.position not in gone),
                leftovers=tuple(m for m in lineage.leftovers if m.position not in gone),
            ),
        )


def _agreed(gang: Gang, group: dist.ProcessGroup | None, work: Callable[[], _Kept]) -> _Kept:
    """What rank 0's work leaves on the volume, told to all. Raises on each rank that a later attempt has begun, or what the
    disk refused."""
    told: object = None
    if gang.is_first:
        try:
            told = work()
        except (Superseded, OSError) as error:
            told = error
    told = broadcast(told, group)
    if isinstance(told, Exception):
        raise told
    assert isinstance(told, _Kept)
    return told
