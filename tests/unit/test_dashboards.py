"""What is on the dashboards is told by somebody, can be read, and is what the chart has."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.cli.dashboards.files import dashboards, files
from deepseek_operator.cli.dashboards.fleet import fleet
from deepseek_operator.cli.dashboards.grafana import grafana
from deepseek_operator.cli.dashboards.perses import perses
from deepseek_operator.core.dashboards import (
    COLUMNS,
    Dashboard,
    Form,
    Panel,
    Query,
    Row,
    Unit,
    columns,
    placed,
    quantile,
    series,
)
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.kinds.registry import KINDS
from tests.support.sham_kind import ALL as WITH_SHAM

CHART = Path(__file__).parents[2] / "charts" / "deepseek-operator"
FOLDER = CHART / "files" / "dashboards"
ALL = dashboards(KINDS)
EACH = [pytest.param(one, id=one.name) for one in ALL]
RULES = yaml.safe_load((CHART / "alerts.rules.yaml").read_text())["groups"]
PAGE = (CHART.parents[1] / "docs" / "metrics.md").read_text()
TOLD = {
    *re.findall(r"(?m)^\| `([a-z_:]+)` \|", PAGE),
    *(name.partition("{")[0] for entry in ENGINES.values() for name in entry.metric_names(None).values()),
    *(rule["record"] for group in RULES for rule in group["rules"] if "record" in rule),
}
"""All that docs/metrics.md has (which a test holds to be all that is told), engines, and what the chart's rules record."""


def asked(expression: str) -> set[str]:
    """Names of the metrics that are selected: each has its braces, even empty ones."""
    return {re.sub(r"_bucket$", "", name) for name in re.findall(r"([a-zA-Z_:][\w:]*){", expression)}


@pytest.mark.parametrize("dashboard", EACH)
def test_every_metric_that_is_asked_for_is_told(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        for query in panel.queries:
            assert asked(query.expression), panel.title
            assert asked(query.expression) <= TOLD, panel.title
    for variable in dashboard.variables:
        assert asked(variable.selector + "{") <= TOLD | {""}


def test_a_metric_that_nobody_tells_would_be_seen() -> None:
    assert asked(quantile(0.5, f"rate({series('vllm:lost_seconds_bucket')}[5m])")) == {"vllm:lost_seconds"}
    assert not asked("rate(vllm:lost_seconds[5m])"), "which no query may be: series() writes its braces"


@pytest.mark.parametrize("dashboard", EACH)
def test_panels_lie_beside_each_other_inside_of_the_grid(dashboard: Dashboard) -> None:
    for row in dashboard.rows:
        covered = [
            (x, y)
            for panel, place in placed(row.panels)
            for x in range(place.x, place.x + panel.width)
            for y in range(place.y, place.y + panel.height)
        ]
        assert len(covered) == len(set(covered)), row.title
        assert max(x for x, _ in covered) < COLUMNS, row.title
        assert row.panels, row.title


@pytest.mark.parametrize("dashboard", EACH)
def test_what_is_not_in_a_legend_is_not_told_apart_and_titles_are_each_one_panel(dashboard: Dashboard) -> None:
    titles = [panel.title for panel in dashboard.panels]
    assert len(titles) == len(set(titles))
    for panel in dashboard.panels:
        if panel.form not in (Form.VALUES, Form.TABLE):
            assert all(query.legend for query in panel.queries), panel.title
            legends = [query.legend for query in panel.queries]
            assert len(legends) == len(set(legends)), panel.title
        else:
            assert len(panel.queries) == 1, panel.title


@pytest.mark.parametrize("dashboard", EACH)
def test_a_query_uses_the_variables_of_its_page_and_no_others(dashboard: Dashboard) -> None:
    known: set[str] = set()
    for variable in dashboard.variables:
        assert set(re.findall(r"\$(\w+)", variable.selector)) <= known, "those above it alone"
        known.add(variable.name)
    used = {
        name
        for panel in dashboard.panels
        for query in panel.queries
        for name in re.findall(r"\$(\w+)", query.expression)
    }
    assert used == known


def test_the_page_over_everything_has_every_kind_a_new_one_too() -> None:
    text = json.dumps([query.expression for panel in fleet(WITH_SHAM).panels for query in panel.queries])
    told = [entry for entry in WITH_SHAM if entry.metrics]
    assert {entry.word for entry in told} >= {entry.word for entry in KINDS}
    assert all(f"deepseek_operator_{entry.word}_phase" in text for entry in told)
    summaries = {panel.title for entry in KINDS if entry.dashboard for panel in entry.dashboard.summary}
    assert summaries <= {panel.title for panel in fleet(KINDS).panels}
    sham = replace(WITH_SHAM.entries[-1], metrics=KINDS.entries[0].metrics)
    wider = fleet(replace(WITH_SHAM, entries=(*KINDS.entries, sham)))
    assert max(place.x + panel.width for panel, place in placed(wider.rows[0].panels)) == COLUMNS


def test_the_folder_has_the_files_of_the_source_and_no_others() -> None:
    found = {path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == files(KINDS).keys()


def test_a_line_of_panels_is_as_high_as_its_highest() -> None:
    low, high = Panel("low", (), width=12, height=4), Panel("high", (), width=12, height=9)
    places = [(place.x, place.y) for _, place in placed((low, high, low), 3)]
    assert places == [(0, 3), (12, 3), (0, 12)]


def test_a_table_has_the_labels_of_its_query_in_its_order_and_a_number_where_one_is_wanted() -> None:
    query = Query("max by (namespace, name, reason) (x{})")
    assert columns(query) == ("namespace", "name", "reason")
    assert columns(Query("x{}")) == ()
    for form, hidden in ((Form.TABLE, {"timestamp", "value"}), (Form.VALUES, {"timestamp"})):
        page = Dashboard("page", "", "", (), (Row("row", (Panel("panel", (query,), unit=Unit.SHARE, form=form),)),))
        settings = perses(page)["panels"]["row-0-panel-0"]["spec"]["plugin"]["spec"]["columnSettings"]
        assert [one["name"] for one in settings] == [*columns(query), "value", "timestamp"]
        assert {one["name"] for one in settings if one.get("hide")} == hidden
        (shown,) = (panel for panel in grafana(page)["panels"] if panel["type"] == "table")
        options = shown["transformations"][0]["options"]
        assert len(options["excludeByName"]) == len(hidden)
        assert options["indexByName"] == {"namespace": 0, "name": 1, "reason": 2}


@pytest.mark.parametrize("dashboard", EACH)
def test_only_lines_are_asked_for_over_time(dashboard: Dashboard) -> None:
    shown = [panel for panel in grafana(dashboard)["panels"] if panel["type"] != "row"]
    for panel, made in zip(dashboard.panels, shown, strict=True):
        assert {target["instant"] for target in made["targets"]} == {panel.form is not Form.LINES}, panel.title
        asked = [query["spec"]["plugin"]["spec"]["query"] for query in _perses_queries(dashboard, panel.title)]
        assert all(("@ end()" in one) is (panel.form is Form.FIGURES) for one in asked), panel.title


def _perses_queries(dashboard: Dashboard, title: str) -> list[Any]:
    panels = [one["spec"] for one in perses(dashboard)["panels"].values()]
    return next(list(one["queries"]) for one in panels if one["display"]["name"] == title)


def test_lines_begin_at_zero_but_where_numbers_may_be_negative() -> None:
    free = {panel.title for one in ALL for panel in one.panels if panel.form is Form.LINES and panel.least is None}
    assert free == {"Accuracy and metrics of your own", "Best so far", "Signals", "What its metrics came to"}
    row = Row("row", (Panel("at zero", (query := Query("x{}", "x"),)), Panel("free", (query,), least=None)))
    page = Dashboard("page", "", "", (), (row,))
    axes = [one["spec"]["plugin"]["spec"]["yAxis"] for one in perses(page)["panels"].values()]
    assert [axis.get("min") for axis in axes] == [0, None]
    shown = [panel["fieldConfig"]["defaults"] for panel in grafana(page)["panels"] if panel["type"] == "timeseries"]
    assert [one.get("custom") for one in shown] == [{"axisSoftMin": 0}, None]


def test_no_two_pages_have_one_address() -> None:
    names = [one.name for one in ALL]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", name) for name in names)


def test_a_series_keeps_the_labels_that_its_name_brings() -> None:
    assert series('http_requests_total{method="POST"}', 'a="b"') == 'http_requests_total{method="POST", a="b"}'
    assert series("up") == "up{}"
    assert Query("up{}").legend == ""
