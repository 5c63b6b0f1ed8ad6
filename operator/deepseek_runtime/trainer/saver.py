"""Saving while training goes on.

`begin` copies the state to host memory and returns; a thread per rank writes it. When all ranks have
written, `finish` gathers what each wrote, rank 0 commits the manifest and prunes what retention lets go.
Whether all are done is agreed between steps, so no rank ever waits for another's disk unless asked to.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
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


@dataclass
class _Pending:
    step: int
    healthy: bool
    metrics: Mapping[str, float | None]
    ledger: Ledger
    future: "Future[object]"
    since: float
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
        """Makes room, copies the state and starts writing it."""
        called = time.monotonic()
        self.make_room()
        directory = self.volume.torn_directory(self.lineage.incarnation, step)
        ledger = Ledger()
        since = time.monotonic()
        with writing(self.volume.root, self._what(step)):
            directory.mkdir(parents=True, exist_ok=True)
            write_file(directory / random_file(self.gang.rank), states.random_state(), ledger)
            for name, content in self.notes().items() if self.gang.is_first else ():
                write_file(directory / name, content, ledger)
        future = dcp.async_save(
            state.tensors(step), storage_writer=HashingWriter(directory, ledger), process_group=self.gang.saving
        )
        self._pending = _Pending(step, healthy, metrics, ledger, future, since, time.monotonic() - called)

    def make_room(self) -> None:
        """Deletes what retention lets go: an earlier attempt may have died between a commit and that."""
        self._told(self._pruned(self.own, spared=None) if self.gang.is_first else None)

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
        """Makes it a checkpoint. All ranks must be done."""
        pending, called = self._pending, time.monotonic()
        assert pending is not None
        self._raise_failure(pending)
        gathered: list[list[File]] | None = [[] for _ in range(self.gang.world_size)] if self.gang.is_first else None
        dist.gather_object(pending.ledger.files(), gathered)
        with writing(self.volume.root, self._what(pending.step)):
            self._told(self._committed(pending, gathered) if gathered is not None else None)
        self._pending = None
        ended = time.monotonic()
        return Saved(self.own[-1], ended - pending.since, pending.blocked_s + ended - called)

    def _raise_failure(self, pending: _Pending) -> None:
        with writing(self.volume.root, self._what(pending.step), lambda: pending.ledger.failure):
            pending.future.result()

    def _what(self, step: int) -> str:
        known = [*self.own, *self.lineage.ancestors]
        size = f" of about {in_words(known[-1].size_bytes)}" if known else ""
        return f"the checkpoint of step {step}{size}"

    def _told(self, said: "_Kept | Superseded | None") -> None:
        """Rank 0 says what is on the volume now, or that a later attempt has begun."""
        told = broadcast(said)
        if isinstance(told, Superseded):
            raise told
        assert isinstance(told, _Kept)
        self.own, self.lineage = told.own, told.lineage

    def _committed(self, pending: _Pending, gathered: list[list[File]]) -> "_Kept | Superseded":
        """On rank 0: commits and prunes, unless a later attempt has begun."""
        if self.volume.is_superseded(self.contract.attempt):
            return Superseded(
                f"a later attempt than {self.contract.attempt} has begun; step {pending.step} is not kept"
            )
        manifest = self._manifest(pending, tuple(file for files in gathered for file in files))
        incarnation = self.lineage.incarnation
        commit(
            self.volume.torn_directory(incarnation, pending.step),
            self.volume.step_directory(incarnation, pending.step),
            manifest,
        )
        return self._pruned([*self.own, manifest], spared=manifest)

    def _manifest(self, pending: _Pending, files: tuple[File, ...]) -> Manifest:
        return Manifest(
            kind="Checkpoint",
            training_uid=self.contract.training_uid,
            attempt=self.contract.attempt,
            job_uid=self.contract.job_uid,
            incarnation=self.lineage.incarnation,
            step=pending.step,
            world_size=self.gang.world_size,
            sharding="fsdp",
            parent=self.own[-1].position if self.own else self.lineage.resumed_from,
            files=files,
            metrics=pending.metrics,
            healthy=pending.healthy,
            created_at=now(),
            expert=self.expert,
            copies=self.copies,
        )

    def _pruned(self, own: list[Manifest], spared: Manifest | None) -> "_Kept | Superseded":
        """On rank 0: deletes what retention lets go; what is left. `spared` was saved just now, healthy or not."""
        policy, lineage = self.contract.checkpoints, self.lineage
        doomed = prunable(
            own,
            lineage.ancestors,
            lineage.leftovers,
            keep_last=policy.keep_last,
            keep_best=policy.keep_best,
            by=policy.best,
        )
        doomed = [manifest for manifest in doomed if manifest is not spared]
        try:
            gone = {
                manifest.position
                for manifest in doomed
                if self.volume.delete(manifest, self.contract.attempt, lineage.incarnation)
            }
        except Superseded as error:
            return error
        return _Kept(
            [m for m in own if m.position not in gone],
            replace(
                lineage,
                ancestors=tuple(m for m in lineage.ancestors if m.position not in gone),
                leftovers=tuple(m for m in lineage.leftovers if m.position not in gone),
            ),
        )


@dataclass(frozen=True)
class _Kept:
    """What is on the volume, as rank 0 tells the others."""

    own: list[Manifest]
    lineage: Lineage
