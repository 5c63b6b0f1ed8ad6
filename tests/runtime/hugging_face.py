"""One training by the built-in trainer and by Hugging Face's Trainer: same weights, batches, order, optimizer and rates.

The first run leaves its batches, which the second reads, so that neither's reading of data is part of the comparison.
"""

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from deepseek_runtime.contract import read_contract
from deepseek_runtime.rundir import Heartbeat
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer.data.example import IGNORED
from deepseek_runtime.trainer.gang import Gang
from deepseek_runtime.trainer.optimizers import ADAM_BETAS
from deepseek_runtime.trainer.preparing import prepare
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.telling import Telling
from tests.runtime.observed import Document, environment


@dataclass
class Run:
    """What one trainer made: the loss of each step, seconds of the clock and of the processor by then, the most memory that
    the process had held by the last of them, and seconds in which a save held steps up."""

    losses: list[float] = field(default_factory=list)
    clock_s: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    blocked_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def step(self, loss: float) -> None:
        """One more is done."""
        self.losses.append(loss)
        self.clock_s.append(time.monotonic())
        self.processor_s.append(time.process_time())
        self.peak_mb = memory_mb("VmHWM")


@dataclass
class _Told(Telling):
    """Telling has a `run` of its own, the folder of a pod."""

    made: Run = field(default_factory=Run)

    def log(self, record: Mapping[str, object]) -> None:
        if record["event"] == "step":
            self.made.step(float(str(record["loss"])))
        if record["event"] == "checkpoint":
            self.made.blocked_s.append(float(str(record["blockedSeconds"])))


def ours(gang: Gang, volume: Path, spec: Document, batches: Path, **variables: str) -> Run:
    """By the built-in trainer. `spec` begins with weights in a folder; `variables` are named without DEEPSEEK_."""
    named = {f"DEEPSEEK_{name}": value for name, value in variables.items()}
    told = _Told(None, is_loud=False)
    contract = read_contract({**environment(volume), **named})
    training = prepare(Rank(contract, read_spec(json.dumps(spec)), gang, Heartbeat(None), told, lambda: False))
    learnt = [training.learner.corpus.batch(step + 1) for step in range(training.max_steps)]
    batches.write_text(json.dumps([[[list(one.tokens), one.learnt] for one in batch] for batch in learnt]))
    told.made.tokens = [sum(len(one.tokens) for one in batch) for batch in learnt]
    training.run()
    return told.made


def theirs(folder: Path, spec: Document, batches: Path) -> Run:
    """By Hugging Face's Trainer, in `folder`."""
    wanted: Any = spec["hyperparameters"]
    model = AutoModelForCausalLM.from_pretrained(spec["model"]["path"], dtype=torch.float32)  # type: ignore[index]
    examples = json.loads(batches.read_text())
    trainer = _Theirs(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            max_steps=wanted["maxSteps"],
            per_device_train_batch_size=wanted["globalBatchSize"],
            learning_rate=float(wanted["learningRate"]),
            lr_scheduler_type=wanted["schedule"].lower(),
            weight_decay=float(wanted["weightDecay"]),
            max_grad_norm=float(wanted["gradientClipNorm"]),
            adam_beta1=ADAM_BETAS[0],
            adam_beta2=ADAM_BETAS[1],
            optim="adamw_torch_fused",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=[_labelled(*one) for batch in examples for one in batch],
        data_collator=_padded,
    )
    trainer.run.tokens = [sum(len(one[0]) for one in batch) for batch in examples]
    trainer.train()
    return trainer.run


class _Theirs(Trainer):
    """Their loop, in the given order, told of each step."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments, callbacks=[_Steps(self)])
        self.run, self.loss = Run(), math.nan

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss = super().training_step(*arguments, **named)
        self.loss = float(loss)
        return loss


class _Steps(TrainerCallback):
    """After the optimizer's part of each step."""

    def __init__(self, trainer: _Theirs) -> None:
        self._trainer = trainer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._trainer.run.step(self._trainer.loss)


def _labelled(tokens: Sequence[int], learnt: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    labels = [IGNORED] * len(tokens)
    for start, end in learnt:
        labels[start:end] = tokens[start:end]
    return {"input_ids": list(tokens), "labels": labels}


def _padded(examples: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    width = max(len(one["input_ids"]) for one in examples)

    def filled(name: str, value: int) -> torch.Tensor:
        return torch.tensor([one[name] + [value] * (width - len(one[name])) for one in examples])

    seen = torch.tensor([[1] * len(one["input_ids"]) + [0] * (width - len(one["input_ids"])) for one in examples])
    return {"input_ids": filled("input_ids", 0), "labels": filled("labels", IGNORED), "attention_mask": seen}


def memory_mb(name: str) -> float:
    """Of this process: VmRSS is what it holds, VmHWM the most that it ever held."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def per_second(run: Run, seconds: Sequence[float]) -> float:
    """Tokens a second of the fastest half of the steps after the first two, which warm up: others disturb the rest."""
    taken = sorted(
        (after - before) / tokens
        for before, after, tokens in zip(seconds[1:], seconds[2:], run.tokens[2:], strict=False)
    )
    best = taken[: math.ceil(len(taken) / 2)]
    return len(best) / sum(best)
