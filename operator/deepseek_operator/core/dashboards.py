"""A dashboard without a tool's words: rows of panels, each with what it asks Prometheus, its unit and its place.

Each kind has one, the chart's files are made of them. What is asked here holds for every kind: the process that tells of
objects changes at a takeover and its series with it, so everything is aggregated by object.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

COLUMNS = 24
"""Of the grid that Grafana and Perses both have."""
IN_NAMESPACE = 'namespace=~"$namespace"'
"""Selects what lies in the namespaces that the reader has chosen."""
OBJECT = "namespace, name"
"""By what the series of an object are told apart."""
CHOSEN = (IN_NAMESPACE, 'name=~"$name"')
"""Select what the operator tells of the objects that the reader has chosen."""
NAME = "{{namespace}}/{{name}}"
"""How an object is called in a legend."""


class Unit(Enum):
    """Of the numbers of a panel, by the names that Grafana and Perses have for it."""

    NUMBER = ("short", "decimal")
    SECONDS = ("s", "seconds")
    BYTES = ("bytes", "bytes")
    SHARE = ("percentunit", "percent-decimal")

    @property
    def grafana(self) -> str:
        """As Grafana names it."""
        return self.value[0]

    @property
    def perses(self) -> str:
        """As Perses names it."""
        return self.value[1]


class Form(Enum):
    """How a panel shows its numbers."""

    LINES = "lines"
    """Each series over time."""
    FIGURES = "figures"
    """The number of each series as it is now, large: of few series, since they lie beside each other."""
    VALUES = "values"
    """A row for each series as it is now: its labels and its number."""
    TABLE = "table"
    """The same without the number."""


@dataclass(frozen=True)
class Query:
    """PromQL, and how its series are called: text with `{{label}}` in it."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        text: what it shows and what it needs, where its title does not say so.
        width: columns of COLUMNS.
        height: in the grid's units; Perses gives a legend more than one line from 10 on.
        least: where the axis of lines begins; None: at the least number, for what may be negative.
    """

    title: str
    queries: tuple[Query, ...]
    text: str = ""
    unit: Unit = Unit.NUMBER
    form: Form = Form.LINES
    width: int = 8
    height: int = 10
    least: float | None = 0


@dataclass(frozen=True)
class Row:
    """Panels under a title, from left to right, in as many lines as they need."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """What the reader chooses, one or several or all: values of `label` of the series that `selector` selects."""

    name: str
    title: str
    label: str
    selector: str


@dataclass(frozen=True)
class Dashboard:
    """One page.

    Attributes:
        name: a DNS label, and the end of its address: it stays.
        summary: what the page over everything has of it; its only variable is `namespace`.
    """

    name: str
    title: str
    text: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    summary: tuple[Panel, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All, in their order."""
        return tuple(panel for row in self.rows for panel in row.panels)


@dataclass(frozen=True)
class Place:
    """Of a panel in the grid: its upper left corner."""

    x: int
    y: int


def placed(panels: tuple[Panel, ...], y: int = 0) -> Iterator[tuple[Panel, Place]]:
    """The panels of a row from line `y` on; a line is as high as its highest panel."""
    x, height = 0, 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield panel, Place(x, y)
        x, height = x + panel.width, max(height, panel.height)


def end_of(panels: tuple[Panel, ...], y: int = 0) -> int:
    """The first line behind the panels that `placed` puts from line `y` on."""
    return max((place.y + panel.height for panel, place in placed(panels, y)), default=y)


# --- what is asked ------------------------------------------------------------------------------------------------------


def series(name: str, *matchers: str) -> str:
    """The series of that name; the name may bring labels of its own."""
    metric, _, own = name.removesuffix("}").partition("{")
    return f"{metric}{{{', '.join((*filter(None, (own,)), *matchers))}}}"


def by_object(expression: str, *labels: str) -> str:
    """Of each object and each value of those labels the one number, whoever tells it."""
    return f"max by ({', '.join((OBJECT, *labels))}) ({expression})"


def told(metric: str, legend: str = "", *labels: str) -> Query:
    """What the operator tells of each chosen object in that metric."""
    return Query(by_object(series(metric, *CHOSEN), *labels), f"{NAME} {legend}".strip())


def increase(selected: str, window: str, *labels: str) -> str:
    """By how much a counter of objects grew in the window, by object and those labels."""
    return by_object(f"increase({selected}[{window}])", *labels)


def quantile(share: float, buckets: str, *labels: str) -> str:
    """What that share of the observations of five minutes does not exceed, by those labels."""
    return f"histogram_quantile({share}, sum by ({', '.join((*labels, 'le'))}) ({buckets}))"


def columns(query: Query) -> tuple[str, ...]:
    """The labels by which its series are told apart, in the order in which it names them."""
    return tuple(re.split(r",\s*", found[1])) if (found := re.search(r"by \(([^)]*)\)", query.expression)) else ()


def overview(panel_width: int, prefix: str, *matchers: str) -> tuple[Panel, ...]:
    """What every kind tells of its objects: their phase, and their conditions with what they say."""
    phase = series(f"{prefix}phase", *matchers)
    condition = series(f"{prefix}condition", *matchers, 'reason!="Settled"')
    return (
        Panel(
            "Phase",
            (Query(by_object(phase, "phase"), "{{namespace}}/{{name}} {{phase}}"),),
            form=Form.TABLE,
            width=panel_width,
            height=8,
        ),
        Panel(
            "Conditions",
            (Query(by_object(condition, "type", "status", "reason")),),
            "Without those that are Settled. docs/status.md says of every reason what to do.",
            form=Form.TABLE,
            width=panel_width,
            height=8,
        ),
    )
