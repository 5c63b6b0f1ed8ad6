"""These tests run real processes with torch; without it they are not collected."""

from importlib.util import find_spec

import pytest

from tests.runtime.pods import Attempt, Process, spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Attempt, Process]:
    """An undisturbed training: 120 steps, checkpoints at 40, 80 and 120, evaluations at 0, 60 and 120."""
    attempt = Attempt(tmp_path_factory.mktemp("whole"), 1, "first", spec(evalEverySteps=60))
    process = attempt.start()
    assert process.ended() == 0, process.log
    return attempt, process
