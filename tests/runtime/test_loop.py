"""Rules of one attempt at its edges, in trainings of a few steps in this process."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.engine.model import Model
from deepseek_runtime.rundir import RunDirectory
from deepseek_runtime.trainer.telling import Telling
from tests.runtime.observed import Observed
from tests.runtime.workplace import ABSENT, TINY, Workplace, of

pytestmark = pytest.mark.filterwarnings("ignore")

ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'


@pytest.mark.parametrize("steps", [1, 2])
def test_training_that_another_one_has_already_ended_is_the_users_error(
    workplace: Workplace, tmp_path: Path, steps: int
) -> None:
    """Two steps were made: without an error it would be complete at once, and nothing learnt."""
    workplace.attempt(tmp_path)
    named = json.dumps({"trainingUID": "training-uid", "checkpoint": "Latest"})
    with pytest.raises(Invalid, match=f"maxSteps .* of more than 2 steps, it is {steps}"):
        workplace.attempt(
            tmp_path,
            {"hyperparameters.maxSteps": steps},
            TRAINING_UID="other",
            CHECKPOINT_ROOT=str(tmp_path / "other"),
            RESUME_FROM=named,
        )


def test_warm_up_that_leaves_nothing_of_the_epochs_is_the_users_error(workplace: Workplace, tmp_path: Path) -> None:
    """Two epochs are four steps here, which only the trainer can know."""
    changes = {"hyperparameters.maxSteps": ABSENT, "hyperparameters.epochs": 2, "hyperparameters.warmupSteps": 4}
    with pytest.raises(Invalid, match="warmupSteps is 4, and the training has 4 steps in all"):
        workplace.attempt(tmp_path, changes)
    assert len(workplace.attempt(tmp_path, {**changes, "hyperparameters.warmupSteps": 3}).losses) == 4


def test_evaluation_gives_way_to_saving_and_is_made_up_for(workplace: Workplace, tmp_path: Path) -> None:
    """SIGTERM comes in the middle of the evaluation after step 1: the grace period is for the checkpoint."""
    changes = {"hyperparameters.maxSteps": 3, "hyperparameters.evalEverySteps": 1}

    def evaluates_first_step(run: Observed) -> bool:
        return len(run.losses) == 1 and not run.passes[-1].is_training

    stopped = workplace.attempt(tmp_path, changes, wants_stop=evaluates_first_step)
    assert (stopped.code, stopped.kept, stopped.evaluations) == (ExitCode.SAVED, [1], [0])
    resumed = workplace.attempt(tmp_path, changes, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY)
    assert (resumed.code, resumed.began, resumed.evaluations) == (ExitCode.COMPLETE, (1, "first"), [1, 2, 3])
    undisturbed = workplace.attempt(tmp_path / "whole", changes)
    assert stopped.losses + resumed.losses == undisturbed.losses
    assert resumed.records[-1]["evalLoss"] == undisturbed.records[-1]["evalLoss"]


def test_last_evaluation_that_gave_way_is_made_up_for_before_the_export(workplace: Workplace, tmp_path: Path) -> None:
    stopped = workplace.attempt(
        tmp_path, wants_stop=lambda run: len(run.losses) == 2 and not run.passes[-1].is_training
    )
    assert (stopped.code, stopped.kept, stopped.evaluations) == (ExitCode.SAVED, [2], [])
    assert not stopped.export().exists()
    resumed = workplace.attempt(tmp_path, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY)
    assert (resumed.code, resumed.evaluations, resumed.losses) == (ExitCode.COMPLETE, [2], [])
    assert (stopped.export() / "manifest.json").exists()


def test_evaluation_made_up_for_decides_what_is_best(workplace: Workplace, tmp_path: Path) -> None:
    """Step 1 was measured, the better step 2 only after the resume: it alone is exported, and its manifest says why."""
    changes = {"hyperparameters.evalEverySteps": 1}
    stopped = workplace.attempt(
        tmp_path, changes, wants_stop=lambda run: len(run.losses) == 2 and not run.passes[-1].is_training
    )
    assert (stopped.kept, stopped.evaluations) == ([1, 2], [0, 1])
    resumed = workplace.attempt(tmp_path, changes, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY)
    assert (resumed.kept, resumed.evaluations) == ([2], [2])
    metrics = resumed.manifest()["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["evalLoss"] == resumed.records[-1]["evalLoss"]
    assert [export.name for export in (tmp_path / "training-uid" / "exports").iterdir()] == ["2"]


def test_checkpoints_of_attempts_that_are_never_resumed_do_not_pile_up(workplace: Workplace, tmp_path: Path) -> None:
    workplace.attempt(tmp_path)
    told = {"ATTEMPT": "2", "POD_UID": "second", "RESUME_POLICY": "Never", "RESUME_ANCESTRY": ANCESTRY}
    for keep_last, left in (("3", [2]), ("1", [])):
        again = workplace.attempt(tmp_path, CHECKPOINT_KEEP_LAST=keep_last, **told)
        assert again.kept == [2]
        assert [int(d.name.removeprefix("step-")) for d in sorted(again.root.glob("first/step-*"))] == left


def test_progress_is_json_when_a_number_is_none(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    Telling(run, False).tell(evalLoss=math.nan, accuracy=0.5, loss=math.inf)
    (text,) = [file.read_text() for file in tmp_path.iterdir()]
    assert "NaN" not in text
    assert "Infinity" not in text
    assert (run.progress()["evalLoss"], run.progress()["accuracy"], run.progress()["loss"]) == (None, 0.5, None)


def test_export_in_bf16_routes_as_training_did(workplace: Workplace) -> None:
    """The router's correction bias is no parameter: training never rounded it."""
    experts = {**TINY, "num_hidden_layers": 2}
    run = workplace.train({"model.custom": experts, "hyperparameters.precision": "bf16", "datasets": of("few")})
    weights = load_file(run.export() / "model.safetensors")
    (bias,) = (name for name in weights if name.endswith("e_score_correction_bias"))
    assert {tensor.dtype for name, tensor in weights.items() if name != bias} == {torch.bfloat16}
    assert weights[bias].dtype == torch.float32
    served = Model.load(run.export()).network
    assert dict(served.named_buffers())[bias].dtype == torch.float32
    assert served.lm_head.weight.dtype == torch.bfloat16


def test_export_is_on_the_disk_before_its_manifest_says_so(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    run = workplace.attempt(tmp_path)
    torn = [path.name for path in synced if path.parent.name == "_tmp-2"]
    files = {file.name for file in run.export().iterdir()} - {"manifest.json"}
    assert files == set(torn[: torn.index(".manifest.json.new")])
