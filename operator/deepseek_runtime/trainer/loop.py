"""The steps of one attempt, from the first to the exports.

Each step ends with one small agreement of all ranks: the loss, whether anybody was asked to stop,
whether a save is due, whether the save under way is written. What follows is the same on every rank.
"""

import math
from dataclasses import dataclass

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import is_measured
from deepseek_runtime.contract import ExitCode
from deepseek_runtime.trainer.checkpoints import Checkpoints
from deepseek_runtime.trainer.course import Course
from deepseek_runtime.trainer.diverging import Diverging
from deepseek_runtime.trainer.exporting import Exporter, exported_steps
from deepseek_runtime.trainer.gauges import Gauges
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.measuring import Measuring
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.starting import Start
from deepseek_runtime.trainer.straggling import Pacing
from deepseek_runtime.trainer.update import Learner, Update


@dataclass(frozen=True)
class _Agreed:
    """What all ranks know after a step: whether its numbers are finite, to stop, to save, to commit the save under way."""

    is_finite: bool
    stops: bool
    saves: bool
    is_written: bool


@dataclass
class Training:
    """One rank's training, built by `preparing`. `loss` is that of `step`, NaN where none is known."""

    rank: Rank
    start: Start
    learner: Learner
    measuring: Measuring
    checkpoints: Checkpoints
    diverging: Diverging
    course: Course
    exporter: Exporter
    gauges: Gauges
    pacing: Pacing
    max_steps: int
    step: int
    loss: float

    def run(self) -> int:
        """Trains to the end or to SIGTERM; returns the exit code. Raises Invalid, Damaged, Diverged, Full."""
        self.rank.heartbeat.beat()
        if self.rank.gang.any(self.rank.wants_stop()):
            return self._leave()
        if self.rank.spec.rollback is not None and self.start.manifest is None:
            # Numbers that cease to be finite early must have something to go back to. What is measured here is not
            # saved with it: a model that has learnt nothing is never the best.
            self._save()
        self._make_up()
        while not self._is_over:
            if self.measuring.gave_way or self._one_step():
                return self._leave()
        return self._complete()

    def _make_up(self) -> None:
        """Measures what was to be measured after the step that is gone on from, and was not."""
        if self.measuring.is_missing(self.step) and self._measure() and self.step > 0:
            self._save()

    @property
    def _is_over(self) -> bool:
        return self.step == self.max_steps or self._stops_early

    @property
    def _stops_early(self) -> bool:
        """Whether so many evaluations in a row were no better that another one is not waited for."""
        policy, waiting = self.rank.spec.early_stopping, self.course.waiting
        is_spent = policy is not None and waiting is not None and waiting.evaluations >= policy.patience
        return is_spent and self.step < self.max_steps

    def _one_step(self) -> bool:
        """One optimizer step and what is due after it; True when the gang was asked to stop."""
        batch = self.course.batch_of(self.step + 1)
        agreed = self._agree(self.learner.update(self.step + 1, batch), batch)
        if not agreed.is_finite:
            self._go_back()
            return agreed.stops
        self.checkpoints.look(is_written=agreed.is_written)
        is_due = agreed.saves
        if self.measuring.is_due(self.step):
            is_due = self._measure() or is_due
        if is_due or self._is_over:
            self._save()
        self.rank.heartbeat.beat()
        return agreed.stops and not self._is_over

    def _agree(self, update: Update, batch: int) -> _Agreed:
        """Makes one number of every rank's part: the step is done."""
        rank, saver = self.rank, self.checkpoints.saver
        is_due = rank.gang.is_first and self.checkpoints.is_due(self.step + 1)
        loss_sum, lost, stops, saves, written = rank.gang.total(
            [update.loss_sum, not update.is_finite, rank.wants_stop(), is_due, saver.is_done]
        )
        self.step += 1
        self.loss = loss_sum / update.weight
        epoch = self.learner.corpus.order.epoch_at(batch)
        learnt = {**update.learnt, **self.gauges.after(self.step)}
        if experts := self.gauges.experts(self.step):
            imbalances = experts["imbalance"]
            assert isinstance(imbalances, dict)
            learnt["expertImbalance"] = max(imbalances.values())
            rank.telling.tell(experts=experts)
            rank.telling.log({"event": "experts", "step": self.step, **self.gauges.lasting(self.step, experts)})
        rank.telling.step(self.step, epoch, self.loss, update.tokens, learnt, update.least_s)
        if (slow := self.pacing.after(self.step)) is not None:
            rank.telling.tell(**slow)
            rank.telling.log({"event": "straggler", "step": self.step, **slow})
        is_finite = not lost and math.isfinite(self.loss)
        return _Agreed(is_finite, stops > 0, saves > 0, written == rank.gang.world_size)

    def _go_back(self) -> None:
        """Goes on from the newest checkpoint with other batches. Raises Diverged where that is not wanted or can't help."""
        back = self.diverging.answer(self.step, self.loss)
        self.step, self.loss, self.measuring.last = back.step, back.loss, back.measured
        self._make_up()

    def _measure(self) -> bool:
        """True when the model is better than every checkpoint so far and worth saving."""
        if not self.measuring.measure(self.step):
            return False
        metrics, policy = self.measuring.last.metrics, self.rank.spec.early_stopping
        if policy is not None and is_measured(metrics, self.checkpoints.policy.best):
            self.course.evaluated(self.step, metrics, self.checkpoints.policy.best, policy.min_delta)
            self.rank.telling.tell(**self.course.told())
        return self.checkpoints.is_worth_keeping(metrics)

    def _save(self) -> None:
        self.checkpoints.save(self.step, self.loss, self.measuring.last.of(self.step))

    def _leave(self) -> int:
        """SIGTERM: saves on all ranks together, unless nothing was done since the last checkpoint."""
        self.rank.telling.tell(state="Stopping")
        if self.step > self.start.step and self.checkpoints.saver.last_step != self.step:
            self._save()
        self.checkpoints.settle()
        self.rank.telling.log({"event": "stop", "step": self.step})
        return ExitCode.SAVED

    def _complete(self) -> int:
        """The last checkpoint, then the exports of the last step and of the best one; returns the exit code.

        Of a training that stopped early only the best is worth an export.
        """
        self.checkpoints.settle()
        if self.measuring.is_missing_at_the_end(self.step) and self._measure():
            # Measured late, after a resume: the checkpoint that lies there doesn't carry the measure, this one does.
            self._save()
            self.checkpoints.settle()
        if self.measuring.gave_way:
            return self._leave()
        last = self.checkpoints.last() or self.start.manifest
        assert last is not None
        assert last.step == self.step
        self.checkpoints.make_room()
        top = self.checkpoints.best
        if top is None or not self._stops_early:
            self._export(last)
        if top is not None and top.manifest.step != self.step:
            held = Held.on(self.rank.volume, top.manifest)
            self.rank.together(lambda: self.learner.state.load_weights(held))
        if top is not None:
            self._export(top.manifest)
        early = {"stoppedEarly": self.course.stopped()} if self._stops_early else {}
        self.rank.telling.tell(state="Complete", step=self.step, exports=exported_steps(self.rank), **early)
        best = top.manifest.step if top is not None else self.step
        record = {"event": "complete", "step": self.step, "loss": self.loss, "best": best}
        self.rank.telling.log({**record, **self.measuring.last.metrics, **early})
        return ExitCode.COMPLETE

    def _export(self, checkpoint: Manifest) -> None:
        self.exporter.export(checkpoint, self.measuring.last.of(checkpoint.step))
