"""What TensorBoard shows of a training: one run over all its attempts, every step once, as it was made last.

Event files are read with tensorboardX's own classes, by the rule that TensorBoard reads them by: in the order of their
names, and a session that starts at a step purges what was read of that step and of later ones.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from deepseek_runtime.trainer.tensorboard_run import TensorboardRun, events
from deepseek_runtime.trainer.tracking import Record
from tests.runtime.pods import Attempt, Process, is_step, spec

STEPS, EVERY = 60, 10
RUN = "warm-up"
Shown = dict[str, dict[int, float]]


def shown(folder: Path) -> Shown:
    """Values by tag and step. Fails where TensorBoard would show a step of a tag twice."""
    points: list[tuple[str, int, float]] = []
    for file in sorted(folder.glob("*tfevents*")):
        for event in events(file):
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                points = [point for point in points if point[1] < event.step]
            points += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    assert len({(tag, step) for tag, step, _ in points}) == len(points), "a step is there twice"
    tags = {tag for tag, _, _ in points}
    return {tag: {step: value for one, step, value in points if one == tag} for tag in tags}


def attempt(volume: Path, number: int, **changes: Any) -> Attempt:
    return Attempt(
        volume,
        number,
        f"pod-{number}",
        changes.pop("spec", None) or spec(maxSteps=STEPS, evalEverySteps=20, globalBatchSize=16, evalSamples=1),
        processes=1,
        ancestry=tuple((earlier, f"pod-{earlier}") for earlier in range(1, number)),
        variables={
            "DEEPSEEK_TRACKING": json.dumps({"tensorboard": {"run": RUN}}),
            "DEEPSEEK_CHECKPOINT_EVERY_STEPS": str(EVERY),
            **changes,
        },
    )


def folder_of(one: Attempt) -> Path:
    return one.volume / "tensorboard" / f"{RUN}-{one.training_uid[:8]}"


def close(losses: dict[int, float]) -> Any:
    """Event files hold numbers of 32 bits."""
    return pytest.approx(losses, rel=1e-6)


def killed_at(one: Attempt, step: int) -> Process:
    process = one.start()
    process.wait_for(lambda line: is_step(line, step))
    process.kill()
    process.ended()
    return process


def test_one_run_over_three_attempts_has_every_step_once(tmp_path: Path) -> None:
    processes = [killed_at(attempt(tmp_path, 1), 25), killed_at(attempt(tmp_path, 2), 44)]
    last = attempt(tmp_path, 3)
    processes.append(last.start())
    assert processes[-1].ended() == 0, processes[-1].log
    found = shown(folder_of(last))
    made = {step: loss for process in processes for step, loss in process.losses.items()}
    assert found["loss"] == close(dict(sorted(made.items())))
    assert sorted(found["loss"]) == list(range(1, STEPS + 1))
    assert {"gradientNorm", "learningRate", "tokensPerSecond", "hostMemoryBytes", "checkpointSeconds"} <= set(found)
    assert sorted(found["evalLoss"]) == [0, 20, 40, 60]
    assert 60 in found["sample/text_summary"]
    # A file of each attempt that lived until its writer had begun; of a shorter one the next writes what the curve holds.
    writers = [file.name.split(".")[-2] for file in folder_of(last).glob("*tfevents*")]
    assert "pod-3" in writers
    assert len(set(writers)) == len(writers) <= 3


# --- without a training: what an attempt sends, and what is there then ---------------------------------------------


def step(number: int, loss: float = 1.0) -> Record:
    return {"time": "2026-01-01T00:00:00Z", "event": "step", "step": number, "loss": loss}


def steps(first: int, last: int, loss: float) -> list[Record]:
    return [step(number, loss) for number in range(first, last + 1)]


def said(event: str, number: int, **more: Any) -> Record:
    return {"time": "2026-01-01T00:00:00Z", "event": event, "step": number, **more}


def sent(folder: Path, name: str, *batches: list[Record]) -> TensorboardRun:
    run = TensorboardRun(folder, name)
    run.open()
    for batch in batches:
        run.send(batch)
    return run


def test_a_rollback_takes_the_steps_back_that_it_undoes(tmp_path: Path) -> None:
    skip = {"to": 10, "first": 12, "count": 1}
    sent(
        tmp_path,
        "a",
        [said("start", 0), *steps(1, 14, 1.0), said("evaluation", 12, evalLoss=3.0)],
        [said("rollback", 14, **skip), *steps(11, 20, 2.0)],
    )
    found = shown(tmp_path)
    assert found["loss"] == {**dict.fromkeys(range(1, 11), 1.0), **dict.fromkeys(range(11, 21), 2.0)}
    assert "evalLoss" not in found


@pytest.mark.parametrize("resumed", [4, 8, 10])
def test_a_resume_goes_on_in_the_same_run(tmp_path: Path, resumed: int) -> None:
    sent(tmp_path, "a", [said("start", 0), *steps(1, 10, 1.0)])
    sent(tmp_path, "b", [said("resume", resumed), *steps(resumed + 1, 12, 2.0)])
    assert list(shown(tmp_path)["loss"].values()) == [1.0] * resumed + [2.0] * (12 - resumed)


@pytest.mark.parametrize("succeed", [0, 1, 2, 3, 4, 8])
def test_what_a_failed_try_had_written_is_not_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, succeed: int
) -> None:
    """The disk fails in the middle of a batch; the same records are sent once more."""
    run = sent(tmp_path, "a", [said("start", 0), *steps(1, 5, 1.0)])
    # What is told of a step that the batch before had.
    beside = [said("checkpoint", 5, seconds=0.5), said("evaluation", 5, evalLoss=2.0), said("sample", 5, prompt="a")]
    batch, write, left = [*beside, *steps(6, 12, 1.0)], EventsWriter.write_event, [succeed]

    def fails(writer: EventsWriter, event: Event) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no space")
        write(writer, event)

    monkeypatch.setattr(EventsWriter, "write_event", fails)
    with pytest.raises(OSError, match="no space"):
        run.send(batch)
    monkeypatch.setattr(EventsWriter, "write_event", write)
    run.open()
    run.send(batch)
    found = shown(tmp_path)
    assert sorted(found["loss"]) == list(range(1, 13))
    assert {list(found[tag]) == [5] for tag in ("checkpointSeconds", "evalLoss", "sample/text_summary")} == {True}


@pytest.mark.parametrize("unsent", [[], steps(6, 7, 1.0)], ids=["nothing else", "later steps"])
def test_a_measure_that_was_not_told_in_time_takes_no_step_back(tmp_path: Path, unsent: list[Record]) -> None:
    """An attempt died within a checkpoint, with the step told and the measure not; another reads it in the curve."""
    sent(tmp_path, "a", [said("start", 0), *steps(1, 5, 1.0)])
    sent(tmp_path, "b", [said("evaluation", 5, evalLoss=2.0), *unsent], [said("resume", 5), *steps(6, 8, 1.0)])
    found = shown(tmp_path)
    assert (sorted(found["loss"]), found["evalLoss"]) == (list(range(1, 9)), {5: 2.0})


def test_a_measure_that_is_taken_again_is_shown_once(tmp_path: Path) -> None:
    """An attempt died after it had measured and before a checkpoint held that."""
    measured = [said("evaluation", 5, evalLoss=2.0), said("sample", 5, prompt="a", answer="b")]
    sent(tmp_path, "a", [said("start", 0), *steps(1, 5, 1.0), *measured])
    sent(tmp_path, "b", [said("resume", 5), *measured, *steps(6, 7, 1.0), said("evaluation", 7, evalLoss=1.0)])
    assert shown(tmp_path)["evalLoss"] == {5: 2.0, 7: 1.0}


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_a_file_whose_writer_was_killed_is_read_as_far_as_it_goes(tmp_path: Path, cut: int) -> None:
    sent(tmp_path, "a", [said("start", 0), *steps(1, 9, 1.0)])
    (file,) = tmp_path.glob("*tfevents*")
    file.write_bytes(file.read_bytes()[:-cut])
    run = TensorboardRun(tmp_path, "b")
    assert run.open() == {"step": 8, "evaluation": -1}
    run.send([step(9), said("resume", 7), *steps(8, 12, 2.0)])
    assert sorted(shown(tmp_path)["loss"]) == list(range(1, 13))


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "noise"])
def test_what_is_no_event_file_is_passed_over(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "events.out.tfevents.0.x"
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "link":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case _:
            file.write_bytes(os.urandom(4096))
    assert TensorboardRun(tmp_path, "a").open() == {"step": -1, "evaluation": -1}
