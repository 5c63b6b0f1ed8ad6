"""A training begins with the weights of another one's checkpoint, and with nothing else of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.spec import read_spec
from tests.runtime.families import FAMILIES
from tests.runtime.lives import Killed
from tests.runtime.observed import Document, Observed
from tests.runtime.workplace import TINY, Workplace, changed, of

pytestmark = pytest.mark.filterwarnings("ignore")

OTHER: dict[str, Any] = {"TRAINING_UID": "other", "POD_UID": "second"}


def first(workplace: Workplace, volume: Path, changes: dict[str, object] | None = None, **variables: Any) -> Observed:
    """A training of three steps whose checkpoints are all kept."""
    told = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": "9", **variables}
    return workplace.attempt(volume / "first", {"hyperparameters.maxSteps": 3, **(changes or {})}, **told)


def begun(
    workplace: Workplace, volume: Path, checkpoint: str, changes: dict[str, object] | None = None, **variables: Any
) -> Observed:
    named = {"path": str(volume / "first" / "training-uid"), "checkpoint": checkpoint}
    told: dict[str, Any] = {**OTHER, "CHECKPOINT_ROOT": str(volume / "other"), **variables}
    return workplace.attempt(volume, {"initFrom": named, **(changes or {})}, **told)


def assert_begins_with(run: Observed, weights: list[torch.Tensor]) -> None:
    assert all(torch.equal(one, two) for one, two in zip(run.updates[0].before, weights, strict=True))


@pytest.mark.parametrize("family", ["deepseek_v3", "deepseek_v2", "llama-tied", "qwen2-tied", "qwen3"])
def test_weights_of_every_checkpoint_are_begun_with_bit_for_bit(
    workplace: Workplace, tmp_path: Path, family: str
) -> None:
    model: dict[str, object] = {"model.custom": dict(FAMILIES[family])}
    elder = first(workplace, tmp_path, model)
    for step in (1, 2, 3):
        # Another seed: were the weights not taken, others would be begun with.
        seed = {**model, "hyperparameters.seed": 7}
        run = begun(workplace, tmp_path, str(step), seed, CHECKPOINT_ROOT=str(tmp_path / f"other-{step}"))
        assert_begins_with(run, elder.updates[step - 1].after)
        assert (run.began, run.code, len(run.losses)) == ((0, None), ExitCode.COMPLETE, 2)
        (record,) = [record for record in run.records if record["event"] == "init"]
        assert (record["training"], record["step"]) == ("training-uid", step)


def test_nothing_but_weights_is_taken(workplace: Workplace, tmp_path: Path) -> None:
    """The first update is that of a fresh optimizer at the first learning rate, on the data's first batch."""
    first(workplace, tmp_path)
    fresh = {"hyperparameters.schedule": "Linear", "hyperparameters.maxSteps": 4}
    run = begun(workplace, tmp_path, "Latest", fresh)
    assert [update.rate for update in run.updates] == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])
    assert run.trained[0].texts == workplace.attempt(tmp_path / "plain", fresh).trained[0].texts
    # Adam without a past moves every parameter that has a gradient by about the rate.
    assert run.updates[0].change.abs().max() == pytest.approx(1e-2, rel=1e-3)


def test_best_is_what_is_best_here(workplace: Workplace, tmp_path: Path) -> None:
    worse: dict[str, object] = {"hyperparameters.learningRate": "5", "hyperparameters.evalEverySteps": 1}
    elder = first(workplace, tmp_path, worse)
    best = int(str(elder.told["best"]["step"]))  # type: ignore[index]
    assert_begins_with(begun(workplace, tmp_path, "Best"), elder.updates[best - 1].after)
    other: dict[str, Any] = {"CHECKPOINT_BEST_METRIC": "evalLoss", "CHECKPOINT_BEST_MODE": "Max"}
    run = begun(workplace, tmp_path, "Best", CHECKPOINT_ROOT=str(tmp_path / "most"), **other)
    assert_begins_with(run, elder.updates[2].after)


def test_later_attempt_goes_on_from_its_own_checkpoint(workplace: Workplace, tmp_path: Path) -> None:
    """And one that died before its first begins with the weights again."""
    elder = first(workplace, tmp_path)

    def dies(run: Observed) -> bool:
        if run.losses:
            raise Killed
        return False

    own: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1"}
    named: dict[str, object] = {"initFrom": {"path": str(elder.root), "checkpoint": "2"}}
    root: dict[str, Any] = {**OTHER, "CHECKPOINT_ROOT": str(tmp_path / "other")}
    with pytest.raises(Killed):
        workplace.attempt(tmp_path, named, wants_stop=dies, **root)
    ancestry = [{"attempt": 1, "jobUID": "job-1", "incarnation": "second"}]
    third: dict[str, Any] = {"ATTEMPT": "2", "POD_UID": "third", "RESUME_ANCESTRY": json.dumps(ancestry)}
    again = begun(workplace, tmp_path, "2", **own, **third)
    assert_begins_with(again, elder.updates[1].after)
    ancestry.append({"attempt": 2, "jobUID": "job-2", "incarnation": "third"})
    fourth: dict[str, Any] = {"ATTEMPT": "3", "POD_UID": "fourth", "RESUME_ANCESTRY": json.dumps(ancestry)}
    shutil.rmtree(elder.root)
    more = begun(workplace, tmp_path, "2", {"hyperparameters.maxSteps": 3}, **own, **fourth)
    assert (more.began, len(more.losses)) == ((2, "third"), 1)
    assert not [record for record in more.records if record["event"] == "init"]


def test_adapter_begins_with_an_adapter_beside_the_same_base(workplace: Workplace, tmp_path: Path) -> None:
    lora: Document = {"type": "LoRA", "lora": {"rank": 4}}
    beside: dict[str, object] = {"model": {"path": workplace.export()}, "method": lora}
    elder = first(workplace, tmp_path, beside)
    assert_begins_with(begun(workplace, tmp_path, "2", beside), elder.updates[1].after)
    whole: dict[str, object] = {"model": {"path": workplace.export()}}
    with pytest.raises(Invalid, match="step 2 holds an adapter alone"):
        begun(workplace, tmp_path, "2", whole, CHECKPOINT_ROOT=str(tmp_path / "whole"))


@pytest.mark.parametrize("checkpoint", ["7", "Latest"])
def test_checkpoint_that_is_not_there_is_told_with_those_that_are(
    workplace: Workplace, tmp_path: Path, checkpoint: str
) -> None:
    there = "none"
    if checkpoint != "Latest":
        first(workplace, tmp_path)
        there = "1, 2, 3"
    with pytest.raises(Invalid, match=rf"^initFrom names {checkpoint} of .*healthy checkpoints: {there}$"):
        begun(workplace, tmp_path, checkpoint)


def test_damaged_checkpoint_is_not_begun_with(workplace: Workplace, tmp_path: Path) -> None:
    elder = first(workplace, tmp_path)
    (file,) = (elder.root / "first" / "step-00000002").glob("*.distcp")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Damaged, match="none of 1 checkpoints is whole"):
        begun(workplace, tmp_path, "2")


@pytest.mark.parametrize(
    "other",
    [{"hidden_size": 32}, {"num_hidden_layers": 2}, {"num_hidden_layers": 0}],
    ids=["wider", "deeper", "shallower"],
)
def test_weights_of_another_shape_are_refused(workplace: Workplace, tmp_path: Path, other: dict[str, int]) -> None:
    first(workplace, tmp_path)
    with pytest.raises(
        Invalid, match=r"don't fit the model that spec.model names: write the one that they were trained as"
    ):
        begun(workplace, tmp_path, "2", {"model.custom": {**TINY, **other}})


def test_other_data_is_learnt(workplace: Workplace, tmp_path: Path) -> None:
    first(workplace, tmp_path)
    run = begun(workplace, tmp_path, "Latest", {"datasets": of("one"), "hyperparameters.globalBatchSize": 1})
    assert set(run.learnt) == {"uv=UV"}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"path": "/init", "checkpoint": "Newest"}, "initFrom.checkpoint is 'Newest'; write Latest, Best or a step"),
        ({"path": "/init", "checkpoint": "-1"}, "initFrom.checkpoint is '-1'; write Latest"),
        ({"checkpoint": "Best"}, "initFrom.path is None; write a text"),
        ({"path": "/init", "step": "1"}, "initFrom.step is '1'; this trainer knows no such field"),
    ],
)
def test_settings_that_mean_nothing_are_refused(workplace: Workplace, written: Document, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_spec(json.dumps(changed(workplace.spec, {"initFrom": written})))
