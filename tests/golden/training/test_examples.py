"""Every training example becomes the children that its golden file holds.

Where an example was rewritten, frozen/ keeps what it was: the hashes in its golden file must never change.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.kinds.training.children import first_children
from tests.support.canonical import plain
from tests.support.examples import resource

EXAMPLES = Path(__file__).parents[3] / "examples"
FROZEN = Path(__file__).parents[1] / "frozen"
ALLOWED = Configuration(web=WebAccess.of(["https://artifacts.example.org"]))
UID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("training-*.yaml")))
def test_an_example_becomes_the_children_that_its_golden_file_holds(
    example: str, golden: Callable[[str, str], None]
) -> None:
    frozen = FROZEN / f"{example}.yaml"
    manifest = resource(frozen if frozen.exists() else EXAMPLES / frozen.name)
    manifest["metadata"].update(namespace="team", uid=UID)
    children = first_children(DeepSeekTraining.model_validate(manifest), ALLOWED)
    text = yaml.safe_dump_all([plain(child) for child in children], sort_keys=False, width=120)
    golden(f"training/{example.removeprefix('training-')}.yaml", text)
