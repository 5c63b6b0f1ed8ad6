"""A copy of all states on each node, shared out within it: two nodes of two processes learn what four learn alike."""

import json
from typing import Any

import pytest

from deepseek_runtime.contract import Gang, Invalid
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer.meshes import copies
from tests.runtime.copied import READ, STARTS, STEPS, STOPPED_AT
from tests.runtime.gangs import told_by
from tests.runtime.workplace import write_words

# Of the first test, in which 35 trainings of four processes and five of two are made.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What the processes of a gang tell, by their number and by rank; two go on from what four have left."""
    folder = tmp_path_factory.mktemp("copied")
    write_words(folder)
    return {world: told_by("copied", folder, world) for world in (4, 2)}


@pytest.mark.parametrize("start", [*STARTS, *READ])
def test_losses_norms_and_export_are_those_of_states_shared_out_over_all(
    told: dict[int, list[dict[str, Any]]], start: str
) -> None:
    full, hybrid = (told[4][0][start][layout] for layout in ("Full", "Hybrid"))
    assert len(full["losses"]) == STEPS
    assert hybrid["losses"] == pytest.approx(full["losses"], abs=1e-5)
    assert hybrid["norms"] == pytest.approx(full["norms"], rel=1e-4)
    assert hybrid["export"] == pytest.approx(full["export"], rel=1e-3)


@pytest.mark.parametrize("start", [*STARTS, *READ])
def test_a_process_holds_half_of_it_where_it_would_hold_a_quarter(
    told: dict[int, list[dict[str, Any]]], start: str
) -> None:
    for rank in told[4]:
        assert rank[start]["Full"]["held"] == pytest.approx(0.25, abs=0.05)
        assert rank[start]["Hybrid"]["held"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("start", [*STARTS, *READ])
def test_a_stopped_training_goes_on_bit_by_bit_and_in_another_layout_nearly_so(
    told: dict[int, list[dict[str, Any]]], start: str
) -> None:
    runs = told[4][0][start]
    for begun, other in (("Hybrid", "Hybrid"), ("Hybrid", "Full"), ("Full", "Hybrid")):
        resumed = runs[f"{begun}-{other}"]
        expected = {step: loss for step, loss in runs[begun]["losses"].items() if int(step) > STOPPED_AT}
        if begun == other:
            assert resumed["losses"] == expected
        assert resumed["losses"] == pytest.approx(expected, abs=1e-5)
        assert resumed["exact"] == [begun == other]
        fewer = told[2][0][start]["Hybrid-Full"]
        assert fewer["exact"] == [False]
        if begun == "Hybrid":
            assert fewer["losses"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("nodes", "processes", "words"),
    [(1, 4, "there is one node"), (1, 1, "there is one node"), (4, 1, "a node has one process")],
)
def test_where_nothing_is_gained_by_it_it_is_refused(nodes: int, processes: int, words: str) -> None:
    gang = Gang(nodes, 0, processes, "", 1)
    assert copies("Full", gang) == 1
    with pytest.raises(Invalid, match=f"parallelism.sharding is Hybrid.*{words}.*write Full"):
        copies("Hybrid", gang)


def test_a_part_of_a_layer_is_not_computed_again_whose_experts_are_dealt_out() -> None:
    spec = {
        "model": {"custom": {}},
        "datasets": [{"source": {"builtin": "uppercase"}}],
        "hyperparameters": {"activationRecomputation": "Selective"},
        "parallelism": {"expert": 2},
    }
    with pytest.raises(Invalid, match=r"activationRecomputation is Selective.*write Full or None"):
        read_spec(json.dumps(spec))


def test_experts_dealt_out_over_all_processes_have_no_copies() -> None:
    spec = {
        "model": {"custom": {}},
        "datasets": [{"source": {"builtin": "uppercase"}}],
        "hyperparameters": {},
        "parallelism": {"sharding": "Hybrid", "expert": 2},
    }
    with pytest.raises(Invalid, match=r"parallelism\.sharding.*write Full"):
        read_spec(json.dumps(spec))
