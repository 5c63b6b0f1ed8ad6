"""A training as lines for a terminal and as a row of a table, read off the stored object."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.common.attempts import AttemptRecord
from deepseek_operator.api.v1alpha1.training.progress import ProgressStatus
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.conditions import headline
from deepseek_operator.core.kinds import Failed, Lived

COLUMNS: tuple[str, ...] = ("WORKERS", "PROGRESS", "LOSS", "TOKENS/S", "MFU", "ETA", "CHECKPOINT", "RESTARTS")
"""What a table of trainings says of each."""


def status_of(training: Mapping[str, Any]) -> TrainingStatus:
    """What the operator says of it. Raises ValueError: that can't be read by this version."""
    return TrainingStatus.model_validate(training.get("status") or {})


def picture(training: Mapping[str, Any]) -> str:
    """Where the training stands now, and how its earlier attempts ended."""
    return "\n".join(_lines(training["metadata"]["name"], status_of(training))) + "\n"


def _lines(name: str, status: TrainingStatus) -> Iterator[str]:
    why = headline(status.conditions)
    yield f"{name}: {status.phase or 'Pending'}, {why.message if why is not None else 'nothing was observed yet'}"
    if status.progress is not None:
        yield f"  {_progress(status.progress, status.summary.progress, status.summary.eta)}"
    if (saved := status.last_checkpoint) is not None:
        best = f", best at step {status.best_checkpoint.step}" if status.best_checkpoint is not None else ""
        yield f"  checkpoint at step {saved.step}{f' of {saved.time}' if saved.time else ''}{best}"
    if status.exports:
        yield f"  exported steps {', '.join(map(str, status.exports))}"
    yield from (f"  {_ended(one)}" for one in status.history)
    if (attempt := status.attempt) is not None and attempt.verdict is None:
        yield f"  attempt {attempt.number}: under way since {attempt.running_at or attempt.recorded_at}"
        yield from (f"    {one.pod} failed first: {one.cause}. {one.message}".rstrip() for one in attempt.failures[:1])


def _progress(progress: ProgressStatus, steps: str | None, eta: str | None) -> str:
    """`Training 120/400 (30 %), loss 1.2, 900 tokens/s, 2m left`: what is known."""
    numbers = (
        ("loss ", progress.loss, ""),
        ("held-out loss ", progress.eval_loss, ""),
        ("accuracy ", progress.accuracy, ""),
        ("", progress.tokens_per_second, " tokens/s"),
        ("MFU ", progress.mfu, ""),
        ("", eta, " left"),
    )
    told = [f"{before}{value}{after}" for before, value, after in numbers if value is not None]
    at = steps or (f"step {progress.step}" if progress.step is not None else "no step yet")
    return ", ".join((f"{progress.state} {at}".strip(), *told))


def _ended(one: AttemptRecord) -> str:
    steps = f", steps {one.first_step} to {one.last_step}" if one.first_step and one.last_step else ""
    loss = f", loss {one.loss}" if one.loss is not None else ""
    return f"attempt {one.number}: {one.verdict} ({one.cause}) at {one.ended_at}{steps}{loss}"


def exit_status(training: Mapping[str, Any]) -> int | None:
    """0 once it is complete, 1 once it has failed; None while it may go on."""
    match status_of(training).result:
        case "Complete":
            return 0
        case "Failed":
            return 1
        case None:
            return None


def row(training: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells of those columns."""
    status = status_of(training)
    progress = status.progress or ProgressStatus()
    saved = status.last_checkpoint
    cells = (
        status.summary.workers,
        status.summary.progress,
        progress.loss,
        progress.tokens_per_second,
        progress.mfu,
        status.summary.eta,
        str(saved.step) if saved is not None else None,
    )
    return (*(cell or "-" for cell in cells), str(status.restarts))


def failures(training: Mapping[str, Any]) -> tuple[Failed, ...]:
    """Pods of the present attempt that failed, the first one first; then earlier attempts, which keep no pod's name."""
    status = status_of(training)
    present = status.attempt
    number = present.number if present is not None else 0
    first = present.failures if present is not None else []
    now = [Failed(number, one.pod, f"{one.cause}. {one.message}".rstrip()) for one in first]
    earlier = [
        Failed(one.number, "", f"{one.cause}. {one.message}".rstrip())
        for one in reversed(status.history)
        if one.number != number and one.verdict in ("Crash", "Disruption", "Invalid")
    ]
    return (*now, *earlier)


def lives(training: Mapping[str, Any]) -> tuple[Lived, ...]:
    """Every attempt that the status remembers, oldest first."""
    status = status_of(training)
    told = {one.number: _lived(one) for one in status.history}
    present, progress = status.attempt, status.progress or ProgressStatus()
    if present is not None and present.number not in told:
        step, loss = progress.step, number(progress.loss)
        told[present.number] = Lived(present.number, progress.first_step, step, loss, present.verdict or "", "")
    return tuple(told[one] for one in sorted(told))


def _lived(one: AttemptRecord) -> Lived:
    ended = one.cause if one.verdict != "Complete" else "Complete"
    return Lived(one.number, one.first_step, one.last_step, number(one.loss), ended or one.verdict, one.curve or "")


def number(text: str | None) -> float | None:
    """A decimal of a status; None for what is none, since anybody may write there."""
    try:
        found = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None
