"""What an evaluation counts is what the model would write, one prompt after the other, for every architecture."""

import math
from array import array
from collections.abc import Callable, Sequence
from random import Random

import pytest
import torch
from transformers import PreTrainedModel

from deepseek_runtime.spec import Custom
from deepseek_runtime.trainer.data.corpus import Heldout
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.evaluation import Evaluation, evaluate
from deepseek_runtime.trainer.objective import objective_of
from tests.runtime.families import FAMILIES
from tests.runtime.greedy import greedy
from tests.runtime.whole_model import build
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

LINES = 20
LONGEST = 12


def examples_of(model: PreTrainedModel, end_id: int) -> tuple[list[Example], int]:
    """Prompts of many lengths with completions of many lengths, and how many of them the model writes itself.

    A third of the completions is its own, a third differs in the last token, a third in the first one.
    """
    random = Random(0)
    made, right = [], 0
    for line in range(LINES):
        prompt = [random.randrange(256) for _ in range(random.randint(1, 20))]
        completion = greedy(model, prompt, LONGEST, end_id)[: random.randint(1, LONGEST)]
        if line % 3:
            place = -1 if line % 3 == 1 else 0
            completion[place] = (completion[place] + 1) % 256
        right += greedy(model, prompt, LONGEST, end_id)[: len(completion)] == completion
        made.append(Example.after(len(prompt), array("i", [*prompt, *completion])))
    assert 0 < right < LINES
    return made, right


def evaluated(
    workplace: Workplace,
    model: PreTrainedModel,
    answers: Sequence[Example],
    texts: Sequence[Example] = (),
    size: int = 64,
    beat: Callable[[], None] = lambda: None,
    wants_stop: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    heldout = Heldout(texts=texts, answers=answers)
    return evaluate(
        model, heldout, workplace.bench.gang, 0, beat, micro_batch_size=size, wants_stop=wants_stop
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_matches_are_those_of_one_prompt_after_the_other(workplace: Workplace, family: str) -> None:
    model, tokenizer = build(Custom(FAMILIES[family]), seed=1)
    model.eval()
    answers, right = examples_of(model, tokenizer.eos_token_id)
    sft = objective_of("SFT")
    apart = [float(sft.loss_sum(model, [one], 0, torch.device("cpu"))) for one in answers]
    loss = sum(apart) / sum(sft.weight([one]) for one in answers)
    for size in (64, 7, 1):
        found = evaluated(workplace, model, answers, size=size)
        assert found is not None
        assert found.accuracy == right / LINES
        assert math.isclose(found.loss, loss, rel_tol=1e-5)


def test_lines_of_every_length_share_a_pass_and_every_pass_is_a_sign_of_life(workplace: Workplace) -> None:
    model, tokenizer = build(Custom(FAMILIES["llama"]), seed=1)
    model.eval()
    answers, _ = examples_of(model, tokenizer.eos_token_id)
    for size, passes in ((64, 1), (8, 3), (1, LINES)):
        beats: list[int] = []
        calls: list[int] = []
        hook = model.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        evaluated(workplace, model, answers, size=size, beat=lambda beats=beats: beats.append(1))  # type: ignore[misc]
        hook.remove()
        assert (len(calls), len(beats)) == (passes, passes)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_stop_is_heard_after_the_pass_under_way(workplace: Workplace, after: int) -> None:
    model, tokenizer = build(Custom(FAMILIES["llama"]), seed=1)
    answers, _ = examples_of(model.eval(), tokenizer.eos_token_id)
    beats: list[int] = []
    found = evaluated(
        workplace,
        model,
        answers[:10],
        texts=answers[10:],
        size=8,
        beat=lambda: beats.append(1),
        wants_stop=lambda: len(beats) >= after,
    )
    assert (found, len(beats)) == (None, after)
