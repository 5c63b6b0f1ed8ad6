"""Every alert has its runbook, its tests and metrics that exist; every value of the chart is used."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.cli.alerts import settled
from deepseek_operator.controller.held import HELD
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.domain.devices.profiles import BUILT_IN
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.registry import KINDS
from tests.support.alert_cases import CASES

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "deepseek-operator"
SOURCE = (CHART / "files" / "alerts.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())["alerts"]
RULES = [rule for group in settled(SOURCE, VALUES, "deepseek-operator")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["Meaning", "Causes", "Commands", "Fix"]
EXPRESSIONS = "\n".join(rule["expr"] for rule in RULES)
OURS = {
    *(metric.name for entry in KINDS for metric in entry.metrics),
    *(metric.name for metric in HELD),
    *(name for name, _, _ in Metrics().documented()),
}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_runbook_with_meaning_causes_commands_and_fix(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"(?m)^## (.+)$", text) == HEADINGS
    assert all(part.strip() for part in re.split(r"(?m)^## .*$", text)[1:])


@pytest.mark.parametrize("name", ALERTS)
def test_the_page_of_alerts_has_a_row_for_it_with_its_severity(name: str) -> None:
    severity = ALERTS[name]["labels"]["severity"]
    assert f"| [{name}](runbooks/{name}.md) | {severity} |" in (ROOT / "docs" / "alerts.md").read_text()


def test_no_runbook_is_of_an_alert_that_is_not_there() -> None:
    assert {path.stem for path in RUNBOOKS.iterdir()} == {*ALERTS}


def test_every_link_of_a_runbook_leads_to_a_file() -> None:
    for page in RUNBOOKS.iterdir():
        links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
        assert not [link for link in links if not (page.parent / link).exists()], page.name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tried_with_its_cause_and_without(name: str) -> None:
    found = {case.fires is not None for case in CASES if case.alert == name}
    assert found == {True, False}


def test_no_case_is_of_an_alert_that_is_not_there() -> None:
    assert {case.alert for case in CASES} == {*ALERTS}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_grave_it_is_what_is_wrong_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"


def test_every_value_is_used_and_every_place_has_one() -> None:
    places = set(re.findall(r"@(\w+)@", SOURCE))
    assert places == {*VALUES["thresholds"], "latencyMeasure", "lease"}
    with pytest.raises(KeyError, match="stallMinutes"):
        settled("expr: '@stallMinutes@'", {**VALUES, "thresholds": {}}, "x")


def test_how_long_it_must_be_so_is_written_by_alert_but_where_a_threshold_says_it() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["alerts"]["properties"]["for"]
    waits = yaml.safe_load(SOURCE.replace("@", ""))["groups"]
    own = {rule["alert"]: rule.get("for", "0s") for group in waits for rule in group["rules"] if "alert" in rule}
    by_threshold = {name for name, told in own.items() if "Minutes" in told}
    assert by_threshold == {"DeepSeekAutoscalerBlind", "DeepSeekRolloutStuck"}
    assert {*schema["propertyNames"]["enum"]} == own.keys() - by_threshold
    written = settled(SOURCE, {**VALUES, "for": {"DeepSeekLatencyHigh": "7m"}}, "x")
    changed = {
        rule["alert"]: rule["for"] for group in written["groups"] for rule in group["rules"] if rule.get("for") == "7m"
    }
    assert changed == {"DeepSeekLatencyHigh": "7m"}


def test_every_metric_of_ours_that_is_asked_for_is_told() -> None:
    found = re.findall(r"\b(?:deepseek_operator|controller_runtime|leader_election)_\w+(?:[.(|)+a-z_]+)?", EXPRESSIONS)
    asked = {name for pattern in found for name in _alternatives(_closed(pattern))}
    assert len(asked) > 15
    assert {name for name in asked if not any(re.fullmatch(name, told) for told in OURS)} == set()


def _alternatives(pattern: str) -> list[str]:
    """Each of which must be there: of a(b|c)d abd and acd."""
    if (choice := re.search(r"\(([a-z_]+(?:\|[a-z_]+)+)\)", pattern)) is None:
        return [pattern]
    return [f"{pattern[: choice.start()]}{one}{pattern[choice.end() :]}" for one in choice[1].split("|")]


def _closed(pattern: str) -> str:
    """Without what PromQL has around it: a parenthesis that nothing opens in it."""
    while pattern.count("(") != pattern.count(")"):
        pattern = pattern[: max(pattern.rfind("("), pattern.rfind(")"))]
    return pattern


def test_what_the_rules_ask_of_engines_is_what_engines_tell() -> None:
    told = {signal: {_bare(entry, signal) for entry in ENGINES.values()} - {""} for signal in Signal}
    waiting = next(rule["expr"] for rule in RULES if rule.get("record", "").startswith("namespace_serving"))
    assert {name for name in told[Signal.WAITING] if name not in waiting} == set()
    latency = ALERTS["DeepSeekLatencyHigh"]["expr"]
    pattern = re.search(r'__name__=~"([^"]+)_bucket"', latency)
    assert pattern
    assert {name for name in told[Signal.TIME_TO_FIRST_TOKEN] if not re.fullmatch(pattern[1], name)} == set()
    slowest = pattern[1].replace("time_to_first_token", "e2e_request_latency")
    assert {name for name in told[Signal.END_TO_END_LATENCY] if not re.fullmatch(slowest, name)} == set()


def _bare(entry: EngineEntry, signal: Signal) -> str:
    return entry.metric_names(None).get(signal, "").partition("{")[0]


def test_what_the_rules_ask_of_devices_is_what_the_exporters_of_all_profiles_tell() -> None:
    busy = next(rule["expr"] for rule in RULES if rule.get("record", "").startswith("namespace_pod"))
    names = {profile.metrics.utilization for profile in BUILT_IN.by_name.values() if profile.metrics is not None}
    assert len(names) > 3
    assert {name for name in names if name not in busy} == set()
