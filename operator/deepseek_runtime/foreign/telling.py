"""Steps and losses from a foreign trainer's own log: its heartbeat, and what /progress shows.

LLaMA-Factory writes `trainer_log.jsonl` (current_steps, total_steps, loss, eval_loss, epoch), ms-swift `logging.jsonl`
("global_step/max_steps": "5/100", loss, eval_loss, epoch), both a line a step where they are asked to. A trainer without such a
file is known by its checkpoints alone, and nothing is a stall of it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.checkpoint.document import Unreadable, opened
from deepseek_runtime.checkpoint.manifest import finite

_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Said:
    """What the end of a log says; None is what it does not say."""

    step: int | None = None
    max_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None

    def fields(self) -> dict[str, object]:
        """By their names in /progress."""
        named = {"step": self.step, "maxSteps": self.max_steps, "epoch": self.epoch}
        measured = {"loss": self.loss, "evalLoss": self.eval_loss}
        known = {**named, **{name: finite(value) for name, value in measured.items()}}
        return {name: value for name, value in known.items() if value is not None}


def read(log: Path) -> Said:
    """The newest of each value in the last lines of a log; a line that is half written counts nothing."""
    said: dict[str, object] = {}
    for line in _lines(log):
        said |= _values(line)
    return Said(
        step=_whole(said.get("step")),
        max_steps=_whole(said.get("max_steps")),
        epoch=_number(said.get("epoch")),
        loss=_number(said.get("loss")),
        eval_loss=_number(said.get("eval_loss")),
    )


def _lines(log: Path) -> list[Mapping[str, object]]:
    try:
        with opened(log) as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _TAIL_BYTES))
            text = stream.read(_TAIL_BYTES).decode(errors="replace")
    except (OSError, Unreadable):
        return []
    found: list[Mapping[str, object]] = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _values(line: Mapping[str, object]) -> dict[str, object]:
    step, wanted = line.get("current_steps"), line.get("total_steps")
    together = line.get("global_step/max_steps")
    if isinstance(together, str) and together.count("/") == 1:
        step, wanted = (int(part) if part.isdigit() else None for part in together.split("/"))
    named = {"step": step, "max_steps": wanted, **{name: line.get(name) for name in ("epoch", "loss", "eval_loss")}}
    return {name: value for name, value in named.items() if value is not None}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
