"""Every optimizer on one, two and three processes, which share rows unevenly: the same losses and norms, and checkpoints
that any of them goes on from."""

from typing import Any

import pytest

from deepseek_runtime.spec import OPTIMIZERS
from tests.runtime.divided import STARTS, STEPS, STOPPED_AT, WORLDS, has
from tests.runtime.gangs import told_by
from tests.runtime.workplace import write_words

pytestmark = pytest.mark.timeout(1800)  # the first of them waits for all gangs


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What the first process of each gang tells, by their number."""
    folder = tmp_path_factory.mktemp("divided")
    write_words(folder)
    return {world: told_by("divided", folder, world)[0] for world in WORLDS}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("start", STARTS)
def test_losses_and_norms_are_those_of_one_process(told: dict[int, dict[str, Any]], start: str, optimizer: str) -> None:
    alone = told[1][f"{start.partition(',')[0]}, {optimizer}"]["whole"]
    assert len(alone["losses"]) == STEPS
    assert max(alone["norms"].values()) > 0.5, "some are clipped"
    for world in (2, 3):
        if has(start, world):
            divided = told[world][f"{start}, {optimizer}"]["whole"]
            assert divided["losses"] == pytest.approx(alone["losses"], abs=1e-5)
            assert divided["norms"] == pytest.approx(alone["norms"], rel=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("start", ["Full", "LoRA"])
def test_what_another_number_of_processes_saved_is_gone_on_from(
    told: dict[int, dict[str, Any]], start: str, optimizer: str
) -> None:
    name = f"{start}, {optimizer}"
    after = {step: loss for step, loss in told[1][name]["whole"]["losses"].items() if int(step) > STOPPED_AT}
    for world in WORLDS[1:]:
        assert told[world][name]["resumed"]["losses"] == pytest.approx(after, abs=1e-5)
