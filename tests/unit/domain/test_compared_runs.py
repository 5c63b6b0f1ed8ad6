"""How long the numbers of a comparison are waited for."""

from datetime import UTC, datetime, timedelta

import pytest

from deepseek_operator.domain.policy.canary import COMPARISON, Facts, Phase, Run, Step, Steps, advance
from deepseek_operator.domain.policy.rollout import Replicas

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = Steps((Step(1, 20, timedelta(0), pause=False),), rolls_back=False, stall=timedelta(hours=1), compares=True)
RUN = Run(1, "old", "new", STEPS, Phase.COMPARING, 0, START)


@pytest.mark.parametrize(
    ("compared", "after", "phase"),
    [
        (False, timedelta(0), Phase.COMPARING),
        (True, timedelta(0), Phase.COMPARED),
        (False, COMPARISON - timedelta(seconds=1), Phase.COMPARING),
        (False, COMPARISON, Phase.COMPARED),
    ],
)
def test_a_store_that_never_answers_is_not_waited_for_for_ever(compared: bool, after: timedelta, phase: Phase) -> None:
    running = {"old": Replicas(2, 2, 2), "new": Replicas(1, 1, 1)}
    facts = Facts("new", "old", True, STEPS, 2, running, START + after, compared=compared)
    run = advance(RUN, facts)
    assert run is not None
    assert run.phase is phase
