"""The series of the objects that the mirror has, as text for Prometheus.

They are made when they are asked for, of what the watches have told, so that they cost no request and nothing between two
scrapes; an object that has not changed since the last one is not read again. One process of several tells them, the one
that holds the Lease: each series is there once.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any

from pydantic import ValidationError

from deepseek_operator.controller.held import Held
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Entry, Kinds
from deepseek_operator.core.metrics import Metric, Row
from deepseek_operator.core.resources import Manifest
from deepseek_operator.ports.clock import Clock

MOST_ROWS = 32
"""Of one metric of one object. No list of a status that has a row for each item may be longer than half of it."""
LONGEST_LABEL = 128
"""Characters of a label's value. Names and words of ours have at most 63."""
AT_ONCE = 16
"""Objects that are read before others have a turn: half a millisecond each."""
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True)
class _Told:
    """What one object has at one version: the lines of each metric, in the order of its kind's."""

    version: int
    lines: tuple[str, ...]


class Told:
    """What all kinds tell of their objects. Bounded by objects, metrics and MOST_ROWS; a series goes with its object."""

    def __init__(
        self, mirror: Mirror, kinds: Kinds, configuration: Configuration, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._mirror = mirror
        self._clock = clock
        self._held = Held(mirror)
        self._words = {entry.resource: entry.word for entry in kinds}
        self._kinds = [(entry, entry.make(configuration)) for entry in kinds if entry.metrics]
        self._leads = leads
        self._told: dict[str, _Told] = {}

    async def exposition(self) -> bytes:
        """The text that Prometheus scrapes; empty while another process leads."""
        if not self._leads():
            self._told = {}
            self._held.forget()
            return b""
        living: dict[str, _Told] = {}
        texts: list[str] = []
        for entry, kind in self._kinds:
            found = await self._read(entry, kind.parse)
            living.update(found)
            for place, metric in enumerate(entry.metrics):
                if lines := "".join(told.lines[place] for told in found.values()):
                    texts.append(f"{_head(metric)}{lines}")
        self._told = living
        texts.extend(self._of_pods())
        return "".join(texts).encode()

    def _of_pods(self) -> Iterator[str]:
        owners = {
            uid: (word, key)
            for resource, word in self._words.items()
            for key, uid, _ in self._mirror.versions(resource)
        }
        for metric, rows in self._held.look(owners, self._clock.now()).items():
            if lines := "".join(_lines(metric, key, (row,)) for key, row in rows):
                yield f"{_head(metric)}{lines}"

    async def _read(self, entry: Entry, parse: Callable[[Manifest], Any]) -> dict[str, _Told]:
        """By uid what the objects of a kind have. Passes go on meanwhile: some objects at a time are read."""
        found: dict[str, _Told] = {}
        fresh = 0
        for key, uid, version in self._mirror.versions(entry.resource):
            known = self._told.get(uid)
            if known is None or known.version != version:
                known = _Told(version, self._lines(key, entry.metrics, parse))
                fresh += 1
                if fresh % AT_ONCE == 0:
                    await asyncio.sleep(0)
            found[uid] = known
        return found

    def _lines(self, key: Key, metrics: Sequence[Metric], parse: Callable[[Manifest], Any]) -> tuple[str, ...]:
        """None of an object that can't be read: it has a condition that says so, and others are told as ever."""
        manifest = self._mirror.get(key.resource, key.namespace, key.name)
        try:
            owner = parse(manifest or {})
        except (ValidationError, RecursionError):
            return ("",) * len(metrics)
        return tuple(_lines(metric, key, metric.read(owner)) for metric in metrics)


def _head(metric: Metric) -> str:
    text = metric.text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {metric.name} {text}\n# TYPE {metric.name} {metric.type}\n"


def _lines(metric: Metric, key: Key, rows: Iterable[Row]) -> str:
    """A line for each set of labels: of two rows with the same one the first, since Prometheus refuses a repeated one."""
    found: dict[tuple[str, ...], float] = {}
    for values, number in islice(rows, MOST_ROWS):
        if isfinite(number):
            found.setdefault(tuple(value[:LONGEST_LABEL] for value in values), number)
    names = ("namespace", "name", *metric.labels)
    return "".join(
        f"{metric.name}{{{_pairs(names, (key.namespace, key.name, *values))}}} {float(number)!r}\n"
        for values, number in found.items()
    )


def _pairs(names: Iterable[str], values: Iterable[str]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in zip(names, values, strict=True))
