"""A training in this process, seen from outside: what went through the model, what the optimizer did, what was kept.

Nothing of the trainer is replaced but its clock: torch's own hooks look at embeddings and optimizers, the rest is
read from the log records and from the volume.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.modules.module import register_module_forward_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from transformers import PreTrainedModel

from deepseek_runtime.contract import ExitCode, read_contract
from deepseek_runtime.rundir import Heartbeat
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer import checkpoints
from deepseek_runtime.trainer.gang import Gang
from deepseek_runtime.trainer.preparing import prepare
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.telling import Telling
from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, PAD_ID, byte_tokenizer

Document = dict[str, object]


@dataclass(frozen=True)
class Pass:
    """One forward pass of `texts`, padding left out; `width` in tokens, padding included."""

    texts: tuple[str, ...]
    width: int
    is_training: bool
    kind: torch.dtype


@dataclass
class Update:
    """One optimizer step: learning rate, norm of the gradients, and the parameters around it in a fixed order."""

    rate: float
    gradient_norm: float
    before: list[torch.Tensor]
    after: list[torch.Tensor] = field(default_factory=list)

    @property
    def change(self) -> torch.Tensor:
        """What the step added to the parameters, as one vector."""
        return torch.cat([(new - old).flatten() for old, new in zip(self.before, self.after, strict=True)])


@dataclass
class Observed:
    """A training that has run below `root`, as incarnation `name`, and ended with exit code `code`.

    `told` is what /progress would show at its end, `logits` the shapes of all that left the model's head, `attended` how
    often attention was computed in training.
    """

    root: Path
    name: str
    code: int = -1
    records: list[Document] = field(default_factory=list)
    told: Document = field(default_factory=dict)
    passes: list[Pass] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    logits: list[torch.Size] = field(default_factory=list)
    attended: int = 0
    _model: PreTrainedModel | None = None

    @property
    def network(self) -> PreTrainedModel:
        """The model that was trained, as it was at the end."""
        assert self._model is not None
        return self._model

    @property
    def losses(self) -> list[float]:
        """Of every step that was made; NaN for one that was not finite."""
        told = [record["loss"] for record in self.records if record["event"] == "step"]
        return [math.nan if loss is None else float(str(loss)) for loss in told]

    @property
    def evaluations(self) -> list[object]:
        """Steps after which it was evaluated."""
        return [record["step"] for record in self.records if record["event"] == "evaluation"]

    @property
    def trained(self) -> list[Pass]:
        return [one for one in self.passes if one.is_training]

    @property
    def evaluated(self) -> list[Pass]:
        return [one for one in self.passes if not one.is_training]

    @property
    def learnt(self) -> Counter[str]:
        """How often each text was trained on."""
        return Counter(text for one in self.trained for text in one.texts)

    @property
    def began(self) -> tuple[object, object]:
        """The step that it started from, and the incarnation that it resumed from, None for a fresh start."""
        first = next(record for record in self.records if record["event"] in ("start", "resume"))
        return first["step"], first.get("incarnation")

    @property
    def kept(self) -> list[int]:
        """Steps of the checkpoints that are left of this incarnation."""
        found = (self.root / self.name).glob("step-*/manifest.json")
        return sorted(int(file.parent.name.removeprefix("step-")) for file in found)

    def manifest(self) -> Document:
        """The newest checkpoint's manifest."""
        value = json.loads((self.root / self.name / f"step-{self.kept[-1]:08d}" / "manifest.json").read_text())
        assert isinstance(value, dict)
        return value

    def export(self) -> Path:
        """The export of the last step."""
        return self.root / "exports" / str(len(self.losses))


@dataclass
class _Told(Telling):
    records: list[Document] = field(default_factory=list)

    def log(self, record: Mapping[str, object]) -> None:
        self.records.append(dict(record))


@dataclass
class Bench:
    """Trains below `volume`; `pace_s` is how long every look at the trainer's clock seems to take.

    `wants_stop` says, from what is observed so far, whether SIGTERM has come.
    """

    gang: Gang
    volume: Path
    pace_s: float = 0.0
    wants_stop: Callable[[Observed], bool] = lambda _: False

    def train(self, spec: Document, variables: Mapping[str, str] = MappingProxyType({})) -> Observed:
        """One attempt. `variables` replace those of `environment`."""
        contract = read_contract({**environment(self.volume), **variables})
        observed = Observed(contract.checkpoints.root, contract.pod_uid)
        told = _Told(None, False, fields=observed.told, records=observed.records)
        trains = read_spec(json.dumps(spec))
        stops = partial(self.wants_stop, observed)
        with _watched(observed), _clock(self.pace_s):
            training = prepare(Rank(contract, trains, self.gang, Heartbeat(None), told, stops))
            try:
                observed.code = training.run()
            finally:
                # Whoever is killed here leaves a thread behind, which no pod does: its save comes to an end first.
                training.checkpoints.saver.beside.shutdown()
        observed._model = training.learner.model
        assert observed.code == ExitCode.COMPLETE or self.wants_stop(observed)
        return observed


def environment(volume: Path) -> dict[str, str]:
    """What the operator tells the only pod of a first attempt."""
    return {
        "DEEPSEEK_TRAINING_NAME": "training",
        "DEEPSEEK_TRAINING_NAMESPACE": "team",
        "DEEPSEEK_TRAINING_UID": "training-uid",
        "DEEPSEEK_ATTEMPT": "1",
        "DEEPSEEK_JOB_UID": "job-1",
        "DEEPSEEK_POD_UID": "first",
        "DEEPSEEK_CHECKPOINT_ROOT": str(volume / "training-uid"),
        "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "1000",
        "DEEPSEEK_PROGRESS_PORT": "0",
    }


@contextmanager
def _watched(observed: Observed) -> Iterator[None]:
    tokenizer = byte_tokenizer()

    def passed(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Embedding) and arguments[0].ndim == 2:  # virtual tokens are of no text
            rows = arguments[0].tolist()
            texts = tuple(str(tokenizer.decode([token for token in row if token != PAD_ID])) for row in rows)
            observed.passes.append(Pass(texts, arguments[0].shape[1], module.training, output.dtype))
        elif isinstance(module, nn.Linear) and module.out_features == BYTE_VOCABULARY:
            observed.logits.append(output.shape)
        elif type(module).__name__.endswith("Attention"):
            observed.attended += module.training

    def begun(optimizer: Optimizer, *_: object) -> None:
        parameters = _parameters(optimizer)
        gradients = [local(one.grad) for one in parameters if one.grad is not None]
        norm = float(torch.cat([one.flatten() for one in gradients]).norm())
        rate = float(optimizer.param_groups[0]["lr"])
        observed.updates.append(Update(rate, norm, [local(one).clone() for one in parameters]))

    def done(optimizer: Optimizer, *_: object) -> None:
        observed.updates[-1].after = [local(one).clone() for one in _parameters(optimizer)]
        if not observed.updates[-1].rate:  # torch allocates the state of a fresh optimizer by a step without effect
            observed.updates.pop()

    hooks = [
        register_module_forward_hook(passed),
        register_optimizer_step_pre_hook(begun),
        register_optimizer_step_post_hook(done),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _parameters(optimizer: Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process has of it: all, where it is the only one."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()


@contextmanager
def _clock(pace_s: float) -> Iterator[None]:
    """What says when a save is due reads a clock of its own, which moves by `pace_s` at every look."""
    looks = [0]

    def monotonic() -> float:
        looks[0] += 1
        return looks[0] * pace_s

    names = vars(checkpoints)
    own = names["time"]
    names["time"] = SimpleNamespace(monotonic=monotonic, sleep=time.sleep)
    try:
        yield
    finally:
        names["time"] = own
