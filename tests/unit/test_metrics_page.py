"""docs/metrics.md names every metric that any part of the product tells, and what the operator tells of objects is nobody else's."""

import re
from pathlib import Path

import pytest

from deepseek_operator.cli.handbook import renewed
from deepseek_operator.controller.held import HELD
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.kinds.registry import KINDS
from deepseek_runtime.launcher import server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
OF_OBJECTS = [metric.name for entry in KINDS for metric in entry.metrics] + [metric.name for metric in HELD]
OF_PODS = [metric.name for metric in (*server.METRICS, server.OWN, server.EXPERT_IMBALANCE, server.EXPERT_SHARE)]


def test_the_operator_tells_nothing_under_a_name_of_the_pods_or_of_itself() -> None:
    of_itself = {name for name, _, _ in Metrics().documented()}
    assert not set(OF_OBJECTS) & ({*OF_PODS} | of_itself)


@pytest.mark.parametrize("name", [*OF_OBJECTS, *OF_PODS])
def test_every_metric_has_its_row(name: str) -> None:
    assert f"| `{name}` |" in PAGE


def test_no_row_tells_of_a_metric_that_is_not_there() -> None:
    rows = set(re.findall(r"(?m)^\| `([a-z_:]+)` \|", PAGE))
    assert rows == {*OF_OBJECTS, *OF_PODS, *(name for name, _, _ in Metrics().documented())}


def test_a_kind_whose_table_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="training"):
        renewed("metrics.md", PAGE.replace("<!-- training: begin -->", ""), KINDS)
