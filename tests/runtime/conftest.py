"""These tests run real processes with torch; without it they are not collected."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.runtime.pods import Attempt, Process, spec

if TYPE_CHECKING:
    from tests.runtime.workplace import Workplace

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Attempt, Process]:
    """An undisturbed training: 120 steps, checkpoints at 40, 80 and 120, evaluations at 0, 60 and 120."""
    attempt = Attempt(tmp_path_factory.mktemp("whole"), 1, "first", spec(evalEverySteps=60))
    process = attempt.start()
    assert process.ended() == 0, process.log
    return attempt, process


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Workplace]":
    """Trainings in this process."""
    from tests.runtime.workplace import opened

    with opened(tmp_path_factory.mktemp("workplace")) as place:
        yield place
