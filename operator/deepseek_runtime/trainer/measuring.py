"""When a training is measured on held-out data, and what the last measure was."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.trainer.data.corpus import Heldout
from deepseek_runtime.trainer.evaluation import evaluate
from deepseek_runtime.trainer.own_metrics import Failed, OwnMetrics
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.sampling import sampled

USUAL = ("evalLoss", "accuracy")


@dataclass(frozen=True)
class Measured:
    """The last measure, by the names in a manifest, and the step that it is of; None while there is none."""

    step: int | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    def of(self, step: int) -> Mapping[str, float | None]:
        """What is known of that step."""
        return self.metrics if self.step == step else {}


def told(metrics: Mapping[str, float | None]) -> dict[str, object]:
    """Fields of /progress: those of a user's own by their names in one of them."""
    usual = {name: metrics[name] for name in USUAL if name in metrics}
    own = {name: value for name, value in metrics.items() if name not in USUAL}
    return {**usual, **({"metrics": own} if own else {})}


@dataclass
class Measuring:
    """Measures, and remembers the last measure. `gave_way` says that one, or its samples, were left out for a stop."""

    rank: Rank
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    heldout: Heldout
    max_steps: int
    last: Measured
    own: OwnMetrics | None = None
    gave_way: bool = False

    def is_due(self, step: int) -> bool:
        """Whether it belongs to a step that was just made."""
        return self._measures and (step == self.max_steps or self._is_regular(step))

    def is_missing(self, step: int) -> bool:
        """Whether it belongs to the step that an attempt begins after: step 0, or one before which a stop came."""
        return self._measures and self._is_regular(step) and step < self.max_steps and self.last.step != step

    def is_missing_at_the_end(self, step: int) -> bool:
        """Whether nothing is known of the step that was the last."""
        return self._measures and self.last.step != step

    @property
    def _measures(self) -> bool:
        return bool(self.heldout) or self.own is not None

    def measure(self, step: int) -> bool:
        """Measures, unless any rank was asked to stop: whether it was done."""
        rank = self.rank
        rank.telling.tell(state="Evaluating")
        metrics = self._evaluated() if self.heldout else {}
        own = self._own(step) if metrics is not None else None
        if metrics is None or own is None:
            self.gave_way = True
            return False
        self.last = Measured(step, {**metrics, **own})
        rank.telling.tell(state="Training", **told(self.last.metrics))
        rank.telling.log({"event": "evaluation", "step": step, **self.last.metrics})
        self._sample(step)
        return True

    def _evaluated(self) -> Mapping[str, float | None] | None:
        """What the held-out examples tell; None where any rank was asked to stop."""
        rank, parameters = self.rank, self.rank.parameters
        found = evaluate(
            self.model,
            self.heldout,
            rank.gang,
            self.tokenizer.pad_token_id or 0,
            rank.heartbeat.beat,
            micro_batch_size=parameters.micro_batch_size or parameters.global_batch_size // rank.gang.world_size,
            wants_stop=rank.wants_stop,
            in_pieces=parameters.cross_entropy == "Chunked",
        )
        return None if found is None else {"evalLoss": found.loss, "accuracy": found.accuracy}

    def _own(self, step: int) -> Mapping[str, float | None] | None:
        """What the user's program tells, nothing where it fails; None where any rank was asked to stop."""
        if self.own is None:
            return {}
        found = self.own.measure(step)
        if not isinstance(found, Failed):
            self.rank.telling.tell(evaluationFailure=None)
            return found
        self.rank.telling.tell(evaluationFailure={"step": step, "message": found.message})
        self.rank.telling.log({"event": "evaluationFailed", "step": step, "message": found.message})
        return {}

    def _sample(self, step: int) -> None:
        """What the model writes after the first prompts; nothing where any rank was asked to stop."""
        rank, parameters = self.rank, self.rank.parameters
        examples = self.heldout.answers[: parameters.eval_samples]
        if not examples:
            return
        told = sampled(
            self.model,
            self.tokenizer,
            examples,
            rank.gang,
            rank.heartbeat.beat,
            most_tokens=parameters.eval_sample_tokens,
            wants_stop=rank.wants_stop,
        )
        self.gave_way = told is None
        for sample in told or ():
            rank.telling.log({"event": "sample", "step": step, **sample.to_json()})

    def _is_regular(self, step: int) -> bool:
        every = self.rank.parameters.eval_every_steps
        return every is not None and step % every == 0
