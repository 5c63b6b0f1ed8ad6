"""The tables in docs/: reasons of conditions, fields, values, engines with their flags, trainers, metrics, and what is on the
dashboards, made from the code, so that none is left out."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

from deepseek_operator.cli import reference
from deepseek_operator.cli.dashboards.files import dashboards
from deepseek_operator.controller.held import HELD
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.core.dashboards import Dashboard
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.metrics import Metric
from deepseek_operator.domain.programs import handbook

_CHART = Path(__file__).parents[3] / "charts" / "deepseek-operator"
"""Beside the operator in its repository, where alone these tables are made."""


def reasons(kinds: Kinds) -> str:
    """Markdown: one row per reason and kind, ordered by name within the kind; first what is the same for several."""
    told = [(entry.word, row) for entry in kinds for row in sorted(entry.reasons.items())]
    of: dict[tuple[str, str], list[str]] = {}
    for word, row in told:
        of.setdefault(row, []).append(word)
    shared = sorted(row for row, words in of.items() if len(words) > 1)
    rows = [(_words(of[row], len(list(kinds))), *row) for row in shared]
    rows += [(word, *row) for word, row in told if row not in shared]
    lines = ["| kind | reason | what to do |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {kind} | `{name}` | {advice} |" for kind, name, advice in rows)]) + "\n"


def metrics(kinds: Kinds) -> dict[str, str]:
    """By the name in their markers the tables of what the operator tells of objects, by kind, and of itself."""
    told = {entry.word: _of_objects(entry.metrics) for entry in kinds if entry.metrics}
    own = _table(("metric", "type", "what it is"), Metrics().documented())
    return {**told, "held": _of_objects(HELD), "process": own}


PAGES: Mapping[str, Callable[[Kinds], Mapping[str, str]]] = MappingProxyType(
    {
        "status.md": lambda kinds: {"reasons": reasons(kinds)},
        "engines.md": lambda _: {
            "engines": handbook.engines(),
            "options": handbook.options(),
            "flags": handbook.flags(),
        },
        "trainers.md": lambda _: {"trainers": handbook.trainers()},
        "metrics.md": metrics,
        "fields.md": reference.fields,
        "values.md": lambda _: {"values": _values()},
        "dashboards.md": lambda kinds: {one.name: _panels(one) for one in dashboards(kinds)},
    }
)
"""The pages of docs/ that have generated tables, and those of each by the name in their markers."""


def renewed(page: str, text: str, kinds: Kinds) -> str:
    """The page's `text` with each of its tables renewed between its two markers.

    Raises:
        ValueError: a marker is missing.
    """
    return with_tables(page, text, PAGES[page](kinds))


def with_tables(page: str, text: str, tables: Mapping[str, str]) -> str:
    """The same of tables that are made already. Raises ValueError where a marker is missing."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        head, opened, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not opened or not closed:
            raise ValueError(f"{page}: the markers of the table of {name} are missing")
        text = f"{head}{begin}{table}{end}{tail}"
    return text


def _values() -> str:
    text = (_CHART / "values.yaml").read_text()
    schema = json.loads((_CHART / "values.schema.json").read_text())
    return reference.values(reference.comments(text), schema, yaml.safe_load(text))


def _panels(dashboard: Dashboard) -> str:
    rows = ((row.title, panel.title, panel.text) for row in dashboard.rows for panel in row.panels)
    body = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"| row | panel | what it shows |\n|---|---|---|\n{body}".replace("|  |", "| |")


def _of_objects(metrics: Iterable[Metric]) -> str:
    rows = ((one.name, one.type, ", ".join(one.labels), one.text) for one in metrics)
    return _table(("metric", "type", "labels", "what it is"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    body = "".join(f"| {' | '.join((f'`{name}`', *others))} |\n" for name, *others in rows)
    return f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n{body}".replace("|  |", "| |")


def _words(words: list[str], count: int) -> str:
    return "both" if count == len(words) == 2 else ", ".join(words)
