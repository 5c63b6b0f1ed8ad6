"""Training survives what happens to its pods, with real processes on this machine."""

import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.pods import Attempt, Process, is_step, spec, workers_of
from tests.support.ports import free_port


@pytest.fixture
def copied(whole: tuple[Attempt, Process], tmp_path: Path) -> Iterator[Path]:
    """The undisturbed training's volume, to do with as one likes; its export is left out."""
    shutil.copytree(whole[0].volume, tmp_path / "volume")
    shutil.rmtree(tmp_path / "volume" / whole[0].training_uid / "exports")
    yield tmp_path / "volume"
    shutil.rmtree(tmp_path / "volume")


def drop(volume: Path, *steps: int) -> None:
    for step in steps:
        shutil.rmtree(volume / "training-uid" / "first" / f"step-{step:08d}")


def _curve(attempt: Attempt) -> dict[int, float]:
    """Losses by step, as the attempt left them on the volume."""
    lines = (attempt.directory / "metrics.jsonl").read_text().splitlines()
    return {one["step"]: one["loss"] for one in map(json.loads, lines) if one["event"] == "step"}


def test_complete_training_says_what_it_reached(whole: tuple[Attempt, Process]) -> None:
    attempt, process = whole
    said = attempt.termination()
    evaluations = [event for event in process.events if event["event"] == "evaluation"]
    assert [event["step"] for event in evaluations] == [0, 60, 120]
    assert evaluations[0]["accuracy"] == 0.0
    assert (said["result"], said["step"], said["exports"], said["incarnation"]) == ("Complete", 120, [120], "first")
    assert said["latest"] == {"step": 120}
    assert said["metrics"] == {"evalLoss": evaluations[-1]["evalLoss"], "accuracy": evaluations[-1]["accuracy"]}
    assert said["loss"] == process.losses[120]
    assert json.loads((attempt.directory / "origin.json").read_text())["resumedFrom"] is None


def test_sigkill_during_a_save_loses_nothing_that_was_saved(whole: tuple[Attempt, Process], tmp_path: Path) -> None:
    """The half-written checkpoint is ignored and pruned, and every later loss has the same bits."""
    first = Attempt(tmp_path, 1, "killed", spec(evalEverySteps=60))
    killed = first.start()
    killed.wait_for(lambda line: is_step(line, 70))
    torn = first.directory / "_tmp-step-00000080"
    wait_until(torn.exists)
    killed.kill()
    killed.ended()
    assert torn.exists()
    assert first.steps() == [40, 60]  # 60 was better than what was there before, hence saved as well

    second = Attempt(tmp_path, 2, "resumed", spec(evalEverySteps=60), ancestry=((1, "killed"),))
    resumed = second.start()
    assert resumed.ended() == 0, resumed.log
    assert not torn.exists()
    assert min(resumed.losses) == 61
    expected = whole[1].losses
    assert {**killed.losses, **resumed.losses} == expected
    assert resumed.losses == {step: expected[step] for step in range(61, 121)}
    origin = json.loads((second.directory / "origin.json").read_text())
    assert origin["resumedFrom"] == {"incarnation": "killed", "step": 60}
    assert second.manifest(80)["parent"] == {"incarnation": "killed", "step": 60}
    curves = [_curve(attempt) for attempt in (first, second)]
    assert (min(curves[0]), min(curves[1]), second.termination()["firstStep"]) == (1, 61, 61)
    assert {**curves[0], **curves[1]} == expected, "the curve outlives the pod and its log"


def test_divergence_ends_at_its_step_for_good_and_leaves_the_healthy_checkpoints(copied: Path) -> None:
    drop(copied, 120)
    attempt = Attempt(
        copied,
        2,
        "diverged",
        spec(learningRate="1e38", schedule="Constant"),
        ancestry=((1, "first"),),
        variables={"DEEPSEEK_CHECKPOINT_KEEP_LAST": "1", "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "4"},
    )
    process = attempt.start()
    assert process.ended() == 64, process.log
    said = attempt.termination()
    assert said["result"] == "Diverged"
    assert said["step"] in (81, 82)
    assert f"diverged at step {said['step']}: " in str(said["message"])
    assert "newest healthy checkpoint is step 80" in str(said["message"])
    assert "lower hyperparameters.learningRate than 1e+38" in str(said["message"])
    assert process.events[-1]["event"] == "diverged"
    assert attempt.steps() == []
    assert (copied / "training-uid" / "first" / "step-00000080" / "manifest.json").exists()

    cured = Attempt(copied, 3, "cured", spec(maxSteps=82), ancestry=((1, "first"), (2, "diverged")))
    process = cured.start()
    assert process.ended() == 0, process.log
    assert min(process.losses) == 81


def test_sigterm_to_one_pod_saves_on_all_and_every_pod_exits_75(whole: tuple[Attempt, Process], tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 1, "stopped", spec(), nodes=2, processes=1)
    port = free_port()
    pods = [attempt.start(0, port), attempt.start(1, port)]
    pods[0].wait_for(lambda line: is_step(line, 5))
    pods[1].terminate()
    assert [pod.ended() for pod in pods] == [75, 75], pods[0].log + pods[1].log
    last = max(pods[0].losses)
    assert attempt.steps() == [last]
    assert attempt.manifest(last)["worldSize"] == 2
    assert [attempt.termination(rank)["result"] for rank in (0, 1)] == ["Preempted", "Preempted"]
    assert [attempt.termination(rank)["incarnation"] for rank in (0, 1)] == ["stopped", "stopped"]
    assert attempt.termination()["latest"] == {"step": last}


def test_stopped_process_is_a_stall_with_stacks_and_76(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 1, "stalled", spec(), variables={"DEEPSEEK_STALL_TIMEOUT_SECONDS": "5"})
    process = attempt.start()
    process.wait_for(lambda line: is_step(line, 5))
    os.kill(workers_of(process)[1], signal.SIGSTOP)
    assert process.ended() == 76, process.log
    assert attempt.termination()["result"] == "Stalled"
    assert "rank 1 for" in str(attempt.termination()["message"])
    assert "Current thread" in process.log
    assert "loop.py" in process.log


def test_dead_worker_is_the_first_cause_and_takes_its_peer_along(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 1, "broken", spec())
    process = attempt.start()
    process.wait_for(lambda line: is_step(line, 2))
    os.kill(workers_of(process)[1], signal.SIGKILL)
    assert process.ended() == 137, process.log
    assert attempt.termination()["result"] == "Failed"
    assert "rank 1 died of SIGKILL" in str(attempt.termination()["message"])


def test_other_world_size_goes_on_within_a_millionth_from_where_the_lineage_says(
    whole: tuple[Attempt, Process], copied: Path
) -> None:
    """Attempt 2 resumed from 80 and died at once; what attempt 1 saved at 120 is a zombie's."""
    claimed = copied / "training-uid" / "second"
    claimed.mkdir()
    resumed_from = {"incarnation": "first", "step": 80}
    origin = {"formatVersion": 1, "attempt": 2, "jobUID": "job-2", "incarnation": "second", "resumedFrom": resumed_from}
    (claimed / "origin.json").write_text(json.dumps(origin))
    attempt = Attempt(copied, 3, "third", spec(), processes=1, ancestry=((1, "first"), (2, None)))
    process = attempt.start()
    assert process.ended() == 0, process.log
    assert sorted(process.losses) == list(range(81, 121))
    expected = whole[1].losses
    assert max(abs(process.losses[step] - expected[step]) for step in process.losses) < 1e-6
    assert attempt.manifest(120)["worldSize"] == 1


def test_new_training_goes_on_from_another_ones_best_and_skips_a_damaged_one(
    whole: tuple[Attempt, Process], copied: Path
) -> None:
    damaged = copied / "training-uid" / "first" / "step-00000120" / "__1_0.distcp"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    wanted = json.dumps({"trainingUID": "training-uid", "checkpoint": "Latest"})
    attempt = Attempt(copied, 1, "other", spec(), training_uid="other-uid", variables={"DEEPSEEK_RESUME_FROM": wanted})
    process = attempt.start()
    address = process.wait_for(lambda line: "progress on port" in line).split()[-1]
    process.wait_for(lambda line: is_step(line, 85))
    # Steps are published five times a second at most, and these take milliseconds: the first, which has no rate yet, may
    # be the only one before a save.
    for _ in range(100):
        with urllib.request.urlopen(f"http://127.0.0.1:{address}/progress", timeout=5) as answer:
            progress = json.load(answer)
        if progress.get("tokensPerSecond") is not None:
            break
        time.sleep(0.02)
    with urllib.request.urlopen(f"http://127.0.0.1:{address}/metrics", timeout=5) as answer:
        assert b"deepseek_training_loss " in answer.read()
    assert process.ended() == 0, process.log
    assert (progress["trainingUID"], progress["incarnation"]) == ("other-uid", "other")
    assert progress["state"] in {"Training", "Saving", "Evaluating"}
    assert progress["resumedFrom"] == {"step": 80}
    assert 81 <= progress["step"] <= 120
    assert progress["maxSteps"] == 120
    assert progress["tokensPerSecond"] > 0
    assert process.losses == {step: whole[1].losses[step] for step in range(81, 121)}
    parent = {"trainingUID": "training-uid", "incarnation": "first", "step": 80}
    assert json.loads((attempt.directory / "origin.json").read_text())["resumedFrom"] == parent


def test_missing_dataset_ends_with_64_and_names_the_file(tmp_path: Path) -> None:
    wrong = json.loads(spec())
    wrong["datasets"] = [{"source": {"path": str(tmp_path / "absent.jsonl")}, "split": "Train"}]
    attempt = Attempt(tmp_path, 1, "wrong", json.dumps(wrong), processes=1)
    process = attempt.start()
    assert process.ended() == 64, process.log
    assert attempt.termination()["result"] == "Invalid"
    assert "absent.jsonl" in str(attempt.termination()["message"])


def test_data_that_is_mostly_lost_ends_with_64_and_the_counts(tmp_path: Path) -> None:
    lines = [{"prompt": "ab=", "completion": "AB"}] + 9 * [{"prompt": 40 * "a" + "=", "completion": "AB"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = json.loads(spec())
    asked["datasets"] = [{"source": {"path": str(tmp_path / "train.jsonl")}}]
    attempt = Attempt(tmp_path, 1, "lost", json.dumps(asked))
    process = attempt.start()
    assert process.ended() == 64, process.log
    said = attempt.termination()
    assert "9 of 10 examples" in str(said["message"])
    assert said["data"] == {"examples": 1, "dropped": 9, "cut": 0, "longest": 44}


def test_pods_that_read_different_data_end_with_64_before_the_first_step(tmp_path: Path) -> None:
    """As where a folder of each node is mounted, or a file is replaced while the pods start."""
    attempts = []
    for name, words in (("one", ("ab", "cd")), ("two", ("ab", "cd", "ef"))):
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"prompt": "{w}=", "completion": "x"}}\n' for w in words))
        asked = json.loads(spec(globalBatchSize=2))
        asked["datasets"] = [{"source": {"path": str(tmp_path / f"{name}.jsonl")}}]
        attempts.append(Attempt(tmp_path, 1, "apart", json.dumps(asked), nodes=2, processes=1))
    port = free_port()
    pods = [attempts[0].start(0, port), attempts[1].start(1, port)]
    assert [pod.ended() for pod in pods] == [64, 64], pods[0].log + pods[1].log
    for rank in (0, 1):
        message = str(attempts[0].termination(rank)["message"])
        assert "holds 3 examples" in message
        assert "for rank 1 and 2 examples" in message


def wait_until(is_true: object) -> None:
    """Looks as fast as it can: what is waited for lasts only a fraction of a second."""
    assert callable(is_true)
    end = time.monotonic() + 120
    while not is_true():
        os.sched_yield()
        assert time.monotonic() < end
