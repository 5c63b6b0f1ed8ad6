"""The files under examples/: the one resource of ours in each, and what it stands on."""

from pathlib import Path
from typing import Any

import yaml

from tests.support.api_objects import API_VERSION

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    """Every object of the file, in order."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def resource(path: Path) -> Manifest:
    """The one DeepSeekTraining or DeepSeekServing of the file."""
    (found,) = [document for document in documents(path) if document["apiVersion"] == API_VERSION]
    return found
