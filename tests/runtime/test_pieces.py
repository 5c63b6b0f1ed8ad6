"""A loss in pieces is the loss, for every architecture, and keeps no logits for the backward pass."""

import pytest
import torch

from deepseek_runtime.spec import Custom
from deepseek_runtime.trainer.data.example import IGNORED, Batch
from deepseek_runtime.trainer.evaluation import matches
from deepseek_runtime.trainer.pieces import FEWEST_TOKENS, nats_and_matches
from tests.runtime.families import FAMILIES
from tests.runtime.gradients import gradients
from tests.runtime.whole_model import build

pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")


def batch_of(sequences: int = 3, tokens: int = 20) -> Batch:
    """Random tokens, the last of each sequence and the whole first third without a loss."""
    torch.manual_seed(0)
    ids = torch.randint(0, 256, (sequences, tokens))
    labels = ids.roll(-1, 1)
    labels[:, -1] = IGNORED
    labels[0, : tokens // 3] = IGNORED
    return Batch(ids, labels)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_and_every_gradient_are_the_same_but_for_rounding(family: str) -> None:
    model, _ = build(Custom(FAMILIES[family]), seed=1)
    batch = batch_of()
    logits = model(input_ids=batch.ids, use_cache=False).logits
    whole = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    whole.backward()
    expected = gradients(model)
    nats, right = nats_and_matches(model, batch)
    nats.backward()
    assert float(nats.detach()) == pytest.approx(float(whole.detach()), rel=1e-6)
    assert right == matches(logits, batch)
    found = gradients(model)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_sequences_that_the_model_would_write_itself_are_counted() -> None:
    model, _ = build(Custom(FAMILIES["llama"]), seed=1)
    batch = batch_of()
    likeliest = model(input_ids=batch.ids, use_cache=False).logits.argmax(-1)
    likeliest[1, 3] += 1
    assert nats_and_matches(model, Batch(batch.ids, likeliest))[1] == 2


def test_backward_keeps_no_logits() -> None:
    model, _ = build(Custom(FAMILIES["llama"]), seed=1)
    vocabulary, rows = model.get_output_embeddings().weight.shape[0], []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        rows.extend([tensor.numel() // vocabulary] if tensor.ndim > 1 and tensor.shape[-1] == vocabulary else [])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        nats_and_matches(model, batch_of())[0].backward()
    assert max(rows, default=0) <= FEWEST_TOKENS


def test_the_head_is_itself_again_afterwards_and_after_an_error() -> None:
    model, _ = build(Custom(FAMILIES["llama"]), seed=1)
    batch = batch_of()
    before = model(input_ids=batch.ids, use_cache=False).logits
    nats_and_matches(model, batch)
    with pytest.raises(ValueError, match="batch_size"):
        nats_and_matches(model, Batch(batch.ids, batch.labels[:, :-1]))
    assert torch.equal(model(input_ids=batch.ids, use_cache=False).logits, before)
