"""One process of a gang dies, in whichever pod and however: all start again inside their pods, and nothing differs.

Real launchers, two on one machine where the gang has two pods. What they make of it in the end has the bits of a training
that nothing happened to.
"""

import json
import os
import signal
from pathlib import Path
from time import sleep

import pytest

from tests.runtime.pods import Attempt, Process, is_step, spec, workers_of
from tests.support.ports import free_port

STEPS = 12
PLAIN = {"maxSteps": STEPS, "warmupSteps": 2, "globalBatchSize": 16}


def attempt(volume: Path, *, nodes: int, processes: int, **variables: str) -> Attempt:
    told = {
        "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "3",
        "DEEPSEEK_MAX_IN_PLACE_RESTARTS": "3",
        "DEEPSEEK_LAUNCHER_PORT": str(free_port()),
        "DEEPSEEK_NODE_NAME": "gpu-17",
        **variables,
    }
    return Attempt(volume, 1, "first", spec(**PLAIN), nodes=nodes, processes=processes, variables=told)


def launched(one: Attempt) -> list[Process]:
    port = free_port()
    return [one.start(node, port) for node in range(one.nodes)]


def is_checkpoint(line: str, step: int) -> bool:
    event = json.loads(line) if line.startswith('{"time"') else {}
    return event.get("event") == "checkpoint" and event["step"] >= step


def kill(pods: list[Process], node: int, worker: int, number: int = signal.SIGKILL) -> None:
    os.kill(workers_of(pods[node])[worker], number)


def losses(process: Process) -> dict[int, list[float]]:
    """Losses by step, in the order in which the step was made."""
    found: dict[int, list[float]] = {}
    for event in process.events:
        if event["event"] == "step":
            found.setdefault(int(str(event["step"])), []).append(float(str(event["loss"])))
    return found


def exported(one: Attempt) -> dict[str, str]:
    """sha256 of the files of the last export, by name."""
    manifest = json.loads((one.root / "exports" / str(STEPS) / "manifest.json").read_text())
    return {file["path"]: file["sha256"] for file in manifest["files"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, list[float]], dict[str, str]]:
    one = attempt(tmp_path_factory.mktemp("undisturbed"), nodes=1, processes=2)
    (process,) = launched(one)
    assert process.ended() == 0, process.log
    return losses(process), exported(one)


@pytest.mark.parametrize(
    ("nodes", "victim", "number"),
    [
        (1, (0, 0), signal.SIGKILL),
        (1, (0, 1), signal.SIGSEGV),
        (2, (0, 0), signal.SIGKILL),
        (2, (1, 0), signal.SIGABRT),
    ],
    ids=["rank 0 killed", "rank 1 faults", "in the first of two pods", "in the second, which aborts"],
)
def test_the_gang_goes_on_in_its_pods_bit_by_bit(
    undisturbed: tuple[dict[int, list[float]], dict[str, str]],
    tmp_path: Path,
    nodes: int,
    victim: tuple[int, int],
    number: int,
) -> None:
    one = attempt(tmp_path, nodes=nodes, processes=2 // nodes)
    pods = launched(one)
    pods[0].wait_for(lambda line: is_checkpoint(line, 3))
    pods[0].wait_for(lambda line: is_step(line, 4))
    kill(pods, *victim, number)
    assert [pod.ended() for pod in pods] == [0] * nodes, "\n".join(pod.log for pod in pods)
    whole, files = undisturbed
    mine = losses(pods[0])
    assert sorted(mine) == sorted(whole)
    assert all(loss == whole[step][0] for step, found in mine.items() for loss in found)
    assert any(len(found) == 2 for found in mine.values()), "no step was made again: nothing was killed in time"
    assert exported(one) == files
    assert [incarnation.name for incarnation in one.root.iterdir() if incarnation.name != "exports"] == ["first"]
    told = one.termination()
    assert told["result"] == "Complete"
    restarts = told["inPlaceRestarts"]
    assert isinstance(restarts, dict)
    assert restarts["count"] == 1
    assert f"rank {1 if victim != (0, 0) else 0}" in restarts["cause"]
    assert "on node gpu-17" in restarts["cause"]


def test_what_dies_again_in_the_same_place_ends_the_pod(tmp_path: Path) -> None:
    one = attempt(tmp_path, nodes=1, processes=2)
    (pod,) = pods = launched(one)
    for _ in range(2):
        pod.wait_for(lambda line: is_step(line, 2))
        kill(pods, 0, 1)
    assert pod.ended() == 137, pod.log
    assert "no checkpoint was saved since the crash before" in pod.log
    told = one.termination()
    assert told["result"] == "Failed"
    assert told["message"] == "rank 1 died of SIGKILL (often out of memory); the gang had started again in place once"


def test_a_crash_before_the_first_step_and_a_users_error_end_the_pod(tmp_path: Path) -> None:
    early = attempt(tmp_path / "early", nodes=1, processes=2)
    (tmp_path / "early").mkdir()
    (pod,) = pods = [early.execute()]  # in a fork nothing is left to import
    pod.wait_for(lambda line: "progress on port" in line)
    sleep(1.0)  # both ranks are started at once, and take seconds to import torch
    kill(pods, 0, 1)
    assert pod.ended() == 137, pod.log
    assert early.termination().get("inPlaceRestarts") is None
    wrong = Attempt(tmp_path, 1, "wrong", spec(**PLAIN, learningRate="1e30"), processes=2, variables=early.variables)
    (pod,) = launched(wrong)
    assert pod.ended() == 64, pod.log
    assert wrong.termination()["result"] == "Diverged"
    assert wrong.termination().get("inPlaceRestarts") is None


def test_after_an_attempt_that_crashed_the_first_crash_counts_as_one_that_came_back(tmp_path: Path) -> None:
    one = attempt(tmp_path, nodes=1, processes=2, DEEPSEEK_FOLLOWS_CRASH="1")
    (pod,) = pods = launched(one)
    pod.wait_for(lambda line: is_step(line, 2))
    kill(pods, 0, 0)
    assert pod.ended() == 137, pod.log
    assert "no checkpoint was saved since the crash before" in pod.log


def test_a_pod_that_goes_takes_the_others_along_as_before(tmp_path: Path) -> None:
    """The launcher of a pod that is deleted at once does not answer: nobody waits for it."""
    one = attempt(tmp_path, nodes=2, processes=1)
    pods = launched(one)
    pods[0].wait_for(lambda line: is_step(line, 4))
    pods[1].kill()
    assert pods[0].ended() not in (0, 64, 75), pods[0].log
    assert one.termination().get("inPlaceRestarts") is None
