"""These tests start the real vLLM that `tests/run vllm` installs; without it they are not collected."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.runtime.workplace import Workplace

PATIENCE_S = 3600
"""Of a test that hangs: a start takes a minute on two idle cores, and several where others compute."""

collect_ignore_glob = [] if "VLLM" in os.environ else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this layer has the same patience."""
    for item in items:
        item.add_marker(pytest.mark.timeout(PATIENCE_S))


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Workplace]":
    """Trainings in this process."""
    from tests.runtime.workplace import opened

    with opened(tmp_path_factory.mktemp("workplace")) as place:
        yield place
