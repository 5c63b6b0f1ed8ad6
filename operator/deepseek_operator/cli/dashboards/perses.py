"""A dashboard as Perses has it: the `spec` of its Dashboard, which a PersesDashboard has as `spec.config`."""

from typing import Any

from deepseek_operator.core.dashboards import Dashboard, Form, Panel, Query, Row, Variable, placed


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
            "queries": [_query(query) for query in panel.queries],
        },
    }


def _plugin(panel: Panel) -> dict[str, Any]:
    unit = {"unit": panel.unit.perses}
    match panel.form:
        case Form.LINES:
            spec: dict[str, Any] = {"legend": {"position": "bottom", "mode": "list"}, "yAxis": {"format": unit}}
            return {"kind": "TimeSeriesChart", "spec": spec}
        case Form.FIGURES:
            return {"kind": "StatChart", "spec": {"calculation": "last-number", "format": unit}}
        case Form.TABLE:
            hidden = [{"name": name, "hide": True} for name in ("timestamp", "value")]
            return {"kind": "Table", "spec": {"density": "compact", "columnSettings": hidden}}


def _query(query: Query) -> dict[str, Any]:
    spec = {"query": query.expression, "seriesNameFormat": query.legend}
    return {"kind": "TimeSeriesQuery", "spec": {"plugin": {"kind": "PrometheusTimeSeriesQuery", "spec": spec}}}
