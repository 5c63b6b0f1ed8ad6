"""Another objective and another method come in by their seams alone: nothing else of a training knows which they are."""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from transformers import PreTrainedModel

from deepseek_runtime.contract import ExitCode
from deepseek_runtime.spec import Custom
from deepseek_runtime.trainer import preparing
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.measuring import Measured
from deepseek_runtime.trainer.method import Full
from deepseek_runtime.trainer.objective import NextToken
from tests.runtime.observed import Observed, local
from tests.runtime.whole_model import build
from tests.runtime.workplace import TINY, Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
CPU = torch.device("cpu")


def example(*tokens: int, loss_from: int = 1) -> Example:
    return Example.after(loss_from, array("i", tokens))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_loss_and_weight_are_sums_whatever_shares_them(cut: int) -> None:
    model, _ = build(Custom(TINY), seed=0)
    batch = [example(5, 6, 7), example(8, 9, 10, 11, 12, loss_from=3), example(13, 14, loss_from=0), example(5, 9)]
    objective = NextToken()
    parts = [batch[:cut], batch[cut:]]
    assert objective.weight(batch) == sum(objective.weight(part) for part in parts) == 2 + 2 + 1 + 1
    whole = float(objective.loss_sum(model, batch, 0, CPU))
    assert sum(float(objective.loss_sum(model, part, 0, CPU)) for part in parts) == pytest.approx(whole, rel=1e-5)


class PerExample(NextToken):
    """An objective of another kind: every example weighs the same, however long it is."""

    def weight(self, examples: Sequence[Example]) -> int:
        return len(examples)

    def loss_sum(
        self, model: PreTrainedModel, examples: Sequence[Example], pad_id: int, device: torch.device
    ) -> torch.Tensor:
        each = [super(PerExample, self).loss_sum(model, [one], pad_id, device) / one.targets for one in examples]
        return torch.stack(each).sum()


def test_another_objective_changes_the_loss_and_nothing_else(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = workplace.train()
    monkeypatch.setattr(preparing, "objective_of", lambda *_: PerExample())
    other = workplace.attempt(tmp_path)
    # All answers here are of one length: the mean over examples is the mean over tokens.
    assert other.losses == pytest.approx(usual.losses, rel=1e-4)
    assert [len(one.texts) for one in other.trained] == [1] * 8
    assert (other.kept, other.evaluations) == (usual.kept, usual.evaluations)


class VectorsOnly(Full):
    """A method of another kind: norms alone are trained and saved, beside a base that is built anew."""

    def trained(self, model: nn.Module) -> list[nn.Parameter]:
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.ndim <= 1)
        return super().trained(model)

    def weights(self, model: nn.Module) -> dict[str, Any]:
        return dict(get_model_state_dict(model, options=StateDictOptions(ignore_frozen_params=True)))

    def take(self, model: nn.Module, weights: dict[str, Any]) -> None:
        set_model_state_dict(model, weights, options=StateDictOptions(strict=False))


def test_another_method_trains_saves_and_resumes_its_own_parameters(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "method_of", lambda *_: VectorsOnly())
    whole = workplace.attempt(tmp_path / "whole", {"hyperparameters.maxSteps": 3})
    assert {one.ndim for update in whole.updates for one in update.before} == {1}
    base, _ = build(Custom(TINY), seed=0)
    for name, parameter in whole.network.named_parameters():
        is_base = torch.equal(local(parameter), dict(base.named_parameters())[name])
        assert is_base == (parameter.ndim > 1), name

    def halfway(run: Observed) -> bool:
        return bool(run.losses)

    stopped = workplace.attempt(tmp_path / "parts", {"hyperparameters.maxSteps": 3}, wants_stop=halfway)
    resumed = workplace.attempt(
        tmp_path / "parts",
        {"hyperparameters.maxSteps": 3},
        ATTEMPT="2",
        POD_UID="second",
        RESUME_ANCESTRY=ANCESTRY,
    )
    assert (stopped.code, resumed.code, resumed.began) == (ExitCode.SAVED, ExitCode.COMPLETE, (2, "first"))
    assert stopped.losses + resumed.losses == whole.losses
    assert size(resumed) * 3 < size(workplace.train())


def size(run: Observed) -> int:
    (tensors,) = (run.root / run.name).glob(f"step-{run.kept[-1]:08d}/*.distcp")
    return tensors.stat().st_size


def test_measure_is_told_of_its_own_step_alone() -> None:
    measured = Measured(4, {"evalLoss": 1.5})
    assert (measured.of(4), measured.of(5), Measured().of(0)) == ({"evalLoss": 1.5}, {}, {})
