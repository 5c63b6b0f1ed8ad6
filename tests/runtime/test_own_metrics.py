"""A program of the user's own measures the model: what it is given, what is taken of what it prints, and that nothing that
it does ends a training."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from deepseek_operator.domain.programs.measuring import LOOP
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.evaluation import MOST_METRICS
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer.own_metrics import Absurd, metrics_of
from tests.runtime.observed import Observed
from tests.runtime.pods import Attempt, is_step, spec
from tests.runtime.workplace import ABSENT, Workplace, changed, of

pytestmark = pytest.mark.filterwarnings("ignore")

BEST: dict[str, Any] = {"CHECKPOINT_BEST_METRIC": "bleu", "CHECKPOINT_BEST_MODE": "Max"}


def measured_by(script: str, timeout: int = 600, **hyperparameters: object) -> dict[str, object]:
    """A training of six steps whose program is a Python script."""
    named = {f"hyperparameters.{name}": value for name, value in hyperparameters.items()}
    return {
        "hyperparameters.maxSteps": 6,
        "hyperparameters.evalEverySteps": 2,
        "evaluation": {"command": [sys.executable, "-c", script], "timeoutSeconds": timeout},
        **named,
    }


@contextmanager
def container(folder: Path, script: str) -> Iterator[None]:
    """The loop that runs beside the trainer's container, with its program."""
    folder.mkdir()
    environment = {**os.environ, "DEEPSEEK_EVALUATION": str(folder), "DEEPSEEK_NODE_RANK": "0"}
    words = ["/bin/sh", "-c", LOOP, "evaluation", sys.executable, "-c", script]
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def evaluations(run: Observed) -> list[dict[str, object]]:
    return [record for record in run.records if record["event"] == "evaluation"]


def failures(run: Observed) -> list[str]:
    return [str(record["message"]) for record in run.records if record["event"] == "evaluationFailed"]


BY_STEP = "import os; print('loading'); print('{\"bleu\": %d}' % (10 - int(os.environ['DEEPSEEK_STEP'])))"


def test_its_numbers_are_in_the_curve_the_checkpoints_and_progress_and_decide_what_is_best(
    workplace: Workplace, tmp_path: Path
) -> None:
    run = workplace.attempt(tmp_path, measured_by(BY_STEP), CHECKPOINT_EVERY_STEPS="2", **BEST)
    assert [record["bleu"] for record in evaluations(run)] == [10.0, 8.0, 6.0, 4.0]
    assert run.manifest()["metrics"]["bleu"] == 4.0  # type: ignore[index]
    assert (run.told["metrics"], run.told["evaluationFailure"]) == ({"bleu": 4.0}, None)
    assert run.told["best"] == {"step": 2, "metric": "bleu", "value": 8.0}, "the least trained one"
    assert sorted(int(path.name) for path in (run.root / "exports").iterdir()) == [2, 6]
    assert not list(run.root.rglob("_tmp-*")), "what it measured is gone"


LOOK = """
import json, os, pathlib
from safetensors.numpy import load_file
place = pathlib.Path(os.environ["DEEPSEEK_MODEL"])
weights = load_file(place / "model.safetensors")
heldout = json.loads(os.environ["DEEPSEEK_HELDOUT"])
lines = sum(len(pathlib.Path(file).read_text().splitlines()) for file in heldout)
names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "DEEPSEEK_RUN_DIRECTORY")
files = {"config.json", "tokenizer.json", "tokenizer_config.json"} & {file.name for file in place.iterdir()}
print(json.dumps({"weights": sum(float(one.astype("float64").sum()) for one in weights.values()), "lines": lines,
                  "ranks": sum(name in os.environ for name in names), "files": len(files)}))
"""


def test_it_is_given_the_model_as_it_is_and_the_heldout_files(workplace: Workplace, tmp_path: Path) -> None:
    run = workplace.attempt(tmp_path, measured_by(LOOK, maxSteps=2))
    first, last = evaluations(run)
    assert (first["lines"], first["ranks"], first["files"]) == (2.0, 0.0, 3.0)
    weights = load_file(run.root / "exports" / "2" / "model.safetensors")
    assert last["weights"] == pytest.approx(sum(float(one.double().sum()) for one in weights.values()), abs=1e-6)
    assert first["weights"] != last["weights"]


def test_it_measures_where_nothing_is_held_out(workplace: Workplace, tmp_path: Path) -> None:
    run = workplace.attempt(tmp_path, {**measured_by(BY_STEP, maxSteps=2), "datasets": of("few")}, **BEST)
    assert [(record["step"], record["bleu"]) for record in evaluations(run)] == [(0, 10.0), (2, 8.0)]
    assert "evalLoss" not in run.manifest()["metrics"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "Segmentation fault"),
        ("print('{\"bleu\": NaN}')", "bleu is not finite"),
        ("print('done')", "must be a JSON object of numbers"),
        ("pass", "it printed nothing"),
        ("import sys; sys.stdout.buffer.write(b'\\xff' * 10_000_000)", "must be a JSON object of numbers"),
    ],
    ids=["fails", "dies", "NaN", "text", "nothing", "ten megabytes"],
)
def test_what_is_no_measure_is_told_and_the_training_goes_on(
    workplace: Workplace, tmp_path: Path, script: str, why: str
) -> None:
    run = workplace.attempt(tmp_path, measured_by(script, maxSteps=2))
    assert run.code == ExitCode.COMPLETE
    assert len(failures(run)) == 2
    assert all(why in message for message in failures(run))
    assert run.told["evaluationFailure"]["step"] == 2  # type: ignore[index]
    assert [set(record) for record in evaluations(run)] == [{"event", "step", "evalLoss", "accuracy"}] * 2


def in_container(folder: Path, steps: int) -> dict[str, object]:
    asked = measured_by("", maxSteps=steps)
    return {**asked, "evaluation": {"command": ["unused"], "timeoutSeconds": 60, "folder": str(folder)}}


def test_in_a_container_of_its_own_it_is_given_the_same(workplace: Workplace, tmp_path: Path) -> None:
    folder = tmp_path / "evaluation"
    with container(folder, LOOK):
        run = workplace.attempt(tmp_path / "volume", in_container(folder, 2))
    first, last = evaluations(run)
    assert (first["lines"], first["ranks"], first["files"]) == (2.0, 0.0, 3.0)
    weights = load_file(run.root / "exports" / "2" / "model.safetensors")
    assert last["weights"] == pytest.approx(sum(float(one.double().sum()) for one in weights.values()), abs=1e-6)
    assert list(folder.iterdir()) == []


def test_in_a_container_that_fails_it_is_told_and_the_training_goes_on(workplace: Workplace, tmp_path: Path) -> None:
    folder = tmp_path / "evaluation"
    with container(folder, "raise SystemExit(3)"):
        run = workplace.attempt(tmp_path / "volume", in_container(folder, 2))
    assert run.code == ExitCode.COMPLETE
    assert failures(run) == ["it ended with exit code 3; its own words are in the log"] * 2


def test_without_its_container_it_is_told_and_the_training_goes_on(workplace: Workplace, tmp_path: Path) -> None:
    there, nowhere = tmp_path / "evaluation", tmp_path / "nowhere"
    there.mkdir()
    changes = in_container(there, 1)
    late = {**changes, "evaluation": {"command": ["unused"], "timeoutSeconds": 1, "folder": str(there)}}
    run = workplace.attempt(tmp_path / "late", late)
    assert all("did not begin it within evaluation.timeoutSeconds 1" in message for message in failures(run))
    assert len(failures(run)) == 2
    run = workplace.attempt(tmp_path / "nowhere-volume", in_container(nowhere, 1))
    assert all("can't be started" in message for message in failures(run))
    assert len(failures(run)) == 2


def test_one_that_takes_too_long_is_ended_with_what_it_started(workplace: Workplace, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    script = f"import subprocess, time; subprocess.Popen(['sh', '-c', 'sleep 3; touch {mark}']); time.sleep(600)"
    run = workplace.attempt(tmp_path / "volume", measured_by(script, timeout=1, maxSteps=1))
    assert failures(run) == ["it took longer than evaluation.timeoutSeconds 1"] * 2
    time.sleep(3.5)
    assert not mark.exists()


def test_a_program_that_is_not_there_is_told(workplace: Workplace, tmp_path: Path) -> None:
    changes = {**measured_by("", maxSteps=1), "evaluation": {"command": ["/nowhere/bleu"]}}
    run = workplace.attempt(tmp_path, changes)
    assert all("it can't be started" in message for message in failures(run))


def test_a_failed_measure_spends_no_patience(workplace: Workplace, tmp_path: Path) -> None:
    """It says nothing about the model: a training must not end for it."""
    changes = {**measured_by("raise SystemExit(1)"), "earlyStopping": {"patience": 1}}
    assert len(workplace.attempt(tmp_path / "fails", changes, **BEST).losses) == 6
    worse = {**measured_by(BY_STEP), "earlyStopping": {"patience": 1}}
    assert len(workplace.attempt(tmp_path / "worse", worse, **BEST).losses) == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_ends_it_and_saves_and_the_next_attempt_measures(tmp_path: Path, processes: int) -> None:
    mark = tmp_path / "measuring"
    slow = f"import os, pathlib, time; pathlib.Path('{mark}').touch(); os.environ['DEEPSEEK_STEP'] == '7' and time.sleep(600)"
    quick = "import os; print('{\"bleu\": %s}' % os.environ['DEEPSEEK_STEP'])"

    def attempt(number: int, script: str) -> Attempt:
        asked = json.loads(spec(maxSteps=14, evalEverySteps=7, globalBatchSize=16, warmupSteps=0))
        asked["evaluation"] = {"command": [sys.executable, "-c", script], "timeoutSeconds": 500}
        earlier = tuple((one, f"pod-{one}") for one in range(1, number))
        return Attempt(tmp_path, number, f"pod-{number}", json.dumps(asked), processes=processes, ancestry=earlier)

    first = attempt(1, slow)
    process = first.start()
    process.wait_for(lambda line: is_step(line, 7))
    mark.unlink(missing_ok=True)
    while not mark.exists():
        time.sleep(0.05)
    since = time.monotonic()
    process.popen.send_signal(signal.SIGTERM)
    assert process.ended() == ExitCode.SAVED, process.log
    assert time.monotonic() - since < 60, "it would have slept for ten minutes"
    assert first.steps() == [7]
    second = attempt(2, quick)
    process = second.start()
    assert process.ended() == 0, process.log
    measured = [(event["step"], event["bleu"]) for event in process.events if event["event"] == "evaluation"]
    assert measured == [(7, 7.0), (14, 14.0)]
    assert second.termination()["metrics"]["bleu"] == 14.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("output", "metrics"),
    [
        ('{"bleu": 31.2}', {"bleu": 31.2}),
        ('noise\n{"a.b-c_d": 1, "e": -2e-3}\n\n', {"a.b-c_d": 1.0, "e": -0.002}),
        ('{"bleu": 1}\n{"bleu": 2}', {"bleu": 2.0}),
    ],
)
def test_the_last_line_counts(output: str, metrics: dict[str, float]) -> None:
    assert metrics_of(output) == metrics


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("", "printed nothing"),
        ("31.2", "must be a JSON object"),
        ("[31.2]", "must be a JSON object"),
        ("{}", "must be a JSON object"),
        ('{"bleu": 1', "must be a JSON object"),
        ('{"bleu": "31.2"}', "bleu is "),
        ('{"bleu": null}', "no number"),
        ('{"bleu": true}', "no number"),
        ('{"bleu": {"a": 1}}', "no number"),
        ('{"bleu": NaN}', "not finite"),
        ('{"bleu": -Infinity}', "not finite"),
        ('{"bleu": 1e999}', "not finite"),
        ('{"bleu": ' + "9" * 400 + "}", "not finite"),
        ('{"bleu": ' + "9" * 10_000 + "}", "must be a JSON object"),
        ("[" * 100_000, "must be a JSON object"),
        ('{"evalLoss": 1}', "the trainer's own"),
        ('{"step": 1}', "the trainer's own"),
        ('{"bleu score": 1}', "no name of a metric"),
        ('{"": 1}', "no name of a metric"),
        ('{"' + "x" * 65 + '": 1}', "no name of a metric"),
        (json.dumps({f"m{number}": 1 for number in range(MOST_METRICS + 1)}), "at most 16"),
    ],
)
def test_what_is_absurd_is_refused_in_words(output: str, why: str) -> None:
    with pytest.raises(Absurd) as refused:
        metrics_of(output)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        ({}, "evaluation.command"),
        ({"command": []}, "evaluation.command"),
        ({"command": ["x"], "timeoutSeconds": 0}, "evaluation.timeoutSeconds"),
        ({"command": ["x"], "image": "a"}, "evaluation.image"),
    ],
)
def test_a_program_that_is_not_understood_is_refused(workplace: Workplace, evaluation: object, why: str) -> None:
    asked = changed(workplace.spec, {"evaluation": evaluation, "earlyStopping": ABSENT})
    with pytest.raises(Invalid, match=why.replace(".", r"\.")):
        read_spec(json.dumps(asked))
