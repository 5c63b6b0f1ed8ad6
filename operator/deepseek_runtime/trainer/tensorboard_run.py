"""A training's run as event files that TensorBoard reads: `<volume>/tensorboard/<run>-<uid>/`, a file for each attempt.

A number can't be taken back, but TensorBoard forgets: a session that starts at a step purges what there is of that step
and of later ones. Each file begins with one, and so does what follows a resume or a rollback. So a run has every step
once, as it was made last, whichever attempts made it.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar, text

from deepseek_runtime.checkpoint.document import Unreadable, opened
from deepseek_runtime.contract import Contract
from deepseek_runtime.trainer.tracking import Record

FOLDER = "tensorboard"
_UID = 8
"""Characters of a training's uid that tell runs of one name apart."""
_LONGEST = 1 << 20
"""Bytes of one event; ours have some hundred."""
_SAVED = {"seconds": "checkpointSeconds", "blockedSeconds": "checkpointBlockedSeconds"}


@dataclass
class TensorboardRun:
    """One attempt's part of the run in `folder`. `name` tells its files from those of other attempts."""

    folder: Path
    name: str
    title: str = "TensorBoard's folder"
    _writer: EventsWriter | None = None
    _files: "Iterator[int]" = field(default_factory=count)
    _held: "Held" = field(default_factory=lambda: Held())

    @staticmethod
    def of(run: str, contract: Contract) -> "TensorboardRun":
        """The run of that name on the volume of the checkpoints."""
        place = contract.checkpoints.root.parent / FOLDER / f"{run}-{contract.training_uid[:_UID]}"
        return TensorboardRun(place, contract.pod_uid)

    def open(self) -> Mapping[str, int]:
        """Returns the last step that it has of each event, -1 for none; what is sent then goes into a new file."""
        self._writer = None
        self._held = held(self.folder)
        measured = (step for event, step in self._held.beside if event == "evaluation")
        return {"step": self._held.step, "evaluation": max(measured, default=-1)}

    def send(self, records: Sequence[Record]) -> None:
        """Adds all numbers of steps, evaluations and saves, and what was written as samples."""
        made = [record for record in records if record.get("event") in _TOLD and type(record.get("step")) is int]
        if not made:
            return
        if self._writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            suffix = f".{self.name}.{next(self._files)}"
            self._writer = EventsWriter(str(self.folder / "events"), suffix)
            # Of the steps that could not be sent before some may be there. What is told beside a step takes none back: the
            # step itself may have been sent long ago.
            ways = (_next(record) for record in made if record["event"] not in _BESIDE.values())
            self._write(_session(min(ways, default=self._held.step + 1)))
        for record in made:
            step = record["step"]
            assert isinstance(step, int)
            # A step that was measured, and whose measure no checkpoint holds, is measured again.
            if (record["event"], step) not in self._held.beside:
                for event in _TOLD[str(record["event"])](record, step):
                    event.wall_time = datetime.fromisoformat(str(record["time"])).timestamp()
                    self._write(event)
        self._writer.flush()

    def _write(self, event: Event) -> None:
        assert self._writer is not None
        self._writer.write_event(event)
        if event.HasField("session_log"):
            self._held.purge(event.step)


@dataclass
class Held:
    """What TensorBoard shows of a run: its last step, -1 for none, and the events that were told beside steps."""

    step: int = -1
    beside: set[tuple[str, int]] = field(default_factory=set)

    def read(self, event: Event) -> None:
        """One more event, in their order."""
        if event.HasField("session_log"):
            self.purge(event.step)
        tags = {value.tag for value in event.summary.value}
        self.step = event.step if "loss" in tags else self.step
        self.beside |= {(_BESIDE[tag], event.step) for tag in tags & _BESIDE.keys()}

    def purge(self, first: int) -> None:
        """A session starts at that step."""
        self.step = min(self.step, first - 1)
        self.beside = {(event, step) for event, step in self.beside if step < first}


def held(folder: Path) -> Held:
    """Of the files that lie there; one that can't be read counts as empty."""
    found = Held()
    for file in sorted(folder.glob("*tfevents*")):
        with suppress(OSError, Unreadable):
            for event in events(file):
                found.read(event)
    return found


def events(file: Path) -> Iterator[Event]:
    """What a file holds, up to where its writer was killed. Raises OSError, and Unreadable for what is no file."""
    with opened(file) as stream:
        while len(head := stream.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if length > _LONGEST or len(body := stream.read(length + 4)) < length + 4:
                return
            try:
                yield Event.FromString(body[:length])
            except Exception:  # whatever a parser raises for what is no event
                return


def _next(record: Record) -> int:
    """The first step that the record tells of, or leaves to be made again."""
    step = record["to" if record["event"] == "rollback" else "step"]
    assert isinstance(step, int)
    return step if record["event"] not in _RESTARTS else step + 1


def _session(step: int) -> Event:
    """Purges that step and all later ones."""
    return Event(step=step, session_log=SessionLog(status=SessionLog.START))


def _restart(record: Record, step: int) -> Iterator[Event]:
    yield _session(_next(record))


def _numbers(record: Record, step: int) -> Iterator[Event]:
    found = {name: value for name, value in record.items() if name != "step" and _is_number(value)}
    yield from _scalars(found, step)


def _saved(record: Record, step: int) -> Iterator[Event]:
    yield from _scalars({tag: record[name] for name, tag in _SAVED.items() if _is_number(record.get(name))}, step)


def _sample(record: Record, step: int) -> Iterator[Event]:
    shown = {name: value for name, value in record.items() if name not in ("time", "event", "step")}
    lines = [f"    {line}" for name, value in shown.items() for line in f"{name}: {value}".splitlines()]
    yield Event(step=step, summary=text("sample", "\n".join(lines)))


def _scalars(values: Mapping[str, object], step: int) -> Iterator[Event]:
    if values:
        event = Event(step=step)
        for name, value in values.items():
            event.summary.value.extend(scalar(name, value).value)
        yield event


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_RESTARTS = ("start", "resume", "rollback")
_BESIDE = {"evalLoss": "evaluation", "sample/text_summary": "sample", "checkpointSeconds": "checkpoint"}
"""Events that are told of a step beside its own, by a tag that each of them has."""
_TOLD = {
    "step": _numbers,
    "evaluation": _numbers,
    "checkpoint": _saved,
    "sample": _sample,
    **dict.fromkeys(_RESTARTS, _restart),
}
