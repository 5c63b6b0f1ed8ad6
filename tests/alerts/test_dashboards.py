"""Every query of every dashboard, as Grafana and as Perses have it, finds data in a real Prometheus that scrapes what is told."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_operator.cli.dashboards.files import dashboards
from deepseek_operator.cli.dashboards.perses import at_the_end
from deepseek_operator.core.dashboards import Dashboard, Form, Query
from deepseek_operator.kinds.registry import KINDS
from tests.support.exposed import exposed, jobs
from tests.support.prometheus import Store, chosen, eventually, running

CHART = Path(__file__).parents[2] / "charts" / "deepseek-operator"
FOLDER = CHART / "files" / "dashboards"
ALL = dashboards(KINDS)
QUERIES = [
    pytest.param(query, id=f"{one.name}: {panel.title}, {number}")
    for one in ALL
    for panel in one.panels
    for number, query in enumerate(panel.queries)
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """It has scraped every page several times, and evaluated the chart's rules."""
    with exposed() as pages:
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        told = {"global": every, "rule_files": [str(CHART / "alerts.rules.yaml")], "scrape_configs": jobs(pages)}
        with running(tmp_path_factory.mktemp("prometheus"), told) as found:
            eventually(lambda: len(found.found("count_over_time(up[1m]) >= 4 and up == 1")) == len(jobs(pages)))
            yield found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_finds_data_with_the_labels_of_its_legend(store: Store, query: Query) -> None:
    eventually(lambda: bool(store.found(query.expression)))
    wanted = set(re.findall(r"{{(\w+)}}", query.legend))
    assert all(wanted <= labels.keys() for labels in store.found(query.expression))


@pytest.mark.parametrize(
    ("title", "other", "one"),
    [
        ("Passes that failed", {"controller": "deepseekserving"}, {"controller": "deepseektraining"}),
        (
            "Requests that wait for a replica",
            {"namespace": "team", "serving": "chat"},
            {"namespace": "team", "serving": "well"},
        ),
    ],
)
def test_a_panel_of_what_should_be_none_says_0(
    store: Store, title: str, other: dict[str, str], one: dict[str, str]
) -> None:
    (query,) = next(panel.queries for told in ALL for panel in told.panels if panel.title == title)
    eventually(lambda: other in store.found(f"{query.expression} == 0"))
    eventually(lambda: one in store.found(f"{query.expression} > 0"))


@pytest.mark.parametrize("dashboard", ALL, ids=lambda one: one.name)
def test_whatever_is_chosen_from_exists(store: Store, dashboard: Dashboard) -> None:
    for variable in dashboard.variables:
        series = store.ask("series", **{"match[]": chosen(variable.selector)})
        assert {"team", "well"} & {one.get(variable.label) for one in series}, variable.name


def test_one_object_can_be_chosen_and_others_are_left_out(store: Store) -> None:
    told = next(one for one in ALL if one.name == KINDS.entries[0].word)
    asked = [query.expression for panel in told.panels for query in panel.queries]
    for expression in asked:
        one = expression.replace("$namespace", "team").replace("$name", "(ill|nobody)")
        named = {labels.get("name") or labels.get("deepseek_training") for labels in store.found(one)}
        assert named <= {"ill"}


def test_what_grafana_and_perses_are_given_asks_the_same(store: Store) -> None:
    for dashboard in ALL:
        asked = [query.expression for panel in dashboard.panels for query in panel.queries]
        grafana = json.loads((FOLDER / "grafana" / f"{dashboard.name}.json").read_text())
        assert [target["expr"] for panel in grafana["panels"] for target in panel.get("targets", ())] == asked
        perses = json.loads((FOLDER / "perses" / f"{dashboard.name}.json").read_text())
        specs = [
            query["spec"]["plugin"]["spec"] for one in perses["panels"].values() for query in one["spec"]["queries"]
        ]
        assert [spec["query"].replace(" @ end()", "") for spec in specs] == asked


def moments(store: Store, expression: str) -> list[int]:
    """How many different numbers each series had in the last five seconds."""
    now = time.time()
    told = store.ask("query_range", query=chosen(expression), start=now - 5, end=now, step=1)["result"]
    return [len({value for _, value in one["values"]}) for one in told]


def test_a_figure_of_perses_is_what_it_is_at_the_end_and_not_the_last_number_of_what_ended(store: Store) -> None:
    shown = [panel for one in ALL for panel in one.panels if panel.form is Form.FIGURES]
    for expression in (query.expression for panel in shown for query in panel.queries):
        assert store.found(at_the_end(expression))
        assert at_the_end(expression).count(" @ end()") == len(re.findall(r"\w{", expression))
    step = "deepseek_training_step{} + increase(deepseek_training_step{}[5s])"
    assert max(moments(store, step)) > 1
    assert set(moments(store, at_the_end(step))) == {1}


def test_a_query_that_is_no_promql_would_be_seen(store: Store) -> None:
    with pytest.raises(ValueError, match="parse error"):
        store.found("sum by (namespace (up)")
    assert store.found("deepseek_operator_training_lost") == []
