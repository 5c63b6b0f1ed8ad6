"""What the chart tells the operator's process by its environment is what the process reads, with the words that it knows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.controller.settings import PREFIX, Settings

CHART = Path(__file__).parents[2] / "charts" / "deepseek-operator"
TOLD = sorted(set(re.findall(rf"name: ({PREFIX}\w+)", (CHART / "templates" / "deployment.yaml").read_text())))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())["properties"]
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
WORDS = [
    (value, PREFIX + name, word)
    for value, name in (("logLevel", "LOG_LEVEL"), ("logFormat", "LOG_FORMAT"))
    for word in SCHEMA[value]["enum"]
]


def refused(environment: dict[str, str]) -> str:
    """Why the process does not start; empty where it does."""
    try:
        Settings.from_environment(environment)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", TOLD)
def test_the_process_knows_every_variable_of_the_chart(name: str) -> None:
    assert "unknown variables" not in refused({name: "1"})


def test_a_variable_that_it_does_not_know_would_be_seen() -> None:
    assert len(TOLD) > 10
    assert refused({f"{PREFIX}LOG_FORMS": "json"}) == f"unknown variables: {PREFIX}LOG_FORMS"


@pytest.mark.parametrize(("value", "name", "word"), WORDS)
def test_every_word_that_the_schema_allows_is_one_that_the_process_takes(value: str, name: str, word: str) -> None:
    assert refused({name: word}) == ""


@pytest.mark.parametrize(("value", "name"), sorted({(value, name) for value, name, _ in WORDS}))
def test_the_schema_allows_every_word_that_the_process_takes(value: str, name: str) -> None:
    said = refused({name: "no such word"})
    assert said.endswith(f"write one of {', '.join(SCHEMA[value]['enum'])}")


def test_what_the_values_say_is_what_the_process_would_do_by_itself() -> None:
    usual = Settings()
    assert (VALUES["logLevel"], VALUES["logFormat"]) == (usual.log_level, usual.log_format)
    assert VALUES["runtime"]["pullPolicy"] == usual.configuration.image_pull_policy
    assert VALUES["externalMetrics"]["enabled"] == usual.external_metrics
    assert VALUES["watchNamespaces"] == list(usual.watch_namespaces)
