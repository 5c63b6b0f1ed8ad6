"""Pre-training: every token of texts that run on over sequences, and experts that a moving bias holds in balance."""

import json
from array import array
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.spec import read_spec
from deepseek_runtime.trainer.balancing import SPEED, Balance
from deepseek_runtime.trainer.data.example import Example
from tests.runtime.families import FAMILIES
from tests.runtime.gangs import told_by
from tests.runtime.observed import Observed
from tests.runtime.workplace import ABSENT, Workplace, changed

pytestmark = pytest.mark.filterwarnings("ignore")

ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
LENGTH = 12


def texts_in(folder: Path) -> Path:
    """Three texts, of which the last ends in the middle of a sequence."""
    lines = ({"text": text} for text in ("the first of them", "two", "and a third that is longer than the others"))
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def texts(workplace: Workplace, **changes: object) -> dict[str, object]:
    file = texts_in(workplace.files)
    return {
        "objective": "Pretrain",
        "datasets": [{"source": {"path": str(file)}, "format": "Text"}],
        "hyperparameters.sequenceLength": LENGTH,
        "hyperparameters.globalBatchSize": 2,
        "hyperparameters.maxSteps": 3,
        **changes,
    }


def biases(run: Observed) -> list[torch.Tensor]:
    return [one for name, one in run.network.named_buffers() if name.endswith("e_score_correction_bias")]


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_fine_tuning_on_texts_but_for_the_bias_of_experts(workplace: Workplace, family: str) -> None:
    changes = texts(workplace, **{"model.custom": FAMILIES[family]})
    pretrained, tuned = workplace.train(changes), workplace.train({**changes, "objective": "SFT"})
    assert pretrained.losses[0] == tuned.losses[0]
    assert pretrained.learnt == tuned.learnt
    assert all(not one.any() for one in biases(tuned))
    if moved := biases(pretrained):
        assert all(one.any() and float(one.abs().max()) <= 3 * SPEED * 1.001 for one in moved)
    else:
        assert pretrained.losses == tuned.losses


def test_texts_run_on_where_pairs_are_cut_and_dropped_though_all_is_learnt(workplace: Workplace) -> None:
    """What sets it apart from lossOn All: no token is lost, and none is written by a template."""
    pretrained = workplace.train(texts(workplace, **{"hyperparameters.epochs": 1, "hyperparameters.maxSteps": ABSENT}))
    lines = [json.loads(line)["text"] for line in (workplace.files / "texts.jsonl").read_text().splitlines()]
    pairs = workplace.files / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"prompt": text[:2], "completion": text[2:]}) + "\n" for text in lines))
    tuned = workplace.train(
        {
            **texts(workplace, objective="SFT"),
            "datasets": [{"source": {"path": str(pairs)}}],
            "lossOn": "All",
            "hyperparameters.epochs": 1,
            "hyperparameters.maxSteps": ABSENT,
        }
    )

    def data(run: Observed) -> Mapping[str, object]:
        return next(record for record in run.records if record["event"] == "data")

    assert (data(pretrained)["cut"], data(pretrained)["dropped"]) == (0, 0)
    assert data(tuned)["cut"] == 2
    whole = "".join(f"{text}<|end|>" for text in lines)
    # The last token of each piece is predicted and not read; it is not read either as the first of the next.
    assert sum(len(text) for text in pretrained.learnt) > 0.8 * len(whole)
    assert any("<|end|>" in text.removesuffix("<|end|>") for text in pretrained.learnt)
    assert not any("<|end|>" in text for text in tuned.learnt)


def test_a_kill_in_the_middle_changes_neither_weights_nor_biases(workplace: Workplace, tmp_path: Path) -> None:
    changes = texts(workplace, **{"model.custom": FAMILIES["deepseek_v3"], "hyperparameters.maxSteps": 4})
    whole = workplace.attempt(tmp_path / "whole", changes)
    stopped = workplace.attempt(tmp_path / "parts", changes, wants_stop=lambda run: bool(run.losses))
    resumed = workplace.attempt(tmp_path / "parts", changes, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ANCESTRY)
    assert (stopped.code, resumed.code, resumed.began) == (ExitCode.SAVED, ExitCode.COMPLETE, (2, "first"))
    assert stopped.losses + resumed.losses == whole.losses
    assert biases(whole)
    for one, other in zip(biases(whole), biases(resumed), strict=True):
        assert torch.equal(one, other)
    exported = load_file(resumed.root / "exports" / "4" / "model.safetensors")
    (name,) = (name for name in exported if name.endswith("e_score_correction_bias"))
    assert torch.equal(exported[name].float(), biases(whole)[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_load_is_that_of_tokens_whatever_passes_share_them(workplace: Workplace, precision: str) -> None:
    changes = texts(workplace, **{"model.custom": FAMILIES["deepseek_v3"], "hyperparameters.precision": precision})
    # All pieces of the texts at once, of which the last is shorter: alone it has no padding.
    changes |= {"hyperparameters.globalBatchSize": 6, "hyperparameters.maxSteps": 1}
    (together,) = biases(workplace.train(changes))
    (alone,) = biases(workplace.train({**changes, "hyperparameters.microBatchSize": 1}))
    assert together.dtype == torch.float32, "a bias of bf16 would not move by so little"
    assert torch.equal(together, alone)
    assert together.any()


def test_the_load_is_that_of_all_processes_also_where_experts_are_dealt_out(tmp_path: Path) -> None:
    texts_in(tmp_path)
    told = {world: told_by("balanced", tmp_path, world) for world in (1, 2)}
    (alone,) = told[1]
    assert any(alone["1"][0])
    assert [rank["1"] for rank in told[2]] == [alone["1"]] * 2
    assert [rank["2"] for rank in told[2]] == [alone["1"]] * 2


class Router(nn.Module):
    """Always prefers its first experts, by little."""

    def __init__(self) -> None:
        super().__init__()
        self.e_score_correction_bias = nn.Buffer(torch.zeros(4))

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        chosen = torch.topk(scores + self.e_score_correction_bias, 2, dim=-1).indices
        return scores, scores.gather(1, chosen), chosen


def examples(*lengths: int) -> list[Example]:
    return [Example.after(0, array("i", range(length + 1))) for length in lengths]


def test_experts_that_nobody_chose_are_chosen_after_a_while(workplace: Workplace) -> None:
    router = Router()
    balance = Balance(router, workplace.bench.gang)
    scores = torch.rand(64, 4, generator=torch.Generator().manual_seed(0)) * 0.01 + torch.tensor([0.04, 0.03, 0.0, 0.0])

    def loads() -> list[int]:
        return [int(count) for count in torch.bincount(router(scores)[2].flatten(), minlength=4)]

    assert (max(loads()), min(loads())) == (64, 0)
    for _ in range(60):
        with balance.counting(examples(64)):
            router(scores)
        balance.move()
    assert max(loads()) <= 1.25 * 32


def test_padding_and_what_is_only_evaluated_are_nobodys_load(workplace: Workplace) -> None:
    router = Router()
    balance = Balance(router, workplace.bench.gang)
    even = torch.tensor([[1.0, 1.0, 0, 0], [0, 0, 1.0, 1.0]])
    with balance.counting(examples(2, 1)):
        # The second row's padding would make the first two experts the busy ones.
        router(torch.cat([even, even[1:], even[:1]]))
    router(even[:1].repeat(50, 1))
    balance.move()
    assert torch.sign(router.e_score_correction_bias).tolist() == [1, 1, -1, -1]


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "pairs": (
        {"datasets.0.format": "PromptCompletion"},
        r"datasets\[0\].format is PromptCompletion: write format: Text",
    ),
    "chats": ({"datasets.0.format": "Messages"}, "write format: Text, or objective: SFT"),
    "a part of the loss": ({"lossOn": "All"}, "lossOn is 'All'; objective Pretrain learns texts throughout"),
    "a template": ({"chatTemplate": {"name": "DeepSeek"}}, "and no chats: leave it out"),
    "an adapter": ({"model": {"path": "/m"}, "method": {"type": "LoRA"}}, "write method.type Full, or objective: SFT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_pre_training_is_refused_with_what_to_write(workplace: Workplace, case: str) -> None:
    changes, advice = WRONG[case]
    spec = changed(workplace.spec, texts(workplace))
    with pytest.raises(Invalid, match=advice):
        read_spec(json.dumps(changed(spec, changes)))
