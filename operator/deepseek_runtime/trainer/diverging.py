"""What follows when numbers cease to be finite: the end, or the newest healthy checkpoint and other batches from there.

The same settings lead to the same numbers again, so a training that goes on leaves the batches out that led there, as
was done for PaLM (arXiv 2204.02311, section 5.1). What is left out goes into the checkpoints: see `course`.
"""

import math
from dataclasses import dataclass

from deepseek_runtime.checkpoint.manifest import Manifest, finite
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Diverged
from deepseek_runtime.trainer.checkpoints import Checkpoints
from deepseek_runtime.trainer.course import Course, Skip
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.resuming import Standing, load, standing, waiting_of
from deepseek_runtime.trainer.starting import Start, first_whole


@dataclass(frozen=True)
class Diverging:
    """Answers a divergence on all ranks together."""

    rank: Rank
    start: Start
    checkpoints: Checkpoints
    course: Course

    def answer(self, step: int, loss: float) -> Standing:
        """Goes back, and says where to. Raises Diverged where that is not wanted, not possible, or not any more."""
        self.checkpoints.settle()  # what is being written is of a step before
        self.rank.telling.tell(step=step, loss=loss)
        self.rank.telling.log({"event": "diverged", "step": step, "loss": finite(loss)})
        policy = self.rank.spec.rollback
        if policy is None or len(self.course.skips) >= policy.most:
            raise self._end(step, loss)
        volume, newest = self._newest()
        return self._back(volume, newest, Skip.before(step, newest.step, policy.skip_steps))

    def _newest(self) -> tuple[Volume, Manifest]:
        """The newest healthy checkpoint of this attempt, which saves one before its first step, and of what it goes on
        from; and where it lies."""
        found = max(self.checkpoints.healthy(), key=_age, default=None)
        if found is not None:
            return self.rank.volume, found
        assert self.start.manifest is not None
        return self.start.source, self.start.manifest

    def _back(self, volume: Volume, manifest: Manifest, skip: Skip) -> Standing:
        rank = self.rank
        rank.heartbeat.beat()
        first_whole((manifest,), volume, rank.gang)
        held = Held.on(volume, manifest)
        load(rank, held, self.checkpoints.state)
        self.course.skips = (*self.course.skips, skip)
        self.course.waiting = waiting_of(rank, held)
        rank.heartbeat.beat()
        rank.telling.tell(**self.course.told(), step=manifest.step, loss=manifest.metrics.get("loss"))
        rank.telling.log({"event": "rollback", **vars(skip)})
        return standing(manifest)

    def _end(self, step: int, loss: float) -> Diverged:
        skips, why = self.course.skips, ""
        if self.rank.spec.rollback is not None:
            at = ", ".join(str(skip.step) for skip in skips)
            why = f" after the {len(skips)} rollback{'s' if len(skips) > 1 else ''} that onDivergence.max allows (from steps {at})"
        healthy = [manifest.step for manifest in self.checkpoints.healthy()]
        return diverged(step, loss, healthy, self.rank.parameters.learning_rate, why)


def diverged(step: int, loss: float, healthy: list[int], learning_rate: float, why: str = "") -> Diverged:
    """What to tell whoever wrote the settings; `healthy` are the steps of the checkpoints to go on from."""
    what = "gradients or parameters are" if math.isfinite(loss) else "the loss is"
    first = " (its very first one: look at the model's weights and at the data, too)" if step == 1 else ""
    kept, then = "there is no healthy checkpoint", ""
    if healthy:
        kept = f"the newest healthy checkpoint is step {max(healthy)}"
        then = "; checkpoints.resume.from goes on from there"
    return Diverged(
        f"diverged at step {step}{first}{why}: {what} no longer finite (loss {loss:g}), and {kept}; write, in a"
        f" new training, a lower hyperparameters.learningRate than {learning_rate:g}, more"
        f" warmupSteps or a gradientClipNorm{then}"
    )


def _age(manifest: Manifest) -> tuple[int, int]:
    return manifest.step, manifest.attempt
