"""What the trainer is asked to measure with, and what its measures may end, read from its specification."""

import re
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.fields import Fields

MOST_METRICS = 16
"""Of a user's own: each is a column of many tables, and a program that prints hundreds means something else."""
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class EarlyStopping:
    """A training ends after `patience` evaluations in a row of which none was better by more than `min_delta`."""

    patience: int
    min_delta: float


@dataclass(frozen=True)
class Evaluation:
    """A program of the user's own that measures the model at each evaluation; it is given so many seconds.

    `folder`: where a program in a container of its own is asked to; None: it runs beside the trainer.
    """

    command: tuple[str, ...]
    timeout_s: int
    folder: Path | None = None


def early_stopping(root: Fields) -> EarlyStopping:
    """Reads `earlyStopping`. Raises Invalid."""
    fields, hyperparameters = root.fields("earlyStopping"), root.fields("hyperparameters")
    fields.only("patience", "minDelta")
    if not fields.has("patience"):
        raise fields.wrong("patience", "write after how many evaluations without a better one to stop, for example 3")
    if not hyperparameters.has("evalEverySteps"):
        raise hyperparameters.wrong("evalEverySteps", "earlyStopping counts evaluations: write the steps between them")
    return EarlyStopping(fields.integer("patience", 1, least=1), fields.decimal("minDelta", 0.0, least=0.0))


def evaluation(fields: Fields) -> Evaluation:
    """Reads `evaluation`. Raises Invalid."""
    fields.only("command", "timeoutSeconds", "folder")
    if not fields.has("command"):
        raise fields.wrong("command", "write the program that measures the model, for example [python3, /app/bleu.py]")
    folder = Path(fields.text("folder")) if fields.has("folder") else None
    return Evaluation(fields.texts("command", ()), fields.integer("timeoutSeconds", 600, least=1), folder)
