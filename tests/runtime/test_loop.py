"""Rules of one attempt at its edges, in trainings of a few steps in this process."""

import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from deepseek_runtime.contract import Diverged, ExitCode, Invalid
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


EPOCHS = {"hyperparameters.maxSteps": ABSENT, "hyperparameters.epochs": 3}


def words(*names: str) -> str:
    return "".join(json.dumps({"prompt": f"{name}=", "completion": name.upper()}) + "\n" for name in names)


def begun(workplace: Workplace, folder: Path) -> dict[str, object]:
    """The changes of a training on files in `folder`: three epochs of two steps, of which two are done and saved."""
    for name, content in (("train", ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op")), ("heldout", ("qr",))):
        (folder / f"{name}.jsonl").write_text(words(*content))
    of_files = [{"source": {"path": str(folder / "train.jsonl")}}]
    of_files.append({"source": {"path": str(folder / "heldout.jsonl")}, "split": "Heldout"})  # type: ignore[dict-item]
    changes = {**EPOCHS, "datasets": of_files}
    stopped = workplace.attempt(folder, changes, wants_stop=lambda run: bool(run.losses))
    assert (stopped.code, stopped.kept) == (ExitCode.SAVED, [2])
    return changes


def resumed(workplace: Workplace, folder: Path, changes: dict[str, object]) -> Observed:
    return workplace.attempt(folder, changes, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY)


@pytest.mark.parametrize(
    ("file", "content", "now"),
    [
        ("train", ("ab", "cd"), "2 examples"),
        ("train", ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "uv", "wx"), "10 examples"),
        ("train", ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "OP"), "8 examples"),
        ("train", ("cd", "ab", "ef", "gh", "ij", "kl", "mn", "op"), "8 examples"),
        ("heldout", ("qr", "st"), "2 examples"),
    ],
    ids=["shorter", "longer", "another word", "another order", "held-out data"],
)
def test_data_that_changes_between_attempts_is_refused_with_what_to_do(
    workplace: Workplace, tmp_path: Path, file: str, content: tuple[str, ...], now: str
) -> None:
    """Shorter data would be complete at once, longer data would move the schedule."""
    changes = begun(workplace, tmp_path)
    (tmp_path / f"{file}.jsonl").write_text(words(*content))
    with pytest.raises(Invalid, match=rf"{file}.jsonl is not what steps 1 to 2 were .* now {now} .*resume.from"):
        resumed(workplace, tmp_path, changes)


def test_same_data_under_another_path_is_gone_on_with_exactly(workplace: Workplace, tmp_path: Path) -> None:
    changes = begun(workplace, tmp_path)
    (tmp_path / "moved.jsonl").write_bytes((tmp_path / "train.jsonl").read_bytes())
    datasets = json.loads(json.dumps(changes["datasets"]))
    datasets[0]["source"]["path"] = str(tmp_path / "moved.jsonl")
    again = resumed(workplace, tmp_path, {**changes, "datasets": datasets})
    assert (again.code, len(again.losses)) == (ExitCode.COMPLETE, 4)
    assert next(record for record in again.records if record["event"] == "resume")["exact"] is True


def test_checkpoint_of_an_earlier_version_is_gone_on_from(workplace: Workplace, tmp_path: Path) -> None:
    """Its data.json names the tokens alone."""
    changes = begun(workplace, tmp_path)
    (directory,) = (tmp_path / "training-uid" / "first").glob("step-*")
    recorded = json.loads((directory / "data.json").read_text())
    content = json.dumps({name: recorded[name] for name in ("fingerprint", "seed", "globalBatchSize")}).encode()
    (directory / "data.json").write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == "data.json":
            entry |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    again = resumed(workplace, tmp_path, changes)
    assert (again.code, len(again.losses)) == (ExitCode.COMPLETE, 4)
    assert next(record for record in again.records if record["event"] == "resume")["exact"] is True


def test_what_the_sequence_length_costs_is_in_the_log_and_in_progress(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(words("ab", "cd", "x" * 40) + words("abcdefgh"))
    changes = {"datasets": [{"source": {"path": str(tmp_path / "train.jsonl")}}], "hyperparameters.maxSteps": 1}
    run = workplace.attempt(tmp_path, changes)
    (record,) = (record for record in run.records if record["event"] == "data")
    assert [record[name] for name in ("examples", "dropped", "cut", "longest")] == [3, 1, 1, 82]
    assert run.told["data"] == {"examples": 3, "dropped": 1, "cut": 1, "longest": 82}


def test_training_on_the_little_that_is_left_is_refused_at_its_beginning(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(words("ab") + words("x" * 40) * 3)
    with pytest.raises(Invalid, match=r"3 of 4 examples .* write 82 to keep"):
        workplace.attempt(tmp_path, {"datasets": [{"source": {"path": str(tmp_path / "train.jsonl")}}]})


@pytest.mark.parametrize(("positions", "fits"), [(82, True), (81, False), (16, False)])
def test_examples_longer_than_the_model_was_made_for_are_refused(
    workplace: Workplace, tmp_path: Path, positions: int, fits: bool
) -> None:
    """What the data holds counts: a generous sequenceLength over short examples does no harm."""
    (tmp_path / "train.jsonl").write_text(words("ab", "x" * 40))
    changes = {
        "model.custom.max_position_embeddings": positions,
        "datasets": [{"source": {"path": str(tmp_path / "train.jsonl")}}],
        "hyperparameters.sequenceLength": 2048,
    }
    if fits:
        assert len(workplace.attempt(tmp_path, changes).losses) == 2
        return
    with pytest.raises(
        Invalid, match=f"2048 lets examples of 82 tokens through, .* made for {positions} .*: write {positions}"
    ):
        workplace.attempt(tmp_path, changes)


def test_tokenizer_of_another_model_is_refused(workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(workplace.export(), tmp_path / "model")
    tokenizer = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["a"] = 999
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(tokenizer))
    changes = {"model": {"path": str(tmp_path / "model")}}
    with pytest.raises(Invalid, match="makes token 999, and the model's vocabulary has 259 entries"):
        workplace.attempt(tmp_path, changes)


def loss_at_once(module: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
    return output * math.nan


def gradients_first(module: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
    output.register_hook(lambda gradient: gradient * math.inf)
    return output


def parameters_first(module: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
    def poison(optimizer: torch.optim.Optimizer, *_: object) -> None:
        optimizer.param_groups[0]["params"][-1].data.view(-1)[:1] = -math.inf
        hook.remove()

    hook = register_optimizer_step_post_hook(poison)
    return output


@pytest.mark.parametrize("clip", ["0", "1"])
@pytest.mark.parametrize("poison", [loss_at_once, gradients_first, parameters_first])
def test_divergence_is_seen_at_its_step_whatever_ceases_to_be_finite_first(
    workplace: Workplace, tmp_path: Path, poison: Callable[..., torch.Tensor], clip: str
) -> None:
    seen = Counter[str]()

    def second_step(module: torch.nn.Module, arguments: object, output: torch.Tensor) -> torch.Tensor | None:
        if isinstance(module, torch.nn.Embedding) and module.training:
            seen["steps"] += 1
            return poison(module, output) if seen["steps"] == 2 else None
        return None

    hook = register_module_forward_hook(second_step)
    changes = {"hyperparameters.maxSteps": 9, "hyperparameters.gradientClipNorm": clip}
    try:
        with pytest.raises(
            Diverged, match=r"^diverged at step 2: .* newest healthy checkpoint is step 1; .*resume.from"
        ):
            workplace.attempt(tmp_path, changes, CHECKPOINT_EVERY_STEPS="1")
    finally:
        hook.remove()
    assert seen["steps"] == 2
    root = tmp_path / "training-uid"
    assert [file.parent.name for file in root.glob("first/step-*/manifest.json")] == ["step-00000001"]
    assert not (root / "exports").exists()


def test_divergence_at_the_very_first_step_points_at_model_and_data(workplace: Workplace, tmp_path: Path) -> None:
    hook = register_module_forward_hook(lambda _, __, output: output * math.nan if torch.is_tensor(output) else None)
    try:
        with pytest.raises(
            Diverged, match=r"step 1 .its very first one: look at the model.* no healthy checkpoint; .*orm$"
        ):
            workplace.attempt(tmp_path, {"hyperparameters.maxSteps": 9})
    finally:
        hook.remove()


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
    policy: dict[str, Any] = {"RESUME_POLICY": "Never", "RESUME_ANCESTRY": ANCESTRY, "CHECKPOINT_KEEP_BEST": "0"}
    for attempt, keep_last, left in (("2", "3", [2]), ("3", "1", [])):
        told: dict[str, Any] = {
            **policy,
            "ATTEMPT": attempt,
            "POD_UID": f"pod-{attempt}",
            "CHECKPOINT_KEEP_LAST": keep_last,
        }
        again = workplace.attempt(tmp_path, **told)
        assert again.kept == [2]
        assert [int(d.name.removeprefix("step-")) for d in sorted(again.root.glob("first/step-*"))] == left


def test_damaged_checkpoint_pushes_out_no_whole_one(workplace: Workplace, tmp_path: Path) -> None:
    """Step 2 is damaged: the next attempt goes on from step 1, which stays, and the damaged one goes."""
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": "2", "CHECKPOINT_KEEP_BEST": "0"}
    workplace.attempt(tmp_path, **policy)
    (tmp_path / "training-uid" / "first" / "step-00000002" / "data.json").write_text("{}")
    resumed = workplace.attempt(tmp_path, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY, **policy)
    assert (resumed.began, resumed.kept) == ((1, "first"), [2])
    assert [path.name for path in (resumed.root / "first").glob("step-*")] == ["step-00000001"]


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
    torn = [path.name for path in synced if path.parent.name == "_tmp-first-2"]
    files = {file.name for file in run.export().iterdir()} - {"manifest.json"}
    assert files == set(torn[: torn.index(".manifest.json.new")])
