"""Every serving example becomes what its golden file says: children, status and queries."""

from collections.abc import Callable

import pytest

from tests.golden.serving.rendering import EXAMPLES, rendered


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_becomes_what_its_golden_file_says(example: str, golden: Callable[[str, str], None]) -> None:
    golden(f"serving/{example}.yaml", rendered(example))
