"""One attempt of a training, from the meeting of the ranks to the export.

Each step ends with one small agreement of all ranks: the loss, whether anybody was asked to stop,
whether a save is due, whether the save under way is written. What follows is the same on every rank.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import AdamW

from deepseek_runtime.checkpoint.manifest import Manifest, finite
from deepseek_runtime.checkpoint.ranking import Best, best, is_better
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.checkpoint.volume import Damaged, Volume, describe
from deepseek_runtime.contract import Contract, Diverged, ExitCode, Invalid
from deepseek_runtime.reading import reading
from deepseek_runtime.rundir import Heartbeat
from deepseek_runtime.spec import Hyperparameters, TrainingSpec
from deepseek_runtime.trainer import identity as identities
from deepseek_runtime.trainer.data import Example, Order, Read, fingerprint, read_examples
from deepseek_runtime.trainer.evaluation import Heldout, evaluate, loss_sum
from deepseek_runtime.trainer.export import full_weights, write_export
from deepseek_runtime.trainer.gang import Gang, broadcast, gathered
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.identity import Identity, Mark
from deepseek_runtime.trainer.model import build, parameter_groups, shard
from deepseek_runtime.trainer.saver import LOOK_EVERY_S, Saved, Saver, now
from deepseek_runtime.trainer.schedule import learning_rate
from deepseek_runtime.trainer.starting import Start, begin
from deepseek_runtime.trainer.state import State
from deepseek_runtime.trainer.telling import Telling
from deepseek_runtime.trainer.tokenizer import PLAIN_TEMPLATE

RAW_TEXT = (
    "prompt and completion are trained as they are written, without the model's chat template:"
    " ask the result in the same form by /v1/completions"
)
# DeepSeek-V3's own AdamW (technical report, section 4.2).
ADAM_BETAS = (0.9, 0.95)


@dataclass
class Training:
    """The state of one rank. `wants_stop` says whether this process got SIGTERM."""

    contract: Contract
    spec: TrainingSpec
    gang: Gang
    heartbeat: Heartbeat
    telling: Telling
    wants_stop: Callable[[], bool]
    step: int = 0
    loss: float = math.nan
    measured: dict[str, float | None] = field(default_factory=dict)
    _measured_step: int | None = None
    _saved_s: float = 0.0
    _best: Best | None = None
    _leaves: bool = False
    _is_finite: bool = True

    def run(self) -> int:
        """Trains to the end or to SIGTERM; returns the exit code. Raises Invalid, Damaged, Diverged."""
        self._prepare()
        self.heartbeat.beat()
        if self.gang.any(self.wants_stop()):
            return self._leave()
        self._measure_start()
        while self.step < self.max_steps:
            if self._leaves or self._one_step():
                return self._leave()
        return self._complete()

    @property
    def parameters(self) -> Hyperparameters:
        return self.spec.hyperparameters

    def _prepare(self) -> None:
        self.start: Start = begin(self.contract, self.gang)
        with reading("spec.model", "name a whole model in Hugging Face form, or correct model.custom"):
            self.model, self.tokenizer = build(self.spec.model, self.parameters.seed)
        self._read_data()
        self._keep_to_plan()
        shard(self.model, self.gang.mesh, self.parameters.precision)
        groups = parameter_groups(self.model, self.parameters.weight_decay)
        self.optimizer = AdamW(groups, lr=self.parameters.learning_rate, betas=ADAM_BETAS)
        self.state = State(self.model, self.optimizer)
        self.saver = Saver(
            self.gang,
            Volume(self.contract.checkpoints.root),
            self.contract,
            self.start.lineage,
            self.heartbeat.beat,
            identities.encode(self.identity),
        )
        self._resume()
        self._saved_s = time.monotonic()

    def _read_data(self) -> None:
        length = self.parameters.sequence_length
        reads = [read_examples(one, self.tokenizer, length) for one in self.spec.datasets]
        self._tell_losses(reads)
        self._check_fit(reads)
        train = [one for one in reads if one.dataset.split == "Train"]
        heldout = [one for one in reads if one.dataset.split == "Heldout"]
        self.examples: list[Example] = [example for one in train for example in one.examples]
        self.heldout = Heldout(
            texts=[e for one in heldout for e in one.examples if one.dataset.format == "Text"],
            answers=[e for one in heldout for e in one.examples if one.dataset.format == "PromptCompletion"],
        )
        self.order = Order(
            [len(one.examples) for one in train],
            [one.dataset.weight for one in train],
            self.parameters.seed,
            self.parameters.global_batch_size,
        )
        epochs = None if self.parameters.max_steps else self.parameters.epochs or 1
        self.identity = Identity(
            fingerprint(self.examples),
            self.parameters.seed,
            self.parameters.global_batch_size,
            epochs,
            self.parameters.max_steps or self.order.steps(epochs or 1),
            tuple(Mark(one.name, one.sha256, len(one.examples)) for one in reads),
        )
        identities.check_ranks(gathered(self.identity))
        # Only now: the first rank has told the numbers, whichever rank is the first to end.
        if self.start.manifest is None or self.start.is_of_another_training:
            for one in reads:
                one.check_losses(length)

    def _tell_losses(self, reads: Sequence[Read]) -> None:
        """What the sequence length costs."""
        for one in reads:
            counts = {"examples": len(one.examples), "dropped": one.dropped, "cut": one.cut, "longest": one.needed}
            self.telling.log({"event": "data", "dataset": one.name, "split": one.dataset.split, **counts})
        is_chat = self.tokenizer.chat_template not in (None, PLAIN_TEMPLATE)
        if is_chat and any(one.dataset.format == "PromptCompletion" for one in reads):
            self.telling.log({"event": "rendering", "chatTemplate": None, "message": RAW_TEXT})
        self.telling.tell(
            data={
                "examples": sum(len(one.examples) for one in reads),
                "dropped": sum(one.dropped for one in reads),
                "cut": sum(one.cut for one in reads),
                "longest": max(one.needed for one in reads),
            }
        )

    def _check_fit(self, reads: Sequence[Read]) -> None:
        """The tokens must be the model's, and no example longer than what the model was made for."""
        largest = max(max(example.tokens) for one in reads for example in one.examples)
        entries = self.model.get_input_embeddings().weight.shape[0]
        if largest >= entries:
            raise Invalid(
                f"the tokenizer makes token {largest}, and the model's vocabulary has {entries} entries: the tokenizer"
                " in the model folder is another model's; copy the one that belongs to these weights"
            )
        positions = getattr(self.model.config, "max_position_embeddings", None)
        longest = max(len(example.tokens) for one in reads for example in one.examples)
        if self.start.manifest is None and isinstance(positions, int) and longest > positions:
            raise Invalid(
                f"hyperparameters.sequenceLength {self.parameters.sequence_length} lets examples of {longest} tokens"
                f" through, and the model was made for {positions} (max_position_embeddings): write {positions} or less"
            )

    def _keep_to_plan(self) -> None:
        """A resume keeps to the data and the number of steps that its checkpoint recorded."""
        manifest = self.start.manifest
        self._recorded: Identity | None = None
        if manifest is not None:
            told = self._held(manifest, self.start.source).identity()
            self._recorded = identities.decode(told) if told is not None else None
            if not self.start.is_of_another_training:
                self.identity = identities.kept_to(self.identity, self._recorded, manifest.step)
        self.max_steps = self.identity.max_steps or 0
        if self.parameters.warmup_steps >= self.max_steps:
            raise Invalid(
                f"hyperparameters.warmupSteps is {self.parameters.warmup_steps}, and the training has"
                f" {self.max_steps} steps in all: write fewer, or nothing is left for the schedule"
            )

    def _resume(self) -> None:
        """Loads what was chosen, or seeds the random sources for step 0."""
        manifest = self.start.manifest
        lineage = self.start.lineage
        self.telling.tell(
            state="Starting",
            incarnation=lineage.incarnation,
            step=self.start.step,
            firstStep=self.start.step + 1,
            maxSteps=self.max_steps,
            resumedFrom={"step": manifest.step} if manifest else None,
            exports=self._exports(),
        )
        if manifest is None:
            torch.manual_seed(self.parameters.seed + self.gang.rank)
            self.telling.log({"event": "start", "step": 0, "maxSteps": self.max_steps})
            return
        held, seed = self._held(manifest, self.start.source), self.parameters.seed + self.gang.rank
        self._together(lambda: self.state.load(held))
        self._together(lambda: held.restore_random_state(self.gang.rank, seed))
        self.step = manifest.step
        if self.start.is_of_another_training and self.step >= self.max_steps:
            raise Invalid(
                f"checkpoints.resume.from names step {self.step}, and the steps before it count:"
                f" write hyperparameters.maxSteps (or epochs) of more than {self.step} steps, it is {self.max_steps}"
            )
        if self.step > self.max_steps:
            raise Damaged(f"{held.directory} lies behind the last of the training's {self.max_steps} steps")
        loss = manifest.metrics.get("loss")
        self.loss = math.nan if loss is None else loss
        self.measured = {name: manifest.metrics.get(name) for name in ("evalLoss", "accuracy")}
        self._measured_step = self.step if self.measured.get("evalLoss") is not None else None
        self._best = best(lineage.ancestors)
        exact = self.identity.continues(self._recorded) and manifest.world_size == self.gang.world_size
        latest = {"step": self.step, "time": manifest.created_at, "seconds": None}
        self.telling.tell(latest=latest, loss=loss, **self.measured, **self._best_told())
        self.telling.log({"event": "resume", "step": self.step, "incarnation": manifest.incarnation, "exact": exact})

    def _measure_start(self) -> None:
        """Step 0, or a step whose evaluation the attempt before this one left out because it was asked to stop."""
        every, is_over = self.parameters.eval_every_steps, self.step >= self.max_steps
        if not self.heldout or every is None or self.step % every or self._measured_step == self.step or is_over:
            return
        if self._evaluate() and self.step > 0:
            self._save()

    def _one_step(self) -> bool:
        """One optimizer step and what is due after it; True when the gang was asked to stop."""
        tokens = self._update()
        stop, due, written = self._agree(tokens)
        if self.saver.is_saving and written:
            self._note(self.saver.finish())
        self.saver.check_alone()
        if self._is_evaluation_step():
            due = self._evaluate() or due
        if due or self.step == self.max_steps:
            self._save()
        self.heartbeat.beat()
        return stop and self.step < self.max_steps

    def _update(self) -> int:
        """Forward, backward, clip, step. The loss is per predicted token of the global batch; returns tokens read."""
        parameters, gang = self.parameters, self.gang
        chosen = [self.examples[index] for index in self.order.batch(self.step + 1)]
        targets = sum(example.targets for example in chosen)
        share = chosen[gang.rank * len(chosen) // gang.world_size : (gang.rank + 1) * len(chosen) // gang.world_size]
        size = min(parameters.micro_batch_size or len(share), len(share))
        self._nats = 0.0
        for first in range(0, len(share), size):
            self.model.set_requires_gradient_sync(first + size >= len(share))
            nats, _ = loss_sum(self.model, share[first : first + size], self.tokenizer.pad_token_id or 0, gang.device)
            # FSDP averages gradients over the ranks; a sum over all of them is wanted.
            (nats * (gang.world_size / max(1, targets))).backward()
            self._nats += float(nats.detach())
        norm = get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if parameters.gradient_clip_norm:
            clip_grads_with_norm_(self.model.parameters(), parameters.gradient_clip_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(parameters, self.step + 1, self.max_steps)
        self.optimizer.step()
        self.optimizer.zero_grad()
        share_of_norm = norm.to_local() if isinstance(norm, DTensor) else norm
        self._is_finite = bool(torch.isfinite(share_of_norm)) and self.state.has_finite_parameters()
        self._targets = max(1, targets)
        return sum(len(example.tokens) for example in chosen)

    def _agree(self, tokens: int) -> tuple[bool, bool, bool]:
        """The loss of the step, and whether to stop, to save, and to finish the save under way."""
        due = self.gang.is_first and self._is_save_due()
        nats, lost, stops, saves, written = self.gang.total(
            [self._nats, not self._is_finite, self.wants_stop(), due, self.saver.is_done]
        )
        self.step += 1
        self.loss = nats / self._targets
        self.telling.step(self.step, self.order.epoch_at(self.step), self.loss, tokens)
        if lost or not math.isfinite(self.loss):
            self._diverge()
        return stops > 0, saves > 0, written == self.gang.world_size

    def _diverge(self) -> None:
        """The same settings lead to the same numbers: says what to change, after the save under way has its manifest."""
        self._note(self.saver.settle())
        healthy = [manifest.step for manifest in self.saver.lineage_kept if manifest.healthy]
        what = "gradients or parameters are" if math.isfinite(self.loss) else "the loss is"
        first = " (its very first one: look at the model's weights and at the data, too)" if self.step == 1 else ""
        kept, then = "there is no healthy checkpoint", ""
        if healthy:
            kept = f"the newest healthy checkpoint is step {max(healthy)}"
            then = "; checkpoints.resume.from goes on from there"
        self.telling.tell(step=self.step, loss=self.loss)
        self.telling.log({"event": "diverged", "step": self.step, "loss": finite(self.loss)})
        raise Diverged(
            f"diverged at step {self.step}{first}: {what} no longer finite (loss {self.loss:g}), and {kept}; write, in a"
            f" new training, a lower hyperparameters.learningRate than {self.parameters.learning_rate:g}, more"
            f" warmupSteps or a gradientClipNorm{then}"
        )

    def _is_save_due(self) -> bool:
        policy = self.contract.checkpoints
        if policy.every_steps is not None:
            return (self.step + 1) % policy.every_steps == 0
        return time.monotonic() - self._saved_s >= (policy.every_seconds or math.inf)

    def _is_evaluation_step(self) -> bool:
        every = self.parameters.eval_every_steps
        return bool(self.heldout) and (self.step == self.max_steps or (every is not None and self.step % every == 0))

    def _evaluate(self) -> bool:
        """Measures on held-out data; True when it is better than every checkpoint so far and worth saving.

        Left out when any rank was asked to stop.
        """
        self.telling.tell(state="Evaluating")
        tokenizer = self.tokenizer
        found = evaluate(
            self.model,
            self.heldout,
            self.gang,
            tokenizer.pad_token_id or 0,
            self.heartbeat.beat,
            micro_batch_size=self.parameters.micro_batch_size
            or self.parameters.global_batch_size // self.gang.world_size,
            wants_stop=self.wants_stop,
        )
        if found is None:
            self._leaves = True
            return False
        self.measured = {"evalLoss": found.loss, "accuracy": found.accuracy}
        self._measured_step = self.step
        self.telling.tell(state="Training", evalLoss=found.loss, accuracy=found.accuracy)
        self.telling.log({"event": "evaluation", "step": self.step, **self.measured})
        return bool(self.contract.checkpoints.keep_best) and is_better(self.measured, self._best)

    def _save(self) -> None:
        """Begins a save of this step, after the one before it is committed."""
        self._note(self.saver.settle())
        if self.saver.last_step == self.step:
            return
        self.telling.tell(state="Saving")
        metrics: dict[str, float | None] = {"loss": self.loss}
        if self._measured_step == self.step:
            metrics |= self.measured
        self.saver.begin(self.step, self.state, metrics, healthy=True)  # what isn't ends at its step
        self._saved_s = time.monotonic()
        self.telling.tell(state="Training")

    def _note(self, saved: Saved | None) -> None:
        """Tells of a checkpoint that has become one."""
        if saved is None:
            return
        manifest = saved.manifest
        record = {"event": "checkpoint", "step": manifest.step, "healthy": manifest.healthy}
        self.telling.log({**record, "seconds": round(saved.seconds, 3), "bytes": manifest.size_bytes})
        if manifest.healthy:
            self._best = best(self.saver.lineage_kept)
            latest = {"step": manifest.step, "time": manifest.created_at, "seconds": round(saved.seconds, 3)}
            self.telling.tell(latest=latest, **self._best_told())

    def _best_told(self) -> dict[str, object]:
        return {"best": self._best.to_json() if self._best else None}

    def _leave(self) -> int:
        """SIGTERM: saves on all ranks together, unless nothing was done since the last checkpoint."""
        self.telling.tell(state="Stopping")
        if self.step > self.start.step and self.saver.last_step != self.step:
            self._save()
        self._note(self.saver.settle())
        self.telling.log({"event": "stop", "step": self.step})
        return ExitCode.SAVED

    def _complete(self) -> int:
        """The last checkpoint, then the exports of the last step and of the best one; returns the exit code."""
        self._note(self.saver.settle())
        if self.heldout and self._measured_step != self.step and self._evaluate():
            # Measured late, after a resume: the checkpoint that lies there doesn't carry the measure, this one does.
            self._save()
            self._note(self.saver.settle())
        if self._leaves:
            return self._leave()
        last = self._manifest_of_last()
        self.saver.make_room()
        self._best = best(self.saver.lineage_kept)
        self._export(last)
        top = self._best
        if top is not None and top.manifest.step != self.step:
            best_held = self._held(top.manifest, Volume(self.contract.checkpoints.root))
            self._together(lambda: self.state.load_weights(best_held))
            self._export(top.manifest)
        self.telling.tell(state="Complete", step=self.step, exports=self._exports())
        self.telling.log({"event": "complete", "step": self.step, "loss": self.loss, **self.measured})
        return ExitCode.COMPLETE

    def _manifest_of_last(self) -> Manifest:
        last = self.saver.own[-1] if self.saver.own else self.start.manifest
        assert last is not None
        assert last.step == self.step
        return last

    @staticmethod
    def _held(manifest: Manifest, source: Volume) -> Held:
        return Held(source.step_directory(manifest.incarnation, manifest.step), manifest)

    def _together(self, read: Callable[[], object]) -> None:
        """Reads on each rank alone. Raises Damaged on all of them when one could not."""
        problem: Damaged | None = None
        try:
            read()
        except Damaged as error:
            problem = error
        if self.gang.any(problem is not None):
            raise problem or Damaged("another rank could not read its share of the checkpoint")

    def _exports(self) -> list[int]:
        return [m.step for m in Volume(self.contract.checkpoints.root).exports()] if self.gang.is_first else []

    def _export(self, manifest: Manifest) -> None:
        """Writes the weights held now as the export of a checkpoint; one that is there is never written again."""
        volume = Volume(self.contract.checkpoints.root)
        if broadcast(volume.has_export_of(manifest) if self.gang.is_first else None):
            return
        self.telling.tell(state="Saving")
        weights = full_weights(self.model, self.parameters.precision)
        torn = volume.torn_export_directory(self.start.lineage.incarnation, manifest.step)
        made: str | None = None
        with ThreadPoolExecutor(1) as writer:
            what = (torn, self.model, weights, self.tokenizer, self.spec.model)
            job = writer.submit(write_export, *what) if self.gang.is_first else None
            self._wait_for_export(lambda: job is None or job.done(), lambda: _bytes_below(torn) if job else 0)
            if job is not None:
                with writing(volume.root, f"the export of step {manifest.step}"):
                    job.result()
                    made = volume.commit_export(self._export_manifest(manifest, torn), self.contract.attempt)
        self.telling.log({"event": "export", "step": manifest.step, "export": made})

    def _wait_for_export(self, is_done: Callable[[], bool], written_bytes: Callable[[], int]) -> None:
        moved = -1.0
        while True:
            done, written = self.gang.total([float(is_done()), float(written_bytes())])
            if written != moved:
                self.heartbeat.beat()
            if done == self.gang.world_size:
                return
            moved = written
            time.sleep(LOOK_EVERY_S)

    def _export_manifest(self, checkpoint: Manifest, directory: Path) -> Manifest:
        metrics: Mapping[str, float | None] = checkpoint.metrics
        if self._measured_step == checkpoint.step:
            metrics = {**metrics, **self.measured}
        return Manifest(
            kind="Export",
            training_uid=self.contract.training_uid,
            attempt=self.contract.attempt,
            job_uid=self.contract.job_uid,
            incarnation=self.start.lineage.incarnation,
            step=checkpoint.step,
            world_size=self.gang.world_size,
            sharding="none",
            parent=checkpoint.position,
            files=describe(directory),
            metrics=metrics,
            healthy=True,
            created_at=now(),
        )


def _bytes_below(directory: Path) -> int:
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total
