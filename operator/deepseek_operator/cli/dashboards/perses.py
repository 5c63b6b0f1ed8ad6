"""A dashboard as Perses has it: the `spec` of its Dashboard, which a PersesDashboard has as `spec.config`."""

import re
from typing import Any

from deepseek_operator.core.dashboards import Dashboard, Form, Panel, Query, Row, Variable, columns, placed

_FIGURE_COLOUR = "#4a7fc1"
"""Of figures, on light and on dark: Perses' own is the green of what is well, which a number of what fails is not."""


def perses(dashboard: Dashboard) -> dict[str, Any]:
    """Panels by name, and the grid that places them."""
    return {
        "display": {"name": dashboard.title, "description": dashboard.text},
        "duration": "6h",
        "refreshInterval": "30s",
        "variables": [_variable(variable) for variable in dashboard.variables],
        "panels": {
            _key(at, number): _panel(panel)
            for at, row in enumerate(dashboard.rows)
            for number, panel in enumerate(row.panels)
        },
        "layouts": [_grid(row, at) for at, row in enumerate(dashboard.rows)],
    }


def _key(row: int, number: int) -> str:
    return f"row-{row}-panel-{number}"


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "kind": "ListVariable",
        "spec": {
            "name": variable.name,
            "display": {"name": variable.title},
            "allowMultiple": True,
            "allowAllValue": True,
            "customAllValue": ".*",
            "defaultValue": ["$__all"],
            "sort": "alphabetical-asc",
            "plugin": {
                "kind": "PrometheusLabelValuesVariable",
                "spec": {"labelName": variable.label, "matchers": [variable.selector]},
            },
        },
    }


def _grid(row: Row, at: int) -> dict[str, Any]:
    items = [
        {
            "x": place.x,
            "y": place.y,
            "width": panel.width,
            "height": panel.height,
            "content": {"$ref": f"#/spec/panels/{_key(at, number)}"},
        }
        for number, (panel, place) in enumerate(placed(row.panels))
    ]
    display = {"title": row.title, "collapse": {"open": True}}
    return {"kind": "Grid", "spec": {"display": display, "items": items}}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "kind": "Panel",
        "spec": {
            "display": {"name": panel.title, "description": panel.text},
            "plugin": _plugin(panel),
            "queries": [_query(query, panel.form) for query in panel.queries],
        },
    }


def _plugin(panel: Panel) -> dict[str, Any]:
    unit = {"unit": panel.unit.perses}
    match panel.form:
        case Form.LINES:
            least = {"min": panel.least} if panel.least is not None else {}
            spec: dict[str, Any] = {
                "legend": {"position": "bottom", "mode": "list"},
                "yAxis": {"format": unit, **least},
                "visual": {"palette": {"mode": "categorical"}},
            }
            return {"kind": "TimeSeriesChart", "spec": spec}
        case Form.FIGURES:
            colour = {"defaultColor": _FIGURE_COLOUR}
            return {"kind": "StatChart", "spec": {"calculation": "last-number", "format": unit, "thresholds": colour}}
        case Form.VALUES | Form.TABLE:
            number = {"format": unit} if panel.form is Form.VALUES else {"hide": True}
            settings = [
                *({"name": label} for label in columns(panel.queries[0])),
                {"name": "value", **number},
                {"name": "timestamp", "hide": True},
            ]
            return {
                "kind": "Table",
                "spec": {"density": "compact", "defaultColumnWidth": "auto", "columnSettings": settings},
            }


def at_the_end(expression: str) -> str:
    """The same at each moment: what it is at the end of the time that is looked at.

    A StatChart asks over that time, and would show the last number of what ended long ago.
    """
    return re.sub(r"(\{[^{}]*\}(?:\[\w+\])?)", r"\1 @ end()", expression)


def _query(query: Query, form: Form) -> dict[str, Any]:
    asked = at_the_end(query.expression) if form is Form.FIGURES else query.expression
    spec = {"query": asked, "seriesNameFormat": query.legend}
    return {"kind": "TimeSeriesQuery", "spec": {"plugin": {"kind": "PrometheusTimeSeriesQuery", "spec": spec}}}
