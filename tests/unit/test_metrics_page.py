"""docs/metrics.md names every metric that any part of the product tells, and what the operator tells of objects is nobody else's."""

import asyncio
import re
from pathlib import Path

import pytest

from deepseek_gate.metrics import Metrics as GateMetrics
from deepseek_operator.cli.handbook import renewed
from deepseek_operator.controller.held import HELD
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.kinds.registry import KINDS
from deepseek_runtime.launcher import server
from tests.support.waiting_requests import Source, staged

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
OF_OBJECTS = [metric.name for entry in KINDS for metric in entry.metrics] + [metric.name for metric in HELD]
OF_PODS = [metric.name for metric in (*server.METRICS, server.OWN, server.EXPERT_IMBALANCE, server.EXPERT_SHARE)]

CACHE = ROOT / "operator" / "deepseek_operator" / "domain" / "programs" / "answer_cache" / "answers.js"


def of_the_gate() -> dict[str, str]:
    """Each metric that a gate tells, with what it says of it."""
    page = GateMetrics(*asyncio.run(staged(Source()))).page().decode()
    told = re.findall(r"(?m)^# HELP (deepseek_gate_\w+) (.+)$", page)
    return {name: text for name, text in told if not name.endswith("_created")}


OF_GATE = of_the_gate()
OF_CACHE = {*re.findall(r"'(deepseek_cache_\w+)'", CACHE.read_text())}


def test_the_operator_tells_nothing_under_a_name_of_the_pods_or_of_itself() -> None:
    of_itself = {name for name, _, _ in Metrics().documented()}
    assert not set(OF_OBJECTS) & ({*OF_PODS} | of_itself)


@pytest.mark.parametrize("name", [*OF_OBJECTS, *OF_PODS, *OF_GATE, *OF_CACHE])
def test_every_metric_has_its_row(name: str) -> None:
    assert f"| `{name}` |" in PAGE


def test_no_row_tells_of_a_metric_that_is_not_there() -> None:
    rows = set(re.findall(r"(?m)^\| `([a-z_:]+)` \|", PAGE))
    of_itself = {name for name, _, _ in Metrics().documented()}
    assert rows == {*OF_OBJECTS, *OF_PODS, *OF_GATE, *OF_CACHE, *of_itself}


@pytest.mark.parametrize("name", OF_GATE)
def test_a_row_of_the_gate_says_what_the_gate_does(name: str) -> None:
    assert re.search(rf"(?m)^\| `{name}` \| .* \| {re.escape(OF_GATE[name])} \|$", PAGE)


def test_what_has_not_happened_yet_is_told_as_0() -> None:
    metrics = Metrics()
    metrics.expect(KINDS.owners)
    told = metrics.exposition().decode()
    for entry in KINDS:
        for result in ("success", "requeue_after", "requeue", "error"):
            controller = entry.resource.kind.lower()
            assert f'controller_runtime_reconcile_total{{controller="{controller}",result="{result}"}} 0.0' in told


def test_a_gate_tells_0_of_a_serving_that_it_may_hold_requests_for_and_nothing_of_others() -> None:
    def page(source: Source) -> list[str]:
        told = GateMetrics(*asyncio.run(staged(source))).page().decode()
        return re.findall(r"(?m)^deepseek_gate_waiting.*$", told)

    assert page(Source(ready=1, holdSeconds=60)) == ['deepseek_gate_waiting{namespace="team",serving="chat"} 0.0']
    assert page(Source()) == []


def test_gate_and_cache_tell_something() -> None:
    assert (len(OF_GATE), len(OF_CACHE)) == (7, 1)


def test_a_kind_whose_table_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="training"):
        renewed("metrics.md", PAGE.replace("<!-- training: begin -->", ""), KINDS)
