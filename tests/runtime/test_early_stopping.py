"""A training whose evaluations stop getting better ends there, with its best checkpoint exported, however it was interrupted.

Evaluations are made as ever; what they find is written down here, by step, where a test needs a curve of its own.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer import evaluation, measuring
from deepseek_runtime.trainer.evaluation import Evaluation
from deepseek_runtime.trainer.exporting import Exporter
from deepseek_runtime.trainer.measuring import Measuring
from tests.runtime.forked import Rank
from tests.runtime.lives import Killed
from tests.runtime.observed import Document, Observed, environment
from tests.runtime.poisoned import poisoned
from tests.runtime.workplace import ABSENT, Workplace, changed

pytestmark = pytest.mark.filterwarnings("ignore")

ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
SECOND: dict[str, Any] = {"ATTEMPT": "2", "POD_UID": "second", "RESUME_ANCESTRY": ANCESTRY}
# Better until step 2, then twice not: with a patience of 2 the last step is 4, and what comes after it is never seen.
CURVE = {0: 5.0, 1: 4.0, 2: 3.0, 3: 3.5, 4: 3.2, 5: 1.0, 6: 0.9, 7: 0.8, 8: 0.7, 9: 0.6}
STEPS = 9


def changes(patience: int = 2, **more: object) -> dict[str, object]:
    stopping = {"patience": patience, **more}
    return {"hyperparameters.maxSteps": STEPS, "hyperparameters.evalEverySteps": 1, "earlyStopping": stopping}


@contextmanager
def finding(losses: Mapping[int, float], accuracies: Mapping[int, float | None] | None = None) -> Iterator[None]:
    """Evaluations find these at these steps."""
    really, now = Measuring.measure, [0]

    def measure(self: Measuring, step: int) -> bool:
        now[0] = step
        return really(self, step)

    def evaluate(*arguments: object, **more: object) -> Evaluation | None:
        found = evaluated(*arguments, **more)  # type: ignore[arg-type]
        return found and replace(found, loss=losses[now[0]], accuracy=(accuracies or {}).get(now[0], 0.0))

    evaluated = evaluation.evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Measuring, "measure", measure)
        patch.setattr(measuring, "evaluate", evaluate)
        yield


def exports(root: Path) -> list[int]:
    return sorted(int(export.name) for export in (root / "exports").iterdir())


def waiting(run: Observed) -> object:
    """What the newest checkpoint records of it."""
    newest = run.root / run.name / f"step-{run.kept[-1]:08d}"
    return json.loads((newest / "course.json").read_text())["waiting"]


def test_training_ends_after_so_many_evaluations_without_a_better_one(workplace: Workplace, tmp_path: Path) -> None:
    with finding(CURVE):
        run = workplace.attempt(tmp_path, changes())
    assert (run.code, len(run.losses), run.evaluations) == (ExitCode.COMPLETE, 4, [0, 1, 2, 3, 4])
    assert (run.told["state"], run.told["step"], run.told["stoppedEarly"]) == (
        "Complete",
        4,
        {"best": 2, "evaluations": 2},
    )
    assert exports(run.root) == [2], "the best alone"
    assert run.told["exports"] == [2]
    assert run.records[-1]["stoppedEarly"] == {"best": 2, "evaluations": 2}


@pytest.mark.parametrize(
    ("patience", "delta", "steps"),
    [(1, "0", 3), (2, "0", 4), (3, "0", STEPS), (1, "0.99", 3), (1, "1", 1), (2, "1", 4), (3, "1.5", 8)],
)
def test_patience_and_delta_say_when(
    workplace: Workplace, tmp_path: Path, patience: int, delta: str, steps: int
) -> None:
    """A fall of exactly the delta is none; falls add up until one counts."""
    with finding(CURVE):
        run = workplace.attempt(tmp_path, changes(patience, minDelta=delta))
    assert len(run.losses) == steps
    assert ("stoppedEarly" in run.told) is (steps < STEPS)


def test_last_step_is_no_early_end(workplace: Workplace, tmp_path: Path) -> None:
    """The patience is spent at the very step that was the last one anyway: both exports are there."""
    with finding(CURVE):
        run = workplace.attempt(tmp_path, {**changes(), "hyperparameters.maxSteps": 4})
    assert (len(run.losses), exports(run.root), run.told.get("stoppedEarly")) == (4, [2, 4], None)


def test_accuracy_of_zero_hides_no_falling_loss(workplace: Workplace, tmp_path: Path) -> None:
    with finding({step: 5.0 - step / 2 for step in range(STEPS + 1)}):
        run = workplace.attempt(tmp_path, changes(1))
    assert len(run.losses) == STEPS


@pytest.mark.parametrize(
    ("metric", "steps", "best"),
    [(None, 6, 4), ("accuracy", 6, 4), ("evalLoss", 4, 2)],
    ids=["usual", "accuracy", "loss"],
)
def test_what_ranks_checkpoints_is_waited_for_and_exported(
    workplace: Workplace, tmp_path: Path, metric: str | None, steps: int, best: int
) -> None:
    """The loss is best at step 2, the accuracy at step 4."""
    variables: dict[str, Any] = {"CHECKPOINT_BEST_METRIC": metric} if metric else {}
    with finding(CURVE, {step: 0.9 if step == 4 else step / 10 for step in range(STEPS)}):
        run = workplace.attempt(tmp_path, changes(), **variables)
    assert (len(run.losses), exports(run.root)) == (steps, [best])
    assert run.told["best"] == {"step": best, "metric": metric or "accuracy", "value": 0.9 if best == 4 else 3.0}


@pytest.mark.parametrize("dies_after", [2, 3, 4, 5])
@pytest.mark.parametrize("every", ["1", "2", "1000"])
def test_resume_counts_on_as_if_nothing_had_happened(
    workplace: Workplace, tmp_path: Path, dies_after: int, every: str
) -> None:
    """Killed within the evaluation of that step: the last checkpoint has counted none, one or two in vain."""

    def watch(observed: Observed) -> bool:
        if len(observed.losses) == dies_after:
            raise Killed
        return False

    curve = {**CURVE, 5: 3.1}
    with finding(curve):
        whole = workplace.attempt(tmp_path / "whole", changes(3), CHECKPOINT_EVERY_STEPS=every)
        with pytest.raises(Killed):
            workplace.attempt(tmp_path, changes(3), wants_stop=watch, CHECKPOINT_EVERY_STEPS=every)
        again = workplace.attempt(tmp_path, changes(3), CHECKPOINT_EVERY_STEPS=every, **SECOND)
    assert again.code == ExitCode.COMPLETE
    if every == "1":
        assert int(str(again.began[0])) >= dies_after - 2, "a save may not have become a checkpoint yet"
    assert (waiting(again), again.told["stoppedEarly"]) == (waiting(whole), whole.told["stoppedEarly"])
    assert (again.told["step"], exports(again.root)) == (5, [2])


@pytest.mark.parametrize("stops_at", [1, 2, 3, 4])
def test_sigterm_within_an_evaluation_counts_none_twice_and_none_less(
    workplace: Workplace, tmp_path: Path, stops_at: int
) -> None:
    def evaluates(run: Observed) -> bool:
        return len(run.losses) == stops_at and not run.passes[-1].is_training

    with finding(CURVE):
        stopped = workplace.attempt(tmp_path, changes(), wants_stop=evaluates)
        assert (stopped.code, stopped.evaluations) == (ExitCode.SAVED, list(range(stops_at)))
        again = workplace.attempt(tmp_path, changes(), **SECOND)
    assert again.evaluations == list(range(stops_at, 5))
    assert (again.told["step"], again.told["stoppedEarly"]) == (4, {"best": 2, "evaluations": 2})
    assert exports(again.root) == [2]


def test_death_before_the_export_is_followed_by_the_export_alone(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise Killed

    with finding(CURVE):
        with monkeypatch.context() as patch:
            patch.setattr(Exporter, "export", dies)
            with pytest.raises(Killed):
                workplace.attempt(tmp_path, changes())
        again = workplace.attempt(tmp_path, changes(), **SECOND)
    assert (again.losses, again.evaluations, exports(again.root)) == ([], [], [2])
    assert again.told["stoppedEarly"] == {"best": 2, "evaluations": 2}


def test_more_patience_in_a_later_attempt_goes_on_with_the_count(workplace: Workplace, tmp_path: Path) -> None:
    with finding({**CURVE, 5: 3.1, 6: 3.1}):
        workplace.attempt(tmp_path, changes(9), wants_stop=lambda run: len(run.losses) >= 3)
        again = workplace.attempt(tmp_path, changes(3), **SECOND)
    assert (again.told["step"], again.told["stoppedEarly"]) == (5, {"best": 2, "evaluations": 3})


def test_patience_of_another_training_is_its_own(workplace: Workplace, tmp_path: Path) -> None:
    named = {"RESUME_FROM": json.dumps({"trainingUID": "training-uid", "checkpoint": "Latest"})}
    other: dict[str, Any] = {"TRAINING_UID": "other", "CHECKPOINT_ROOT": str(tmp_path / "other"), **named}
    with finding(CURVE):
        workplace.attempt(tmp_path, changes())
    with finding({**CURVE, 5: 9.0, 6: 8.0, 7: 8.1, 8: 8.2, 9: 8.3}):
        run = workplace.attempt(tmp_path, changes(), **other)
    assert (run.began, run.told["step"], run.told["stoppedEarly"]) == (
        (4, "first"),
        8,
        {"best": 6, "evaluations": 2},
    )


def test_rollback_takes_the_evaluations_back_that_it_undoes(workplace: Workplace, tmp_path: Path) -> None:
    """Evaluated in vain after steps 3 and 4, back from 5 to 3: what is found after 4 the second time counts, and once."""
    words = [f"{letter}{other}" for letter in "abcdefgh" for other in "ijklm"]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"prompt": w, "completion": w}) + "\n" for w in words))
    train: Document = {"source": {"path": str(tmp_path / "train.jsonl")}}
    own = {**changes(), "datasets": [train, {"source": workplace.file("heldout"), "split": "Heldout"}]}
    order = workplace.attempt(tmp_path / "order", {**own, "earlyStopping": ABSENT}).trained
    bad = order[4].texts[0][:2]
    (tmp_path / "train.jsonl").write_text(
        "".join(json.dumps({"prompt": "az" if w == bad else w, "completion": w}) + "\n" for w in words)
    )
    own["onDivergence"] = {"action": "Rollback"}
    own["earlyStopping"] = {"patience": 3}
    with poisoned(), finding({**CURVE, 4: 3.4, 5: 3.3}):
        run = workplace.attempt(tmp_path, own, CHECKPOINT_EVERY_STEPS="3", CHECKPOINT_KEEP_BEST="0")
    assert run.evaluations == [0, 1, 2, 3, 4, 4, 5]
    assert (run.told["step"], run.told["stoppedEarly"]) == (5, {"best": 2, "evaluations": 3})


@pytest.mark.parametrize("world", [1, 2])
def test_ranks_stop_together(workplace: Workplace, tmp_path: Path, world: int) -> None:
    """At such a rate every step makes the held-out loss worse: nothing here is written down by a test."""
    own = {**changes(), "hyperparameters.learningRate": "5"}
    variables = environment(tmp_path / "volume") | {
        "DEEPSEEK_TRAINING_SPEC": json.dumps(changed(workplace.spec, own)),
        "DEEPSEEK_PROCESSES_PER_NODE": str(world),
        "DEEPSEEK_RUN_DIRECTORY": str(tmp_path / "meeting"),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
    }
    (tmp_path / "meeting").mkdir()
    numbers = [{**variables, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    ranks = [Rank(told, tmp_path / f"rank-{told['RANK']}.log").start() for told in numbers]
    assert [rank.ended(120) for rank in ranks] == [ExitCode.COMPLETE] * world
    last = next(event for event in ranks[0].events if event["event"] == "complete")
    assert (last["step"], last["stoppedEarly"]) == (2, {"best": 0, "evaluations": 2})
    assert exports(tmp_path / "volume" / "training-uid") == [1]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"patience": 0}, "earlyStopping.patience is 0; write a whole number of at least 1"),
        ({}, "earlyStopping.patience is None; write after how many evaluations"),
        ({"patience": 2, "minDelta": "-1"}, "earlyStopping.minDelta is '-1'; write a quoted decimal of at least 0"),
        ({"patience": 2, "metric": "loss"}, "earlyStopping.metric is 'loss'; this trainer knows no such field"),
    ],
)
def test_settings_that_mean_nothing_are_refused(workplace: Workplace, written: Document, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_spec(json.dumps(changed(workplace.spec, {**changes(), "earlyStopping": written})))


def test_stopping_without_evaluations_is_refused(workplace: Workplace) -> None:
    spec = changed(workplace.spec, {**changes(), "hyperparameters.evalEverySteps": ABSENT})
    with pytest.raises(Invalid, match=r"hyperparameters.evalEverySteps is None; earlyStopping counts evaluations"):
        read_spec(json.dumps(spec))
