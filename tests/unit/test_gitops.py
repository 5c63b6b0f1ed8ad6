"""The examples for Argo CD and Flux name what there is, leave to Git only what is Git's, and wait for the right thing."""

import re
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from tests.support.argocd import FOLDER, run
from tests.support.examples import documents, resource
from tests.support.gitops_states import STATES, TRAININGS

ROOT = Path(__file__).parents[2]
GITOPS = ROOT / "examples" / "gitops"
APPLICATIONS = [one for path in sorted(GITOPS.rglob("argocd/**/*.yaml")) for one in documents(path)]
PAGE = (ROOT / "docs" / "gitops.md").read_text()


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda one: str(one["metadata"]["name"]))
def test_an_application_names_a_folder_that_is_there(application: dict[str, Any]) -> None:
    assert (ROOT / application["spec"]["source"]["path"]).is_dir()
    assert "ignoreDifferences" not in application["spec"], "docs/gitops.md says that none is needed"


def test_the_operator_comes_before_what_needs_its_definitions() -> None:
    waves = {
        one["metadata"]["name"]: int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for one in APPLICATIONS
        if "annotations" in one["metadata"]
    }
    assert waves["deepseek-operator"] < waves["models"]
    (operator,) = (one for one in APPLICATIONS if one["metadata"]["name"] == "deepseek-operator")
    assert "ServerSideApply=true" in operator["spec"]["syncPolicy"]["syncOptions"]


@pytest.mark.parametrize("name", ["training", "serving"])
def test_git_does_not_say_what_people_and_autoscalers_may(name: str) -> None:
    assert {"suspend", "replicas"} & resource(GITOPS / "models" / f"{name}.yaml")["spec"].keys() == set()


def test_flux_waits_for_the_objects_that_the_example_of_argo_cd_has() -> None:
    (models,) = documents(GITOPS / "flux" / "models.yaml")
    assert (ROOT / models["spec"]["path"]).is_dir()
    source, release = documents(GITOPS / "flux" / "operator.yaml")
    assert models["spec"]["sourceRef"]["name"] == source["metadata"]["name"]
    assert (ROOT / release["spec"]["chart"]["spec"]["chart"] / "Chart.yaml").is_file()


@pytest.mark.parametrize("name", TRAININGS)
def test_flux_waits_for_a_training_s_end(name: str) -> None:
    (models,) = documents(GITOPS / "flux" / "models.yaml")
    (check,) = models["spec"]["healthCheckExprs"]
    manifest = STATES[TRAINING.kind, name]()
    said = {
        word: cel.evaluate(check[word], {"status": manifest["status"]}) for word in ("current", "failed", "inProgress")
    }
    expected = {"healthy_complete": "current"}.get(name, "failed" if name.startswith("degraded") else "inProgress")
    assert [word for word, holds in said.items() if holds] == [expected]


def test_before_the_first_look_flux_waits() -> None:
    (models,) = documents(GITOPS / "flux" / "models.yaml")
    (check,) = models["spec"]["healthCheckExprs"]
    status = {"status": {"observedGeneration": -1}}
    assert [cel.evaluate(check[word], status) for word in ("current", "failed", "inProgress")] == [False, False, True]


def test_the_page_names_every_action_and_the_command_that_exists() -> None:
    scripts = FOLDER.rglob("actions/*/action.lua")
    table = PAGE.partition("### Actions")[2].partition("###")[0]
    assert {path.parent.name for path in scripts} == set(re.findall(r"`(\w+)`", "".join(_first_cells(table))))
    (path,) = re.findall(r"--patch-file (\S+)", PAGE)
    assert (ROOT / path).is_file()
    assert f"--patch-file {path}" in (ROOT / path).read_text()


def _first_cells(table: str) -> list[str]:
    return [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]


def test_the_script_for_applications_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(resource\.customizations.+?)```", PAGE, re.DOTALL)
    ((key, script),) = yaml.safe_load(block).items()
    assert key.endswith("argoproj.io_Application")
    assert run(script, {"status": {"health": {"status": "Degraded", "message": "x"}}}) == {
        "status": "Degraded",
        "message": "x",
    }
    assert run(script, {})["status"] == "Progressing"
