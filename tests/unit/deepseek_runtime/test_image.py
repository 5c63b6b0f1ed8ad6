"""The image installs what the tests ran with."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_image_pins_the_versions_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = set(project["project"]["optional-dependencies"]["runtime"])
    installed = set(re.findall(r"[a-z0-9-]+==[0-9.]+", (ROOT / ".docker" / "runtime.Dockerfile").read_text()))
    assert installed == wanted
