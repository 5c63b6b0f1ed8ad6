"""Every alert fires with its cause and is silent without, by promtool on the rules that a Prometheus would load."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.alert_cases import CASES, Case
from tests.support.promtool import promtool

RULES = Path(__file__).parents[2] / "charts" / "deepseek-operator" / "alerts.rules.yaml"


def tried(case: Case) -> dict[str, Any]:
    """The case as promtool takes it."""
    which = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    labels = {"alertname": case.alert, "alertstate": "firing", **(case.fires or {})}
    written = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
    expected = [{"labels": f"{{{written}}}", "value": 1}] if case.fires is not None else []
    asked = {"expr": f"max without (severity) ({which})", "eval_time": f"{case.minutes}m", "exp_samples": expected}
    return {
        "name": case.words,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [asked],
    }


def test_promtool_takes_the_rules() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert code == 0, said


@pytest.mark.parametrize("alert", sorted({case.alert for case in CASES}))
def test_an_alert_fires_with_its_cause_and_not_without(alert: str, tmp_path: Path) -> None:
    tests = [tried(case) for case in CASES if case.alert == alert]
    told = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "cases.yaml").write_text(json.dumps(told))
    code, said = promtool("test", "rules", str(tmp_path / "cases.yaml"))
    assert code == 0, said


def test_a_case_that_does_not_hold_is_seen(tmp_path: Path) -> None:
    wrong = replace(next(case for case in CASES if case.fires is None), fires={"namespace": "team"})
    (tmp_path / "cases.yaml").write_text(json.dumps({"rule_files": [str(RULES)], "tests": [tried(wrong)]}))
    assert promtool("test", "rules", str(tmp_path / "cases.yaml"))[0] == 1
