"""Experts that are dealt out over processes learn what they learn whole on each: every family, on two and on four."""

from pathlib import Path
from typing import Any

import pytest

from tests.runtime.dealt import READ, STEPS, STOPPED_AT, continuations, degrees, mixtures
from tests.runtime.families import FAMILIES
from tests.runtime.gangs import told_by
from tests.runtime.workplace import write_words

WORLDS = (2, 4)
pytestmark = pytest.mark.timeout(1800)  # whole lives of every mixture, of six processes on whatever else computes here


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What the processes of a gang tell, by their number and by rank."""
    return {world: _gang(tmp_path_factory.mktemp(f"dealt-{world}"), world) for world in WORLDS}


def _gang(folder: Path, world: int) -> list[dict[str, Any]]:
    write_words(folder)
    return told_by("dealt", folder, world)


CASES = [
    pytest.param(world, start, degree, id=f"{start}: {degree} of {world}")
    for world in WORLDS
    for start in (*mixtures(world), *(f"{name} from weights" for name in READ))
    for degree in degrees(world)
    if degree > 1
]


@pytest.mark.parametrize(("world", "start", "degree"), CASES)
def test_losses_norms_and_export_are_those_of_whole_experts(
    told: dict[int, list[dict[str, Any]]], world: int, start: str, degree: int
) -> None:
    plain, dealt = (told[world][0][start][str(one)] for one in (1, degree))
    assert len(plain["losses"]) == STEPS
    assert dealt["losses"] == pytest.approx(plain["losses"], abs=1e-5)
    assert dealt["norms"] == pytest.approx(plain["norms"], rel=1e-4)
    assert dealt["evaluations"] == pytest.approx(plain["evaluations"], abs=1e-5)
    assert dealt["export"] == pytest.approx(plain["export"], rel=1e-3)


@pytest.mark.parametrize(("world", "start", "degree"), CASES)
def test_layers_that_are_computed_again_make_the_same_bits(
    told: dict[int, list[dict[str, Any]]], world: int, start: str, degree: int
) -> None:
    runs = told[world][0][start]
    for one in (1, degree):
        assert runs[f"again-{one}"]["losses"] == runs[str(one)]["losses"]


@pytest.mark.parametrize(("world", "start", "degree"), CASES)
def test_each_process_holds_its_share_of_the_experts(
    told: dict[int, list[dict[str, Any]]], world: int, start: str, degree: int
) -> None:
    experts = FAMILIES[start.removesuffix(" from weights")]["n_routed_experts"]
    for rank in told[world]:
        held = rank[start][str(degree)]["held"]
        assert held
        assert {shape[0] for shape in held} == {int(str(experts)) // world}


@pytest.mark.parametrize(
    ("world", "start", "begun", "other"),
    [
        pytest.param(world, start, *degrees, id=f"{start}: {degrees[0]} then {degrees[1]} of {world}")
        for world in WORLDS
        for start in mixtures(world)
        for degrees in continuations(world)
    ],
)
def test_a_stopped_training_goes_on_bit_by_bit_and_over_other_degrees_nearly_so(
    told: dict[int, list[dict[str, Any]]], world: int, start: str, begun: int, other: int
) -> None:
    runs = told[world][0][start]
    resumed = runs[f"{begun}-{other}"]
    expected = {step: loss for step, loss in runs[str(begun)]["losses"].items() if int(step) > STOPPED_AT}
    if begun == other:
        assert resumed["losses"] == expected
    assert resumed["losses"] == pytest.approx(expected, abs=1e-5)
    assert resumed["exact"] == [begun == other]
