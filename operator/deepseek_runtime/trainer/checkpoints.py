"""When a checkpoint is due, what goes into its manifest, and what is told of it once it is one."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import Best, Measures, best, is_better
from deepseek_runtime.contract import CheckpointPolicy
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.saver import Saved, Saver
from deepseek_runtime.trainer.state import State


@dataclass
class Checkpoints:
    """`best` is the best checkpoint that lies there, `saved_s` the clock's time of the last save's beginning."""

    rank: Rank
    saver: Saver
    state: State
    best: Best | None
    saved_s: float = field(default_factory=lambda: time.monotonic())

    @property
    def policy(self) -> CheckpointPolicy:
        return self.rank.contract.checkpoints

    def is_due(self, step: int) -> bool:
        """Whether this rank thinks that a step should be saved: clocks differ, rank 0's counts."""
        if self.policy.every_steps is not None:
            return step % self.policy.every_steps == 0
        return time.monotonic() - self.saved_s >= (self.policy.every_seconds or math.inf)

    def is_worth_keeping(self, measured: Measures) -> bool:
        """Whether a model measured so is better than every checkpoint so far, and the best ones are kept."""
        known = self.best.manifest.metrics if self.best is not None else None
        return bool(self.policy.keep_best) and is_better(measured, known, self.policy.best)

    def save(self, step: int, loss: float, measured: Mapping[str, float | None]) -> None:
        """Begins a save, after the one before it is committed. `measured` is of this very step."""
        self.settle()
        if self.saver.last_step == step:
            return
        self.rank.telling.tell(state="Saving")
        metrics: dict[str, float | None] = {"loss": loss, **measured}
        self.saver.begin(step, self.state, metrics, healthy=True)  # what isn't ends at its step
        self.saved_s = time.monotonic()
        self.rank.telling.tell(state="Training")

    def look(self, *, is_written: bool) -> None:
        """Between two steps: commits the save under way once all ranks have written it."""
        if self.saver.is_saving and is_written:
            self._note(self.saver.finish())
        self.saver.check_alone()

    def settle(self) -> None:
        """Waits for the save under way."""
        self._note(self.saver.settle())

    def make_room(self) -> None:
        """Deletes what retention lets go, and gives back the memory that saves have taken: exports follow."""
        self.state.snapshot.forget()
        self.saver.make_room()
        self.best = best(self.saver.lineage_kept, self.policy.best)

    def healthy(self) -> list[Manifest]:
        """Those that lie there, of this attempt and of its ancestors."""
        return [manifest for manifest in self.saver.lineage_kept if manifest.healthy]

    def last(self) -> Manifest | None:
        """The newest of this attempt."""
        return self.saver.own[-1] if self.saver.own else None

    def _note(self, saved: Saved | None) -> None:
        """Tells of a checkpoint that has become one."""
        if saved is None:
            return
        manifest, seconds, blocked = saved.manifest, round(saved.seconds, 3), round(saved.blocked_s, 3)
        record = {"event": "checkpoint", "step": manifest.step, "healthy": manifest.healthy}
        self.rank.telling.log({**record, "seconds": seconds, "blockedSeconds": blocked, "bytes": manifest.size_bytes})
        if manifest.healthy:
            self.best = best(self.saver.lineage_kept, self.policy.best)
            self.rank.telling.tell(**told(manifest, seconds, self.best, blocked, self.rank.telling.step_s))


def told(
    latest: Manifest, seconds: float | None, top: Best | None, blocked: float | None = None, step_s: float | None = None
) -> dict[str, object]:
    """The fields of /progress: the newest checkpoint with the seconds that it took, and held steps up, also as a share of
    a step of `step_s`; and the best one."""
    share = None if blocked is None or not step_s else round(blocked / step_s, 4)
    newest = {"step": latest.step, "time": latest.created_at, "bytes": latest.size_bytes, "seconds": seconds}
    return {
        "latest": {**newest, "blockedSeconds": blocked, "blockedShare": share},
        "best": top.to_json() if top else None,
    }
