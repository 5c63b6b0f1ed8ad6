"""The tests that Argo CD's own repository asks for beside every script: objects as files, and what is made of each.

They are written by `pytest tests/golden/test_argocd.py --update-golden` from the states of tests/support/gitops_states.py,
in the form that `util/lua/health_test.go` and `custom_actions_test.go` of Argo CD read, and run here as these do.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.api.resource import GROUP
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.cli.argocd import CUSTOMIZATIONS, files
from deepseek_operator.kinds.registry import KINDS
from tests.support.argocd import FOLDER, acted, health, offered
from tests.support.gitops_states import STATES

KIND_NAMES = (TRAINING.kind, SERVING.kind)
BELOW = Path("../../crds/argocd") / CUSTOMIZATIONS / GROUP
"""From tests/golden."""
VOLATILE = ("resourceVersion", "creationTimestamp", "managedFields")
ACTED: Mapping[str, tuple[tuple[str, str], ...]] = {
    TRAINING.kind: (("suspend", "healthy_running"), ("resume", "suspended_as_asked")),
    SERVING.kind: (
        ("suspend", "healthy_available"),
        ("resume", "suspended_as_asked"),
        ("resume", "suspended_canary_paused_by_annotation"),
        ("promote", "suspended_canary_waits_for_a_person"),
        ("promote", "suspended_canary_compared"),
        ("pause", "progressing_canary"),
        ("rollback", "progressing_canary"),
        ("follow", "healthy_rolled_back_by_name"),
    ),
}
"""Of each kind the actions and the states that they are tried on."""


@cache
def _state(kind: str, name: str) -> Mapping[str, Any]:
    found = deepcopy(STATES[kind, name]())
    metadata = {key: value for key, value in found["metadata"].items() if key not in VOLATILE}
    return {**found, "metadata": metadata}


def _named(kind: str) -> list[str]:
    return [name for of, name in STATES if of == kind]


def _dumped(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=120))


def _health_tests(kind: str) -> dict[str, str]:
    tests = []
    for name in _named(kind):
        status, message = health(_state(kind, name))
        told = {"status": status, "message": message}
        tests.append({"healthStatus": told, "inputPath": f"testdata/{name}.yaml"})
    objects = {f"testdata/{name}.yaml": _dumped(_state(kind, name)) for name in _named(kind)}
    return {"health_test.yaml": _dumped({"tests": tests}), **objects}


def _action_tests(kind: str) -> dict[str, str]:
    discoveries = [
        {
            "inputPath": f"../testdata/{name}.yaml",
            "result": [{"name": action, **told} for action, told in sorted(offered(_state(kind, name)).items())],
        }
        for name in _named(kind)
    ]
    tests, objects = [], {}
    for action, name in ACTED[kind]:
        path = f"testdata/{action}_{name}.yaml"
        objects[f"actions/{path}"] = _dumped(acted(_state(kind, name), action))
        tests.append({"action": action, "inputPath": f"../testdata/{name}.yaml", "expectedOutputPath": path})
    return {"actions/action_test.yaml": _dumped({"discoveryTests": discoveries, "actionTests": tests}), **objects}


def _made(kind: str) -> dict[str, str]:
    return {**_health_tests(kind), **_action_tests(kind)}


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_the_files_for_argo_cd_s_tests_say_what_its_scripts_do(
    kind: str, golden: Callable[[str, str], None], request: pytest.FixtureRequest
) -> None:
    made = _made(kind)
    for path, text in made.items():
        golden(str(BELOW / kind / path), text)
    scripts = {path.removeprefix(f"{CUSTOMIZATIONS}/{GROUP}/{kind}/") for path in files(KINDS) if f"/{kind}/" in path}
    below = FOLDER / CUSTOMIZATIONS / GROUP / kind
    found = {path.relative_to(below).as_posix(): path for path in below.rglob("*") if path.is_file()}
    left = found.keys() - made.keys() - scripts
    if request.config.getoption("--update-golden", default=False):
        for path in left:
            found[path].unlink()
    else:
        assert not left, "nothing makes these files"


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_they_pass_as_argo_cd_runs_them(kind: str) -> None:
    """From the files alone, as util/lua/health_test.go and custom_actions_test.go read them."""
    below = FOLDER / CUSTOMIZATIONS / GROUP / kind

    def read(path: Path) -> Any:
        return yaml.safe_load(path.read_text())

    for test in read(below / "health_test.yaml")["tests"]:
        status, message = health(read(below / test["inputPath"]))
        assert {"status": status, "message": message} == test["healthStatus"]
    actions = read(below / "actions" / "action_test.yaml")
    for test in actions["discoveryTests"]:
        told = [{"name": name, **one} for name, one in offered(read(below / "actions" / test["inputPath"])).items()]
        assert sorted(told, key=lambda one: one["name"]) == test["result"]
    for test in actions["actionTests"]:
        made = acted(read(below / "actions" / test["inputPath"]), test["action"])
        assert made == read(below / "actions" / test["expectedOutputPath"])


def test_every_action_is_tried() -> None:
    for entry in KINDS:
        kind = entry.resource.kind
        paths = [path for path in files(KINDS) if f"/{kind}/actions/" in path and path.endswith("action.lua")]
        assert {path.split("/")[-2] for path in paths} == {action for action, _ in ACTED[kind]}
