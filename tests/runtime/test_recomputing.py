"""What is computed again in place of being kept: the same bits for every architecture and method, and less memory."""

from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker

from deepseek_runtime.spec import RECOMPUTATIONS, Custom, LoRA, Method, Prompt, Recomputation
from deepseek_runtime.trainer.lora import Lora
from deepseek_runtime.trainer.prompt import Prompt as VirtualTokens
from deepseek_runtime.trainer.recomputing import recompute
from tests.runtime.families import FAMILIES
from tests.runtime.gradients import gradients
from tests.runtime.whole_model import build

pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")
LESS: tuple[Recomputation, ...] = ("Selective", "Full")
METHODS: Mapping[str, Method] = {
    # Adapters of fused experts know no dropout.
    "LoRA": LoRA(4, 8, 0.25, ("Attention",), "Adapter"),
    "LoRA of experts": LoRA(4, 8, 0.0, ("Linear", "Experts"), "Adapter"),
    "PromptTuning": Prompt("PromptTuning", 3, None),
    "PTuning": Prompt("PTuning", 3, 8),
}
EXPERTS = tuple(family for family in FAMILIES if family.startswith("deepseek"))


def learnt(model: nn.Module) -> tuple[float, list[torch.Tensor]]:
    """The loss of a batch and all gradients; what is dropped is the same each time."""
    torch.manual_seed(2)
    ids = torch.randint(0, 256, (2, 24))
    logits = model(input_ids=ids, use_cache=False).logits[:, -24:]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten())
    loss.backward()
    return float(loss.detach()), gradients(model)


def assert_same(found: tuple[float, list[torch.Tensor]], expected: tuple[float, list[torch.Tensor]]) -> None:
    assert found[0] == expected[0]
    assert len(found[1]) == len(expected[1]) > 0
    assert all(torch.equal(one, other) for one, other in zip(found[1], expected[1], strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_every_gradient_have_the_same_bits(family: str) -> None:
    expected = learnt(build(Custom(FAMILIES[family]), seed=1)[0])
    for level in LESS:
        model, _ = build(Custom(FAMILIES[family]), seed=1)
        recompute(model, level)
        assert_same(learnt(model), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_so_they_have_beside_a_base(family: str, method: str) -> None:
    if (method == "LoRA of experts" and family not in EXPERTS) or (
        isinstance(METHODS[method], Prompt) and family == "deepseek_v4"
    ):
        pytest.skip("there is no such training")
    found = []
    for level in RECOMPUTATIONS:
        model, _ = build(Custom(FAMILIES[family]), seed=1)
        match METHODS[method]:
            case LoRA() as asked:
                Lora(asked, "", "fp32", 3).prepare(model)
            case Prompt() as asked:
                prompt = VirtualTokens(asked, "", "fp32", 3)
                prompt.prepare(model)
                prompt.begin(model)
        recompute(model, level)
        found.append(learnt(model))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_each_level_keeps_less_than_the_one_before(family: str) -> None:
    kept = []
    for level in RECOMPUTATIONS:
        model, _ = build(Custom({**FAMILIES[family], "num_hidden_layers": 4}), seed=1)
        recompute(model, level)
        kept.append(bytes_kept(model))
    everything, selective, full = kept
    assert full < 0.7 * everything
    assert full < selective < everything


def bytes_kept(model: nn.Module) -> int:
    """Bytes that wait for the backward pass, and those of the logits."""
    ids = torch.randint(0, 256, (2, 40))
    with MemTracker() as tracker:
        logits = model(input_ids=ids, use_cache=False).logits
        kept = int(tracker.get_tracker_snapshot("current")[CPU]["Total"])
    logits.sum().backward()
    return kept


def test_nothing_is_computed_again_where_nothing_is_learnt() -> None:
    model, _ = build(Custom(FAMILIES["llama"]), seed=1)
    ids = torch.randint(0, 256, (1, 8))
    expected = model(input_ids=ids, use_cache=False).logits
    recompute(model, "Full")
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, expected)
