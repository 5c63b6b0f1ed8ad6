"""The launcher keeps a trainer that knows nothing of the contract: nothing is lost to a kill, a stop or a torn folder.

The trainer is played; `test_real_trainers` runs released ones.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runtime.pods import ROOT, Attempt, Process
from tests.support.ports import free_port


def attempt(volume: Path, number: int, *, spec: str = "", **settings: object) -> Attempt:
    variables = {
        "FOREIGN": json.dumps(settings),
        "DEEPSEEK_OUTPUT": str(volume / f"output-{number}"),
        "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}",
        "DEEPSEEK_STALL_TIMEOUT_SECONDS": "15",
    }
    ancestry = tuple((n, f"pod-{n}") for n in range(1, number))
    return Attempt(volume, number, f"pod-{number}", spec, processes=1, ancestry=ancestry, variables=variables)


def start(one: Attempt) -> Process:
    command = [sys.executable, "-m", "tests.runtime.foreign_trainer", one.variables["DEEPSEEK_OUTPUT"]]
    launcher = [sys.executable, "-m", "deepseek_runtime.launcher", "--adapter", "llama-factory", "--", *command]
    return Process.start(launcher, one.environment(0, free_port()))


def said(process: Process, word: str) -> list[int]:
    return [int(line.split()[-1]) for line in process.lines if line.startswith(f"{word} ")]


def test_a_trainer_that_is_killed_goes_on_from_its_newest_whole_folder_and_completes(tmp_path: Path) -> None:
    one = attempt(tmp_path, 1)
    first = start(one)
    first.wait_for(lambda line: line == "saved 15\n")
    first.kill()
    first.ended()
    two = attempt(tmp_path, 2)
    second = start(two)
    assert second.ended() == 0, second.log
    (begun,) = said(second, "begins after")
    assert begun >= 15, "with or without a manifest, what was whole is not lost"
    told = two.termination()
    assert (told["result"], told["step"], told["latest"]) == ("Complete", 30, {"step": 30})
    assert told["firstStep"] == begun + 1
    assert told["loss"] == pytest.approx(2 / 30)
    assert told["exports"] == [30]
    manifest = json.loads((two.root / "exports" / "30" / "manifest.json").read_text())
    assert {file["path"] for file in manifest["files"]} == {"model.safetensors", "config.json", "tokenizer.json"}


@pytest.mark.parametrize("said_steps", [30, 40])
def test_a_trainer_whose_last_step_is_safe_is_started_no_more(tmp_path: Path, said_steps: int) -> None:
    """transformers' would make one more; one that has a step left to make goes on."""
    spec = json.dumps({"hyperparameters": {"maxSteps": said_steps}})
    first = start(attempt(tmp_path, 1, spec=spec))
    first.wait_for(lambda line: line == "saved 30\n")
    first.kill()
    first.ended()
    two = attempt(tmp_path, 2, spec=spec, maxSteps=said_steps)
    second = start(two)
    assert second.ended() == 0, second.log
    assert said(second, "begins after") == ([] if said_steps == 30 else [30])
    told = two.termination()
    assert (told["result"], told["step"], told["exports"]) == ("Complete", said_steps, [said_steps])


def test_a_kill_in_the_midst_of_a_save_costs_the_steps_since_the_one_before(tmp_path: Path) -> None:
    one = attempt(tmp_path, 1, saveSeconds=0.3)
    first = start(one)
    first.wait_for(lambda line: line == "saved 5\n")
    first.wait_for(lambda line: line == "saving 10\n")
    first.kill()
    first.ended()
    second = start(attempt(tmp_path, 2))
    assert second.ended() == 0, second.log
    assert said(second, "begins after") == [5]


def test_a_folder_without_its_last_file_stops_no_restart(tmp_path: Path) -> None:
    """LLaMA-Factory takes the newest folder in whatever state, and fails on every restart."""
    one = attempt(tmp_path, 1)
    first = start(one)
    first.wait_for(lambda line: line == "saved 10\n")
    first.kill()
    first.ended()
    for folder in one.directory.glob("**/checkpoint-10"):
        (folder / "trainer_state.json").unlink()
    second = start(attempt(tmp_path, 2))
    assert second.ended() == 0, second.log
    assert said(second, "begins after")[0] in (5, 10)


def test_a_stop_saves_and_is_a_disruption_though_the_trainer_ends_with_0(tmp_path: Path) -> None:
    one = attempt(tmp_path, 1, maxSteps=1000, everySteps=500)
    first = start(one)
    first.wait_for(lambda line: line == "step 20\n")
    first.terminate()
    assert first.ended() == 75, first.log
    last = said(first, "saved")[-1]
    assert one.steps() == [last]
    told = one.termination()
    assert (told["result"], told["latest"]) == ("Preempted", {"step": last})
    second = start(attempt(tmp_path, 2, maxSteps=last + 5, everySteps=500))
    assert second.ended() == 0, second.log
    assert said(second, "begins after") == [last]


def test_a_stop_before_the_first_step_ends_at_once_and_writes_over_nothing(tmp_path: Path) -> None:
    """Before its first step transformers would save the step that it was loaded from, into the very files of that one."""
    one = attempt(tmp_path, 1, maxSteps=10)
    assert start(one).ended() == 0
    step = json.loads((one.directory / "step-00000010" / "manifest.json").read_text())["step"]
    two = attempt(tmp_path, 2, maxSteps=20, stepSeconds=60)
    second = start(two)
    second.wait_for(lambda line: line == f"begins after {step}\n")
    second.terminate()
    assert second.ended() == 75, second.log
    assert "nothing was there to save" in str(two.termination()["message"])


def test_a_trainer_that_does_not_stop_is_killed_in_time(tmp_path: Path) -> None:
    one = attempt(tmp_path, 1, maxSteps=100000, everySteps=100000, ignoresStop=True)
    stubborn = Attempt(
        one.volume, 1, "pod-1", "", processes=1, variables={**one.variables, "DEEPSEEK_GRACE_SECONDS": "4"}
    )
    first = start(stubborn)
    first.wait_for(lambda line: line == "step 60\n")
    first.terminate()
    assert first.ended() == 143, first.log


def test_a_trainer_that_hangs_is_a_stall(tmp_path: Path) -> None:
    one = attempt(tmp_path, 1, hangAt=7)
    quick = Attempt(
        one.volume, 1, "pod-1", "", processes=1, variables={**one.variables, "DEEPSEEK_STALL_TIMEOUT_SECONDS": "3"}
    )
    first = start(quick)
    assert first.ended() == 76, first.log
    assert quick.steps() == [5]


def test_one_that_ends_early_goes_on_and_one_that_never_gets_further_fails(tmp_path: Path) -> None:
    """The end that the spec names is not reached: 75 while steps are won, then a crash, which is counted."""
    spec = json.dumps({"hyperparameters": {"maxSteps": 30}})
    first = start(attempt(tmp_path, 1, spec=spec, stopAt=10))
    assert first.ended() == 75, first.log
    two = attempt(tmp_path, 2, spec=spec, maxSteps=10)
    second = start(two)
    assert second.ended() == 1, second.log
    assert "step 10 of 30" in str(two.termination()["message"])


def test_what_it_tells_is_shown_while_it_runs(tmp_path: Path) -> None:
    from urllib.request import urlopen

    one = attempt(tmp_path, 1, maxSteps=100000, everySteps=5)
    port = free_port()
    watched = Attempt(
        one.volume, 1, "pod-1", "", processes=1, variables={**one.variables, "DEEPSEEK_PROGRESS_PORT": str(port)}
    )
    first = start(watched)
    first.wait_for(lambda line: "step 150" in line)
    with urlopen(f"http://127.0.0.1:{port}/progress", timeout=10) as answer:
        told = json.load(answer)
    first.kill()
    first.ended()
    assert told["state"] == "Training"
    assert told["incarnation"] == "pod-1"
    assert told["step"] > 100
    assert told["maxSteps"] == 100000
    assert told["latest"]["step"] >= 5
    assert told["etaSeconds"] > 0


def test_an_adapter_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    one = attempt(tmp_path, 1)
    launcher = [sys.executable, "-m", "deepseek_runtime.launcher", "--adapter", "axolotl", "--", "true"]
    process = Process.start(launcher, {**os.environ, **one.environment(0, free_port())})
    assert process.ended() == 64
    assert "write one of llama-factory, ms-swift" in str(one.termination()["message"])


def test_a_model_that_is_no_model_ends_it_before_the_trainer_starts(tmp_path: Path) -> None:
    """LLaMA-Factory says of a weight file that it may not read that there is none, in the midst of a traceback."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    one = attempt(tmp_path, 1)
    one = replace(one, variables={**one.variables, "DEEPSEEK_CHECK_TOKENIZER": str(tmp_path / "model")})
    process = start(one)
    assert process.ended() == 64, process.log
    assert "model.safetensors is a Git-LFS pointer" in str(one.termination()["message"])
    assert said(process, "begins after") == []
