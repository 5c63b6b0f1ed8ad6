"""Telling a tracking server, or files for TensorBoard, of a run, by a thread of rank 0 that no step waits for.

Records are those of the log. What a server did not take is sent again until it does, or the training ends; what an
attempt before this one made and could not send is read from its curve on the volume. A training is worth more than its
record: a server that is down, slow or refuses is told once in the log, and nothing else comes of it.
"""

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.curve import NAME as CURVE_NAME

VARIABLE = "DEEPSEEK_TRACKING"
Record = Mapping[str, object]

TOGETHER_S = 2.0
"""Records that come within it are sent together."""
MOST_HELD = 20_000
"""Records that may wait for a server, some 10 MB; more are left out, and the curve has them."""
RETRY_S = 10.0
LAST_WAIT_S = 15.0
"""How long the end of a training waits for the last records to be taken."""


@dataclass(frozen=True)
class MLflow:
    """A server as the operator names it; `volume` is where a person finds the root of the checkpoints."""

    uri: str
    experiment: str
    registered_model: str | None
    volume: str


@dataclass(frozen=True)
class Asked:
    """Who is told: an MLflow server, and files for TensorBoard under the name of a run; None for who is not."""

    mlflow: MLflow | None = None
    tensorboard: str | None = None


_KNOWN = {"mlflow": {"uri", "experiment", "registeredModel", "volume"}, "tensorboard": {"run"}}


def read_tracking(environment: Mapping[str, str]) -> Asked:
    """What DEEPSEEK_TRACKING asks for. Raises Invalid."""
    if not (text := environment.get(VARIABLE)):
        return Asked()
    try:
        told = json.loads(text)
        unknown = [name for name in told if name not in _KNOWN]
        unknown += [
            f"{name}.{field}" for name, value in told.items() for field in value.keys() - _KNOWN.get(name, set())
        ]
        if unknown:
            raise Invalid(f"{VARIABLE}: this trainer knows no {min(unknown)}: use a newer runtime image")
        server, files = told.get("mlflow"), told.get("tensorboard")
        if server is None and files is None:
            raise KeyError("mlflow")
        return Asked(
            None if server is None else _mlflow(server),
            None if files is None else str(files["run"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(f'{VARIABLE} is not understood ({error}); an example: {{"mlflow": {{"uri": …}}}}') from None


def _mlflow(value: Mapping[str, str]) -> MLflow:
    return MLflow(
        str(value["uri"]), str(value["experiment"]), value.get("registeredModel"), str(value.get("volume", ""))
    )


class Run(Protocol):
    """The record of one training, over all its attempts. Every method may raise whatever a client raises.

    `title` says who is told, in a sentence.
    """

    @property
    def title(self) -> str: ...

    def open(self) -> Mapping[str, int]:
        """Finds or begins it; returns the last step that it has of each event, `step` and `evaluation`; -1 for none."""

    def send(self, records: Sequence[Record]) -> None:
        """Adds records in order. What of them it has already is not added again."""


class Tracking:
    """Hands records on to a `Run`. Every method returns at once but `close`.

    Args:
        curves: the training's folder, below which every attempt has its curve.
        own: the curve of whoever hands on, who has sent what is in it; None where others wrote to it as well.
    """

    def __init__(self, run: Run, curves: Path, own: Path | None) -> None:
        self._run = run
        self._curves = curves
        self._own = own
        self._records: SimpleQueue[Record | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._closes_at: float | None = None
        self._said = ""

    def hear(self, record: Record) -> None:
        """One record of the log."""
        if self._thread.ident is None:
            self._thread.start()
        if self._records.qsize() < MOST_HELD:
            self._records.put(record)

    def close(self) -> None:
        """Waits until everything is taken, or LAST_WAIT_S."""
        if self._thread.ident is None:
            return
        self._closes_at = time.monotonic() + LAST_WAIT_S
        self._records.put(None)
        self._thread.join(LAST_WAIT_S + 1)

    def _work(self) -> None:
        waiting: list[Record] = []
        is_open, is_last = False, False
        while waiting or not is_last:
            if not is_last:
                more, is_last = self._next(wait_s=RETRY_S if waiting else None)
                waiting = [*waiting, *more][-MOST_HELD:]
            try:
                if not is_open:
                    waiting = [*self._unsent(self._run.open()), *waiting]
                    is_open = True
                self._run.send(waiting)
                waiting = []
            except Exception as error:  # Whatever a client raises: it is not the training's matter.
                is_open = False
                self._complain(error)
                if is_last and not self._may_wait():
                    return

    def _next(self, wait_s: float | None) -> tuple[list[Record], bool]:
        """What comes within a moment, and whether nothing more will; waits for the first no longer than `wait_s`."""
        found: list[Record] = []
        until: float | None = None
        with suppress(Empty):
            while True:
                record = self._records.get(timeout=wait_s if until is None else max(0.0, until - time.monotonic()))
                if record is None:
                    return found, True
                found.append(record)
                until = until or time.monotonic() + TOGETHER_S
        return found, False

    def _may_wait(self) -> bool:
        left_s = (self._closes_at or 0.0) - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(1.0, left_s))
        return True

    def _complain(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"[:500]
        if said != self._said:
            self._said = said
            print(f"trainer: {self._run.title} was not told: {said}", file=sys.stderr, flush=True)

    def _unsent(self, reached: Mapping[str, int]) -> list[Record]:
        """Steps and evaluations behind those which earlier attempts wrote to their curves, and nobody sent."""
        found: dict[tuple[object, int], Record] = {}
        for record in _records_of(file for file in self._curves.glob(f"*/{CURVE_NAME}") if file != self._own):
            step, event = step_of(record), str(record.get("event"))
            if step is not None and step > reached[event]:
                found[event, step] = record
        return [found[key] for key in sorted(found, key=lambda key: key[1])]


def step_of(record: Record) -> int | None:
    """The step that a record has numbers of; None for any other record."""
    step = record.get("step")
    return step if record.get("event") in {"step", "evaluation"} and type(step) is int else None


def _records_of(curves: Iterable[Path]) -> Iterator[Record]:
    """Those of all of them, the oldest first; what can't be read is left out."""
    for file in _by_age(curves):
        with suppress(OSError, UnicodeDecodeError), file.open(encoding="utf-8") as lines:
            for line in lines:
                with suppress(ValueError, RecursionError):
                    if isinstance(record := json.loads(line), dict):
                        yield record


def _by_age(files: Iterable[Path]) -> list[Path]:
    aged = []
    for file in files:
        with suppress(OSError):
            aged.append((file.stat().st_mtime, file))
    return [file for _, file in sorted(aged)]
