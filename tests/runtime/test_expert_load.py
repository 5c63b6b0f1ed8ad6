"""How tokens are dealt out to experts: counted by hand over the choices of the routers, padding and evaluations left out."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from deepseek_runtime.launcher.server import exposition
from tests.runtime.families import FAMILIES
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

WITH_EXPERTS = ["deepseek_v3", "deepseek_v2", "deepseek_v32", "deepseek_v4"]


@contextmanager
def chosen() -> Iterator[list[torch.Tensor]]:
    """What routers choose in training, by every pass."""
    found: list[torch.Tensor] = []

    def passed(module: nn.Module, arguments: object, output: Any) -> None:
        if "Router" in type(module).__name__ and module.training:
            found.append(output[-1].detach().clone())

    hook = register_module_forward_hook(passed)
    try:
        yield found
    finally:
        hook.remove()


@pytest.mark.parametrize("family", WITH_EXPERTS)
def test_shares_are_those_of_the_routers_choices(workplace: Workplace, tmp_path: Path, family: str) -> None:
    with chosen() as choices:
        changes = {"model.custom": FAMILIES[family], "hyperparameters.maxSteps": 1, "hyperparameters.evalEverySteps": 1}
        run = workplace.attempt(tmp_path, changes)
    told = run.told["experts"]
    layers = list(told["shares"])  # type: ignore[index]
    assert len(choices) == len(layers) > 0, "one pass, all texts of one length"
    for choice, shares in zip(choices, told["shares"].values(), strict=True):  # type: ignore[index]
        counts = Counter(choice.flatten().tolist())
        assert shares == pytest.approx([counts[n] / choice.numel() for n in range(len(shares))], abs=1e-6)
    worst = max(max(shares) * len(shares) for shares in told["shares"].values())  # type: ignore[index]
    assert run.told["expertImbalance"] == pytest.approx(worst, abs=1e-3)
    (record,) = (record for record in run.records if record["event"] == "experts")
    assert record["shares"] == told["shares"]  # type: ignore[index]


def test_padding_is_nobodys_load(workplace: Workplace, tmp_path: Path) -> None:
    """A short and a long text in one pass count as many tokens as each has alone."""
    lines = [{"prompt": "a=", "completion": "A"}, {"prompt": "abcdef=", "completion": "ABCDEF"}]
    file = tmp_path / "lengths.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    both = {
        "model.custom": FAMILIES["deepseek_v3"],
        "datasets": [{"source": {"path": str(file)}}],
        "hyperparameters.globalBatchSize": 2,
        "hyperparameters.maxSteps": 1,
    }
    padded = workplace.attempt(tmp_path / "a", both).told["experts"]
    alone = workplace.attempt(tmp_path / "b", {**both, "hyperparameters.microBatchSize": 1}).told["experts"]
    assert padded == alone


def test_a_dense_model_tells_nothing_of_experts(workplace: Workplace, tmp_path: Path) -> None:
    run = workplace.attempt(tmp_path, {"model.custom": FAMILIES["llama"], "hyperparameters.maxSteps": 1})
    assert not {"experts", "expertImbalance"} & set(run.told)


def test_prometheus_gets_a_bounded_number_of_them() -> None:
    experts = {"imbalance": {"1": 1.5, "2": 1.0}, "shares": {"1": [0.75, 0.25], "2": [0.5] * 5000, 'x"': [1.0]}}
    families = {one.name: one for one in text_string_to_metric_families(exposition({"experts": experts}))}
    shares = families["deepseek_training_expert_share_ratio"].samples
    assert (shares[0].labels, shares[0].value) == ({"layer": "1", "expert": "0"}, 0.75)
    assert len(shares) == 2048
    assert [one.value for one in families["deepseek_training_expert_imbalance_ratio"].samples] == [1.5, 1.0]
