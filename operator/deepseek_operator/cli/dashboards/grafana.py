"""A dashboard as Grafana reads it from a file: JSON of schema version 39, which Grafana 10.4 wrote and later ones migrate."""

from typing import Any

from deepseek_operator.core.dashboards import (
    COLUMNS,
    Dashboard,
    Form,
    Panel,
    Place,
    Query,
    Variable,
    columns,
    end_of,
    placed,
)

TAG = "deepseek-operator"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """As one file of a provider or of the sidecar has it."""
    return {
        "uid": f"{TAG}-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": [TAG],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "links": [
            {
                "type": "dashboards",
                "title": "DeepSeek",
                "tags": [TAG],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_source(), *map(_variable, dashboard.variables)]},
        "panels": _panels(dashboard),
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    query = f"label_values({variable.selector}, {variable.label})"
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        head = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
        found.append({**head, "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        found.extend(_panel(panel, place) for panel, place in placed(row.panels, y + 1))
        y = end_of(row.panels, y + 1)
    return [{"id": number, **panel} for number, panel in enumerate(found, start=1)]


def _panel(panel: Panel, place: Place) -> dict[str, Any]:
    return {
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": {"x": place.x, "y": place.y, "w": panel.width, "h": panel.height},
        "targets": [_target(query, name, panel.form) for query, name in zip(panel.queries, _NAMES, strict=False)],
        "fieldConfig": {"defaults": {"unit": panel.unit.grafana, **_axis(panel)}, "overrides": []},
        **_FORMS.get(panel.form, {}),
        **(_table(panel) if panel.form in _TABLES else {}),
    }


def _axis(panel: Panel) -> dict[str, Any]:
    is_given = panel.form is Form.LINES and panel.least is not None
    return {"custom": {"axisSoftMin": panel.least}} if is_given else {}


def _table(panel: Panel) -> dict[str, Any]:
    hidden = ("Time", "Value") if panel.form is Form.TABLE else ("Time",)
    order = {label: place for place, label in enumerate(columns(panel.queries[0]))}
    options = {"excludeByName": dict.fromkeys(hidden, True), "indexByName": order}
    return {
        "type": "table",
        "options": {"showHeader": True},
        "transformations": [{"id": "organize", "options": options}],
    }


def _target(query: Query, name: str, form: Form) -> dict[str, Any]:
    is_now = form is not Form.LINES
    return {
        "refId": name,
        "datasource": _SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "format": "table" if form in _TABLES else "time_series",
        "instant": is_now,
        "range": not is_now,
    }


_TABLES = (Form.VALUES, Form.TABLE)
_FORMS: dict[Form, dict[str, Any]] = {
    Form.LINES: {
        "type": "timeseries",
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    },
    Form.FIGURES: {
        "type": "stat",
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "graphMode": "none",
            "colorMode": "none",
            "textMode": "value_and_name",
        },
    },
}
