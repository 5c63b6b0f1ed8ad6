"""The lock file pins what pyproject.toml names, and everything that this needs."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTS = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
LOCKED = {
    (re.sub(r"[-_.]+", "-", name).lower(), version)
    for name, version in re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text())
}


@pytest.mark.parametrize("wanted", [one for wanted in LISTS.values() for one in wanted])
def test_what_is_wanted_is_locked_in_the_same_version(wanted: str) -> None:
    name, version = wanted.split("==")
    assert (re.sub(r"[-_.]+", "-", name).lower(), version) in LOCKED, "renew the lock: see CONTRIBUTING.md"


def test_every_line_of_the_lock_is_one_exact_version() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert len(LOCKED) == len(set(lines)), "a line without =="
    assert all("://" not in line for line in lines), "no place is written down: everybody has an index of their own"


def test_what_npm_brings_is_one_exact_version_of_known_content_and_names_no_place() -> None:
    folder = ROOT / "tests" / "support" / "perses"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert [path for path, one in locked.items() if path and not ("integrity" in one and "resolved" not in one)] == []
