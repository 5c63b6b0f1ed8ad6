"""These tests run real processes with torch; without it they are not collected."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.pods import Attempt, Process, spec

if TYPE_CHECKING:
    from tests.runtime.workplace import Workplace

PATIENCE_S = 600
"""Of a test that hangs. A process that imports torch takes half a minute where others compute, and a training or an export
comes before the first of a file: no test here is judged by this clock."""

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this layer has the same patience, but for those that ask for more."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Attempt, Process]:
    """An undisturbed training, by the very command of a pod: 120 steps, checkpoints at 40, 80 and 120, evaluations at 0, 60
    and 120."""
    attempt = Attempt(tmp_path_factory.mktemp("whole"), 1, "first", spec(evalEverySteps=60))
    process = attempt.execute()
    assert process.ended() == 0, process.log
    return attempt, process


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Workplace]":
    """Trainings in this process."""
    from tests.runtime.workplace import opened

    with opened(tmp_path_factory.mktemp("workplace")) as place:
        yield place
