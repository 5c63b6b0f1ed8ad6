"""Both lists of bad inputs together know every field of a training: a new one brings a mistake, and the words that help."""

import re
from collections.abc import Iterator
from typing import Any

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from tests.api_server.test_bad_inputs import TRAININGS as BAD
from tests.support.leaves import schema_leaves
from tests.support.mistakes import TRAININGS


def _paths(value: Any, at: str) -> Iterator[str]:
    yield re.sub(r"\[\d*\]", "", at)
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in items:
        yield from _paths(inner, f"{at}.{key}")
    for inner in value if isinstance(value, list) else ():
        yield from _paths(inner, at)


def test_every_field_of_a_training_has_a_mistake() -> None:
    changes = [*(one for one, _ in TRAININGS), *(one for _, one, _ in BAD)]
    made = {path for change in changes for at, value in change.items() for path in _paths(value, at)}
    fields = {re.sub(r"\[\d*\]", "", leaf) for leaf in schema_leaves(TRAINING.plural, "spec")}
    assert fields - made == set()
