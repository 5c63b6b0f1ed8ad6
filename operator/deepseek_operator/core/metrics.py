"""What a kind tells a metrics store of its objects: numbers read off an object as it is stored, each under a name.

Nothing is computed over time here: a moment is told as a moment, and PromQL subtracts it from now. What is not known has
no row, never a zero. Who tells them bounds rows and labels, because whoever may write a status writes anything there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from deepseek_operator.api.base import ObservedStatus, parse_time

Row: TypeAlias = tuple[tuple[str, ...], float]
"""Values of the metric's labels, in their order, and the number."""
Number: TypeAlias = float | str | None
"""A status holds decimals as text. None, and a text that is no number: it is not known."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric of every object of a kind.

    Attributes:
        name: by Prometheus' rules: base units, `_total` at the end of what only grows, `_info` of a constant 1.
        text: what it is, as a sentence with its unit.
        read: its rows, of the parsed object; none where whoever tells them has them from elsewhere.
        labels: beside `namespace` and `name`, which every metric of an object has.
    """

    name: str
    text: str
    read: Callable[[Any], Iterable[Row]] = lambda owner: ()
    labels: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """As the text format says it."""
        return "counter" if self.name.endswith("_total") else "gauge"


def number(value: Number) -> tuple[Row, ...]:
    """The one row of a metric without labels; none of what is no number."""
    try:
        return (((), float(value)),) if value is not None else ()
    except ValueError:
        return ()


def moment(text: str | None) -> float | None:
    """Seconds since 1970 of an RFC 3339 text; None for none."""
    found = parse_time(text)
    return found.timestamp() if found is not None else None


PartT = TypeVar("PartT")


Read: TypeAlias = Callable[[str, str, Callable[[PartT], Number]], Metric]
"""By name, text, and how it is read off a part of an object: a metric without labels."""


def read_off(prefix: str, part: Callable[[Any], PartT | None]) -> Read[PartT]:
    """Makes metrics that are read off that part of an object; they have no row where the object has no such part."""

    def metric(name: str, text: str, read: Callable[[PartT], Number]) -> Metric:
        def rows(owner: Any) -> tuple[Row, ...]:
            found = part(owner)
            return number(read(found)) if found is not None else ()

        return Metric(f"{prefix}{name}", text, rows)

    return metric


def observed(prefix: str) -> tuple[Metric, ...]:
    """What every kind tells: its phase and its conditions."""
    return (
        Metric(f"{prefix}phase", "1 under the present phase, which is for people.", _phase, ("phase",)),
        Metric(
            f"{prefix}condition",
            "1 under each condition as it stands, with its reason.",
            _conditions,
            ("type", "status", "reason"),
        ),
    )


def _phase(owner: Any) -> Iterable[Row]:
    return (((owner.status.phase,), 1.0),) if owner.status.phase else ()


def _conditions(owner: Any) -> Iterable[Row]:
    status: ObservedStatus = owner.status
    return (((one.type, one.status, one.reason), 1.0) for one in status.conditions)
