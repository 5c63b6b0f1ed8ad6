"""A training whose numbers cease to be finite goes on from its newest checkpoint, without the batches that led there.

What poisons a batch is a word with a `z` in it: the first number to go is the loss, a gradient or a parameter.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.contract import Diverged, ExitCode, Invalid
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer.data.order import Order
from tests.runtime.families import FAMILIES
from tests.runtime.forked import Rank
from tests.runtime.lives import Killed
from tests.runtime.observed import Document, Observed, environment
from tests.runtime.poisoned import loss_first, poisoned
from tests.runtime.workplace import Workplace, changed

pytestmark = pytest.mark.filterwarnings("ignore")

GOOD = [f"{letter}{other}" for letter in "abcdefgh" for other in "ijklm"]
STEPS, SIZE = 5, 4
ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
SECOND: dict[str, Any] = {"ATTEMPT": "2", "POD_UID": "second", "RESUME_ANCESTRY": ANCESTRY}


def gradients_first(output: torch.Tensor) -> torch.Tensor:
    output.register_hook(lambda gradient: gradient * math.inf)
    return output


def parameters_first(output: torch.Tensor) -> torch.Tensor:
    def poison(optimizer: torch.optim.Optimizer, *_: object) -> None:
        hook.remove()
        optimizer.param_groups[0]["params"][-1].data.view(-1)[:1] = -math.inf

    hook = register_optimizer_step_post_hook(poison)
    return output


def order(workplace: Workplace, folder: Path) -> list[list[str]]:
    """The batches of one epoch without poison, in their order."""
    words(folder, GOOD)
    run = workplace.attempt(folder / "order", {**changes(folder, len(GOOD) // SIZE), "onDivergence": None})
    return [[text.partition("=")[0] for text in one.texts] for one in run.trained]


def words(folder: Path, names: list[str]) -> None:
    lines = [json.dumps({"prompt": f"{name}=", "completion": name.upper()}) + "\n" for name in names]
    (folder / "train.jsonl").write_text("".join(lines))


def poison(folder: Path, batches: list[list[str]], *numbers: int) -> None:
    """A word of each of these batches, counted from 1, becomes one with a z: as long as before, at the same place."""
    for number in numbers:
        old = batches[number - 1][0]
        batches[number - 1][0] = f"{old[0]}z"
        file = folder / "train.jsonl"
        names = [json.loads(line)["prompt"][:-1] for line in file.read_text().splitlines()]
        words(folder, [batches[number - 1][0] if name == old else name for name in names])


def changes(folder: Path, steps: int = STEPS, **rollback: object) -> dict[str, object]:
    return {
        "datasets": [{"source": {"path": str(folder / "train.jsonl")}}],
        "hyperparameters.maxSteps": steps,
        "hyperparameters.schedule": "Linear",
        "onDivergence": {"action": "Rollback", **rollback},
    }


def learnt(run: Observed) -> list[list[str]]:
    """The words of each pass."""
    return [[text.partition("=")[0] for text in one.texts] for one in run.trained]


def rollbacks(run: Observed) -> list[tuple[object, ...]]:
    records = [record for record in run.records if record["event"] == "rollback"]
    return [tuple(record[name] for name in ("step", "to", "first", "count")) for record in records]


def exported(run: Observed, step: int = STEPS) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(run.root / "exports" / str(step) / "model.safetensors")
    return weights


@pytest.mark.parametrize("by", [loss_first, gradients_first, parameters_first])
@pytest.mark.parametrize("every", ["1", "2", "3"])
def test_training_goes_on_from_its_newest_checkpoint_without_the_batch(
    workplace: Workplace, tmp_path: Path, by: Callable[[torch.Tensor], torch.Tensor], every: str
) -> None:
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 4)
    with poisoned(by):
        run = workplace.attempt(tmp_path, changes(tmp_path), CHECKPOINT_EVERY_STEPS=every, CHECKPOINT_KEEP_LAST="9")
    back = 3 // int(every) * int(every)
    assert rollbacks(run) == [(4, back, 4, 1)]
    assert learnt(run) == [*batches[:4], *batches[back:3], *batches[4:6]]
    assert run.told["rollbacks"] == {"count": 1, "step": 4, "to": back, "skipped": 1}
    for weights in (run.root / "first").glob("step-*/manifest.json"):
        assert json.loads(weights.read_text())["healthy"] is True
    assert all(bool(torch.isfinite(tensor).all()) for tensor in exported(run).values())


@pytest.mark.parametrize("family", ["deepseek_v3", "deepseek_v2", "llama-tied", "qwen2", "qwen3-tied"])
def test_nothing_of_the_diverged_steps_is_left_in_any_bit(workplace: Workplace, tmp_path: Path, family: str) -> None:
    """A training of the same batches that never diverged ends with the same weights."""
    batches = order(workplace, tmp_path)
    own = {**changes(tmp_path), "model.custom": dict(FAMILIES[family])}
    poison(tmp_path, batches, 4)
    with poisoned(gradients_first):
        run = workplace.attempt(tmp_path, own, CHECKPOINT_EVERY_STEPS="2")
    (tmp_path / "train.jsonl").write_text("")
    good = [name for number, batch in enumerate(batches, 1) if number != 4 for name in batch]
    words(tmp_path, good)
    # The order of another number of examples is another: the same batches are fed by hand.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Order, "batch", lambda self, step: list(range((step - 1) * SIZE, step * SIZE)))
        plain = workplace.attempt(tmp_path / "plain", own)
    assert learnt(plain) == [*batches[:3], *batches[4:6]]
    for name, tensor in exported(plain).items():
        assert torch.equal(tensor, exported(run)[name]), name


LORA = {"type": "LoRA", "lora": {"rank": 4, "dropout": "0.5"}}
PROMPT = {"type": "PromptTuning", "prompt": {"virtualTokens": 4}}


@pytest.mark.parametrize("method", [LORA, PROMPT], ids=lambda method: method["type"])
def test_what_learns_beside_a_base_goes_back_too(
    workplace: Workplace, tmp_path: Path, method: dict[str, object]
) -> None:
    """With the random state of its dropout: the same as a life in which the first attempt ended at the checkpoint."""
    batches = order(workplace, tmp_path)
    own = {**changes(tmp_path), "model": {"path": workplace.export()}, "method": method}
    poison(tmp_path, batches, 4)
    with poisoned():
        run = workplace.attempt(tmp_path, own, CHECKPOINT_EVERY_STEPS="2")
        stopped = workplace.attempt(
            tmp_path / "apart", own, wants_stop=lambda run: len(run.losses) >= 3, CHECKPOINT_EVERY_STEPS="2"
        )
        assert (stopped.code, stopped.kept) == (ExitCode.SAVED, [0, 2])
        again = workplace.attempt(tmp_path / "apart", own, CHECKPOINT_EVERY_STEPS="2", **SECOND)
    assert rollbacks(run) == rollbacks(again) == [(4, 2, 4, 1)]
    assert run.losses[4:] == again.losses[2:]
    for one, two in zip(run.updates[-1].after, again.updates[-1].after, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("dies_after", [4, 5, 6])
def test_resume_after_a_rollback_replays_the_same_order(workplace: Workplace, tmp_path: Path, dies_after: int) -> None:
    """Killed right after it went back, before anything of it was saved; after one more step; and at the end."""
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 4)
    told: list[Observed] = []

    def watch(observed: Observed) -> bool:
        told[:] = [observed]
        if len(observed.losses) == dies_after:
            raise Killed
        return False

    with poisoned():
        whole = workplace.attempt(tmp_path / "whole", changes(tmp_path), CHECKPOINT_EVERY_STEPS="2")
        with pytest.raises(Killed):
            workplace.attempt(tmp_path, changes(tmp_path), wants_stop=watch, CHECKPOINT_EVERY_STEPS="2")
        again = workplace.attempt(tmp_path, changes(tmp_path), CHECKPOINT_EVERY_STEPS="2", **SECOND)
    assert again.code == ExitCode.COMPLETE
    assert again.told["rollbacks"] == whole.told["rollbacks"]
    for name, tensor in exported(whole).items():
        assert torch.equal(tensor, exported(again)[name]), name


def test_sigterm_on_the_way_back_loses_nothing(workplace: Workplace, tmp_path: Path) -> None:
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 4)
    with poisoned():
        stopped = workplace.attempt(
            tmp_path, changes(tmp_path), wants_stop=lambda run: len(run.losses) >= 3, CHECKPOINT_EVERY_STEPS="2"
        )
        assert (stopped.code, stopped.kept) == (ExitCode.SAVED, [0, 2])
        again = workplace.attempt(tmp_path, changes(tmp_path), CHECKPOINT_EVERY_STEPS="2", **SECOND)
    assert learnt(again) == [batches[2], batches[3], batches[2], batches[4], batches[5]]


@pytest.mark.parametrize(("skip", "first"), [(1, 4), (2, 3), (3, 3), (5, 3)])
def test_so_many_batches_are_left_out_the_diverged_one_among_them(
    workplace: Workplace, tmp_path: Path, skip: int, first: int
) -> None:
    """Back from step 4 to step 2: what was learnt before that stays learnt, the others come from behind."""
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 4)
    with poisoned():
        run = workplace.attempt(tmp_path, changes(tmp_path, skipSteps=skip), CHECKPOINT_EVERY_STEPS="2")
    left = [*batches[: first - 1], *batches[first - 1 + skip :]]
    assert learnt(run)[4:] == left[2:5]
    assert batches[3] not in left


def test_second_rollback_counts_with_the_first_in_force(workplace: Workplace, tmp_path: Path) -> None:
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 2, 5, 6)
    with poisoned():
        run = workplace.attempt(tmp_path, changes(tmp_path), CHECKPOINT_EVERY_STEPS="1")
    good = [batch for number, batch in enumerate(batches, 1) if number not in (2, 5, 6)]
    assert rollbacks(run) == [(2, 1, 2, 1), (4, 3, 4, 1), (4, 3, 4, 1)]
    assert [batch for batch in learnt(run) if not any("z" in name for name in batch)] == good[:STEPS]


@pytest.mark.parametrize("most", [1, 2])
def test_one_divergence_more_than_max_ends_it_with_what_to_do(workplace: Workplace, tmp_path: Path, most: int) -> None:
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 2, 3, 5, 6)
    words_of_it = rf"^diverged at step \d after the {most} rollbacks? that onDivergence.max allows .*learningRate"
    with poisoned(), pytest.raises(Diverged, match=words_of_it):
        workplace.attempt(tmp_path, changes(tmp_path, max=most), CHECKPOINT_EVERY_STEPS="1")
    assert not (tmp_path / "training-uid" / "exports").exists()


def test_rollbacks_of_earlier_attempts_count(workplace: Workplace, tmp_path: Path) -> None:
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 2, 4)
    own = changes(tmp_path, max=1)
    with poisoned():
        stopped = workplace.attempt(
            tmp_path, own, wants_stop=lambda run: len(run.losses) >= 2, CHECKPOINT_EVERY_STEPS="1"
        )
        assert (stopped.code, rollbacks(stopped)) == (ExitCode.SAVED, [(2, 1, 2, 1)])
        with pytest.raises(Diverged, match="after the 1 rollback that"):
            workplace.attempt(tmp_path, own, CHECKPOINT_EVERY_STEPS="1", **SECOND)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("family", ["deepseek_v3", "qwen3-tied"])
def test_divergence_before_the_first_checkpoint_begins_again(
    workplace: Workplace, tmp_path: Path, number: int, family: str
) -> None:
    """In every bit a training that was never poisoned: the optimizer has no past, and dropout its first numbers."""
    batches = order(workplace, tmp_path)
    own = {**changes(tmp_path), "model.custom": dict(FAMILIES[family]), "hyperparameters.evalEverySteps": 1}
    heldout = {"source": workplace.file("heldout"), "split": "Heldout"}
    own["datasets"] = [{"source": {"path": str(tmp_path / "train.jsonl")}}, heldout]
    poison(tmp_path, batches, number)
    with poisoned():
        run = workplace.attempt(tmp_path, own, CHECKPOINT_KEEP_BEST="0")
    assert rollbacks(run) == [(number, 0, number, 1)]
    good = [batch for batch in batches if "z" not in batch[0]]
    assert learnt(run)[number:] == good[:STEPS]
    words(tmp_path, [name for batch in good for name in batch])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Order, "batch", lambda self, step: list(range((step - 1) * SIZE, step * SIZE)))
        plain = workplace.attempt(tmp_path / "plain", {**own, "onDivergence": None})
    assert run.losses[number:] == plain.losses
    for name, tensor in exported(plain).items():
        assert torch.equal(tensor, exported(run)[name]), name


def test_what_has_learnt_nothing_is_never_the_best(workplace: Workplace, tmp_path: Path) -> None:
    """Every step makes the loss worse; step 0 lies there to be gone back to, not to be exported."""
    own = {
        "onDivergence": {"action": "Rollback"},
        "hyperparameters.learningRate": "5",
        "hyperparameters.evalEverySteps": 1,
    }
    run = workplace.attempt(tmp_path, own, CHECKPOINT_EVERY_STEPS="1", CHECKPOINT_KEEP_LAST="9")
    assert (run.kept, run.told["best"]["step"]) == ([0, 1, 2], 1)  # type: ignore[index]
    plain = workplace.attempt(tmp_path / "plain", {**own, "onDivergence": None})
    assert run.losses == plain.losses, "saving before the first step changes nothing"


def test_attempt_goes_on_from_what_was_saved_before_the_first_step(workplace: Workplace, tmp_path: Path) -> None:
    own: dict[str, object] = {"onDivergence": {"action": "Rollback"}, "hyperparameters.maxSteps": 4}

    def dies(run: Observed) -> bool:
        if len(run.losses) == 2:
            raise Killed
        return False

    with pytest.raises(Killed):
        workplace.attempt(tmp_path, own, wants_stop=dies)
    again = workplace.attempt(tmp_path, own, **SECOND)
    assert again.began == (0, "first")
    assert again.losses == workplace.attempt(tmp_path / "plain", {**own, "onDivergence": None}).losses


def test_damaged_checkpoint_is_not_gone_back_to(workplace: Workplace, tmp_path: Path) -> None:
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 4)

    def damages(run: Observed) -> bool:
        if len(run.losses) == 3:
            while 2 not in run.kept:
                time.sleep(0.01)
            file = run.root / "first" / "step-00000002" / "data.json"
            file.write_text("{}".ljust(file.stat().st_size))
        return False

    with poisoned(), pytest.raises(Damaged, match=r"none of 1 checkpoints is whole: .*data.json"):
        workplace.attempt(tmp_path, changes(tmp_path), wants_stop=damages, CHECKPOINT_EVERY_STEPS="2")


def test_another_training_on_other_data_leaves_nothing_out(workplace: Workplace, tmp_path: Path) -> None:
    batches = order(workplace, tmp_path)
    clean = [list(batch) for batch in batches]
    poison(tmp_path, batches, 4)
    with poisoned():
        workplace.attempt(tmp_path, changes(tmp_path), CHECKPOINT_EVERY_STEPS="1")
    named = {"RESUME_FROM": json.dumps({"trainingUID": "training-uid", "checkpoint": "Latest"})}
    other: dict[str, Any] = {"TRAINING_UID": "other", "CHECKPOINT_ROOT": str(tmp_path / "other"), **named}
    more = {**changes(tmp_path, STEPS + 2), "onDivergence": None}
    same = workplace.attempt(tmp_path, more, **other)
    assert learnt(same) == batches[6:8]
    words(tmp_path, GOOD)
    other["CHECKPOINT_ROOT"] = str(tmp_path / "third")
    assert learnt(workplace.attempt(tmp_path, more, **other)) == clean[5:7]


@pytest.mark.parametrize("world", [1, 2])
def test_ranks_go_back_together(workplace: Workplace, tmp_path: Path, world: int) -> None:
    """One of two sees the poison; the end is that of one process, and all that it tells."""
    batches = order(workplace, tmp_path)
    poison(tmp_path, batches, 4)
    spec = json.dumps(changed(workplace.spec, changes(tmp_path)))
    variables = environment(tmp_path / "volume") | {
        "DEEPSEEK_TRAINING_SPEC": spec,
        "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "2",
        "DEEPSEEK_PROCESSES_PER_NODE": str(world),
        "DEEPSEEK_RUN_DIRECTORY": str(tmp_path / "meeting"),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
    }
    (tmp_path / "meeting").mkdir()
    numbers = [{**variables, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    ranks = [Rank(told, tmp_path / f"rank-{told['RANK']}.log", inside=poisoned).start() for told in numbers]
    assert [rank.ended(120) for rank in ranks] == [ExitCode.COMPLETE] * world
    steps = [event["step"] for event in ranks[0].events if event["event"] == "step"]
    assert steps == [1, 2, 3, 4, 3, 4, 5]
    (back,) = [event for event in ranks[0].events if event["event"] == "rollback"]
    assert (back["step"], back["to"]) == (4, 2)


def test_norm_of_the_gradients_is_told_before_they_are_clipped(workplace: Workplace, tmp_path: Path) -> None:
    plain = workplace.train()
    clipped = workplace.attempt(tmp_path, {"hyperparameters.gradientClipNorm": "0.01"})
    for run in (plain, clipped):
        (first, *_) = [record for record in run.records if record["event"] == "step"]
        assert first["gradientNorm"] == pytest.approx(plain.updates[0].gradient_norm, rel=1e-5)
        assert first["learningRate"] == plain.updates[0].rate
    assert clipped.updates[0].gradient_norm < 0.011
    assert clipped.told["gradientNorm"] is not None


@pytest.mark.parametrize(
    ("written", "words_of_it"),
    [
        ({"action": "Restart"}, "onDivergence.action is 'Restart'; write one of Stop, Rollback"),
        ({"action": "Rollback", "skipSteps": 0}, "onDivergence.skipSteps is 0; write a whole number of at least 1"),
        ({"action": "Rollback", "max": -1}, "onDivergence.max is -1; write"),
        ({"action": "Stop", "max": 2}, "onDivergence.max is 2; it is of action Rollback"),
        ({"action": "Rollback", "patience": 2}, "onDivergence.patience is 2; this trainer knows no such field"),
    ],
)
def test_settings_that_mean_nothing_are_refused(workplace: Workplace, written: Document, words_of_it: str) -> None:
    with pytest.raises(Invalid, match=words_of_it):
        read_spec(json.dumps(changed(workplace.spec, {"onDivergence": written})))
