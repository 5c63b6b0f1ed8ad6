"""Documents that share a sequence cost what each costs alone, for every architecture, and learn nothing of each other."""

from array import array
from collections.abc import Sequence

import pytest
import torch

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Custom
from deepseek_runtime.trainer.data.example import Example, collate
from deepseek_runtime.trainer.data.packing import packs, pieces
from deepseek_runtime.trainer.datasets import APART
from deepseek_runtime.trainer.objective import NextToken
from tests.runtime.families import FAMILIES
from tests.runtime.gradients import gradients
from tests.runtime.whole_model import build
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")
LENGTH = 24


def examples() -> list[Example]:
    """Of several lengths, with prompts, with two answers, and with one that is learnt from its first token on."""
    source = torch.Generator().manual_seed(3)
    made = [array("i", torch.randint(3, 259, (size,), generator=source).tolist()) for size in (5, 9, 7, 24, 3, 11, 2)]
    spans: Sequence[tuple[tuple[int, int], ...]] = (
        ((2, 5),),
        ((1, 3), (6, 9)),
        ((0, 7),),
        ((4, 24),),
        ((0, 3),),
        ((10, 11),),
        ((1, 2),),
    )
    return [Example(tokens, span) for tokens, span in zip(made, spans, strict=True)]


KEPT_APART = {name: one for name, one in FAMILIES.items() if one["model_type"] in APART}


@pytest.mark.parametrize("seed", [1, 2, 4])
@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("family", KEPT_APART)
def test_packed_and_unpacked_losses_and_gradients_are_equal(family: str, in_pieces: bool, seed: int) -> None:
    model, _ = build(Custom(KEPT_APART[family]), seed=seed)
    objective = NextToken("Chunked" if in_pieces else "Whole")
    alone, together = examples(), list(packs(examples(), LENGTH))
    assert len(together) < len(alone)
    assert objective.weight(together) == objective.weight(alone)
    sums, found = [], []
    for some in (alone, together):
        loss = objective.loss_sum(model, some, 0, CPU)
        loss.backward()
        sums.append(float(loss.detach()))
        found.append(gradients(model))
    assert sums[1] == pytest.approx(sums[0], rel=1e-6)
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", ["deepseek_v32", "deepseek_v4"])
def test_architecture_that_would_mix_documents_is_refused(workplace: Workplace, family: str) -> None:
    """V3.2 chooses what a token sees by an index that knows no documents, V4 compresses neighbours of two."""
    with pytest.raises(Invalid, match=f"hold apart and {family} is not: leave"):
        workplace.train({"model.custom": FAMILIES[family], "data": {"packing": "Documents"}})


def test_every_other_architecture_is_tried() -> None:
    assert {one["model_type"] for one in FAMILIES.values()} - set(APART) == {"deepseek_v32", "deepseek_v4"}


def test_packs_hold_neighbours_whole_and_in_order() -> None:
    found = list(packs(examples(), LENGTH))
    assert [token for one in found for token in one.tokens] == [token for one in examples() for token in one.tokens]
    assert [(len(one.tokens), one.starts) for one in found] == [(21, (5, 14)), (24, ()), (16, (3, 14))]
    assert max(len(one.tokens) for one in found) <= LENGTH
    assert found[0].learnt == ((2, 5), (6, 8), (11, 14), (15, 21))


def test_positions_begin_again_with_each_document() -> None:
    batch = collate(list(packs(examples()[:3], LENGTH)), 0, CPU)
    assert batch.positions is not None
    assert batch.positions.tolist() == [[*range(5), *range(9), *range(6)]]
    assert collate(examples(), 0, CPU).positions is None


@pytest.mark.parametrize("apart", [False, True])
def test_pieces_of_texts_hold_every_token_and_where_documents_begin(apart: bool) -> None:
    documents = [
        array("i", range(first, first + size)) for first, size in ((10, 3), (20, 1), (30, 14), (50, 2), (60, 1))
    ]
    found = list(pieces(documents, 5, apart=apart))
    assert [one.tokens.tolist() for one in found] == [
        [10, 11, 12, 20, 30],
        [31, 32, 33, 34, 35],
        [36, 37, 38, 39, 40],
        [41, 42, 43, 50, 51],
    ]
    assert [one.starts for one in found] == ([(3, 4), (), (), (3,)] if apart else [()] * 4)
    assert [one.targets for one in found] == ([2, 4, 4, 3] if apart else [4] * 4)
