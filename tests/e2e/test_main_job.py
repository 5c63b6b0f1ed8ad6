"""The main job of the README, asked instead of told."""

from pathlib import Path

import pytest

from tests.main_job import story
from tests.main_job.telling import Teller


@pytest.mark.timeout(900)
def test_the_main_job_keeps_every_promise_within_eight_minutes(tmp_path: Path) -> None:
    told = story.tell(Teller(), tmp_path)
    assert told.served_accuracy == told.trainer_accuracy >= story.ACCURACY_GOAL
    assert max(moment.ready for moment in told.moments) == 3
    assert told.moments[-1].ready == 1
    assert {path.name for path in tmp_path.iterdir()} == {"loss.png", "scaling.png"}
