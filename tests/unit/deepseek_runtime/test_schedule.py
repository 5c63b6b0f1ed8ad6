"""The learning rate is a function of the step alone, and tasks never show a held-out word."""

import pytest

from deepseek_runtime.spec import Hyperparameters, Schedule
from deepseek_runtime.trainer.data.tasks import HELDOUT_WORDS, TRAIN_WORDS, examples
from deepseek_runtime.trainer.schedule import learning_rate


def parameters(schedule: Schedule) -> Hyperparameters:
    return Hyperparameters(8, None, 32, 1.0, schedule, 10, None, 110, "fp32", 0.0, 1.0, 0, None)


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        ("Constant", 1, 0.1),
        ("Constant", 10, 1.0),
        ("Constant", 110, 1.0),
        ("Linear", 11, 1.0),
        ("Linear", 61, 0.5),
        ("Linear", 110, 0.01),
        ("Cosine", 11, 1.0),
        ("Cosine", 61, 0.5),
        ("Cosine", 110, 0.000247),
    ],
)
def test_rate_warms_up_and_decays(schedule: Schedule, step: int, rate: float) -> None:
    assert learning_rate(parameters(schedule), step, 110) == pytest.approx(rate, abs=1e-6)


def test_held_out_words_are_never_trained_on() -> None:
    train, heldout = examples("uppercase", "Train"), examples("uppercase", "Heldout")
    assert (len(train), len(heldout)) == (TRAIN_WORDS, HELDOUT_WORDS)
    assert not set(train) & set(heldout)


@pytest.mark.parametrize(("task", "answer"), [("uppercase", str.upper), ("reverse", lambda word: word[::-1])])
def test_answers_are_what_the_task_says(task: str, answer: object) -> None:
    assert callable(answer)
    assert all(completion == answer(prompt.removesuffix("=")) for prompt, completion in examples(task, "Heldout"))
