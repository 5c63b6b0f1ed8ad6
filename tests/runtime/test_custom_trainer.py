"""The example's plain script survives by the contract alone, with and without the keeper."""

import json
import sys
from pathlib import Path

import pytest

from tests.runtime.pods import ROOT, Attempt, Process
from tests.support.examples import documents
from tests.support.ports import free_port

SCRIPT = str(ROOT / "examples" / "custom-trainer" / "train.py")
EXAMPLE = ROOT / "examples" / "custom-trainer" / "mpi.yaml"


def script(attempt: Attempt) -> Process:
    return Process.start([sys.executable, SCRIPT], attempt.environment(0, free_port()))


def losses(process: Process) -> dict[int, float]:
    told = [json.loads(line) for line in process.lines if line.startswith('{"step"')]
    return {entry["step"]: entry["loss"] for entry in told}


def attempts(volume: Path) -> tuple[Attempt, Attempt, Attempt]:
    ancestry = ((1, "one"), (2, "two"))
    names = ("one", "two", "three")
    made = [Attempt(volume, n + 1, names[n], "", processes=1, ancestry=ancestry[:n]) for n in range(3)]
    return made[0], made[1], made[2]


def test_script_that_is_killed_and_stopped_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    undisturbed = script(Attempt(tmp_path / "whole", 1, "only", "", processes=1))
    assert undisturbed.ended() == 0, undisturbed.log

    one, two, three = attempts(tmp_path / "disturbed")
    killed = script(one)
    killed.wait_for(lambda line: line.startswith('{"step": 100,'))
    killed.kill()
    killed.ended()
    stopped = script(two)
    stopped.wait_for(lambda line: line.startswith('{"step": 300,'))
    stopped.terminate()
    assert stopped.ended() == 75, stopped.log
    last = max(losses(stopped))
    finished = script(three)
    assert finished.ended() == 0, finished.log

    assert min(losses(stopped)) % 40 == 1
    assert min(losses(finished)) == last + 1
    assert {**losses(killed), **losses(stopped), **losses(finished)} == losses(undisturbed)
    assert json.loads((three.directory / "origin.json").read_text())["resumedFrom"] == {
        "incarnation": "two",
        "step": last,
    }
    assert three.steps() == [1920, 1960, 2000]


def mpirun(attempt: Attempt) -> Process:
    """By the words of the example. This may be root's machine; a pod is nobody's."""
    (example,) = documents(EXAMPLE)
    here = {"python3": sys.executable, "/app/train.py": SCRIPT}
    command = [here.get(word, word) for word in example["spec"]["trainer"]["command"]]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    return Process.start(command, {**attempt.environment(0, free_port()), **root})


def test_processes_under_mpirun_share_each_batch_and_survive_a_stop(tmp_path: Path) -> None:
    alone = script(Attempt(tmp_path / "alone", 1, "only", "", processes=1))
    assert alone.ended() == 0, alone.log
    one, two, _ = attempts(tmp_path / "together")
    stopped = mpirun(one)
    stopped.wait_for(lambda line: line.startswith('{"step": 100,'))
    stopped.terminate()
    # Open MPI 4 tells its processes, waits for them, and says 1 whatever they said.
    assert stopped.ended() == 1, stopped.log
    last = max(losses(stopped))
    assert one.steps()[-1] == last
    finished = mpirun(two)
    assert finished.ended() == 0, finished.log
    assert min(losses(finished)) == last + 1
    assert {**losses(stopped), **losses(finished)} == pytest.approx(losses(alone), rel=1e-3)


def test_keeper_speaks_for_a_script_that_does_not(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 1, "kept", "", processes=1, variables={"STEPS": "2000"})
    process = attempt.start(command=(sys.executable, SCRIPT))
    assert process.ended() == 0, process.log
    said = attempt.termination()
    assert (said["result"], said["step"], said["latest"]) == ("Complete", 2000, {"step": 2000})
    assert said["best"] is None, "nothing was measured on held-out data"
