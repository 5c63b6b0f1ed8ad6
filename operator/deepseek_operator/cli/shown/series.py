"""What a Prometheus has of an object over time, as panels of lines."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Line:
    """One series: seconds since 1970 and values, in their order."""

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """Lines of one unit below a heading."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Course:
    """An object over time, and what is missing."""

    name: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON and YAML."""
        panels = [{"heading": one.heading, "lines": [_plain(line) for line in one.lines]} for one in self.panels]
        return {"name": self.name, "panels": panels, "notes": list(self.notes)}


def _plain(line: Line) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(line).items()}


def line(name: str, answer: object) -> Line | None:
    """The first series of a range query's answer; None where there is none with a number.

    Raises:
        ValueError: it is no answer of a Prometheus.
    """
    match answer:
        case {"status": "success", "data": {"resultType": "matrix", "result": list(found)}}:
            samples = [sample for one in found[:1] for sample in _samples(one)]
            return Line(name, *zip(*samples, strict=True)) if samples else None
        case {"status": "error", "error": str(error)}:
            raise ValueError(f"Prometheus refuses: {error}")
    raise ValueError("what answers there is no Prometheus")


def _samples(one: object) -> Iterator[tuple[float, float]]:
    values = one.get("values") if isinstance(one, Mapping) else None
    for pair in values if isinstance(values, list) else ():
        match pair:
            case [int() | float() as at, str(text)]:
                value = float(text)
                if math.isfinite(value):
                    yield float(at), value


def course(name: str, wanted: Mapping[str, Sequence[str]], found: Mapping[str, Sequence[Line]]) -> Course:
    """Panels of what was found of what was asked for; what had no data is named."""
    panels = tuple(Panel(heading, tuple(found[heading])) for heading in wanted if found.get(heading))
    have = {(heading, one.name) for heading, lines in found.items() for one in lines}
    missing = [f"{heading}: {one}" for heading, names in wanted.items() for one in names if (heading, one) not in have]
    notes = (f"no data of {', '.join(missing)}",) if missing else ()
    return Course(name, panels, notes)


def summary(told: Course) -> Iterator[str]:
    """A line for each series: its range, and its last value."""
    for panel in told.panels:
        for one in panel.lines:
            at = datetime.fromtimestamp(one.times[-1], UTC)
            span = f"{min(one.values):g} to {max(one.values):g}"
            yield f"{panel.heading}, {one.name}: {span}, last {one.values[-1]:g} at {at:%H:%M:%SZ}"
    yield from told.notes
