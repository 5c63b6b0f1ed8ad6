"""Best is what held-out prompts say, then held-out loss, then the later step; one batch's loss never."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.checkpoint.ranking import best, is_better, ranked
from tests.support.manifests import checkpoint


def top(*held: Mapping[str, Any]) -> tuple[int, str, float] | None:
    """The best of checkpoints with these measures at steps 1, 2, …"""
    found = best([checkpoint("a", step, **measures) for step, measures in enumerate(held, start=1)])
    return (found.manifest.step, found.metric, found.value) if found else None


def test_accuracy_outranks_every_loss() -> None:
    assert top({"accuracy": 0.5, "loss": 0.1}, {"accuracy": 0.6, "loss": 9.0}) == (2, "accuracy", 0.6)
    assert top({"accuracy": 0.5, "eval_loss": 0.1}, {"accuracy": 0.6, "eval_loss": 9.0}) == (2, "accuracy", 0.6)


def test_checkpoint_without_the_measure_never_competes() -> None:
    assert top({"eval_loss": 2.0}, {"loss": 0.0}) == (1, "evalLoss", 2.0)
    assert top({"eval_loss": 0.1}, {"accuracy": 0.0, "eval_loss": 2.0}) == (2, "evalLoss", 2.0)


def test_accuracy_of_zero_hides_no_falling_loss() -> None:
    """A task whose answers never match to the letter: only the loss tells, and it is what is told."""
    falling = [{"accuracy": 0.0, "eval_loss": loss} for loss in (3.0, 2.0, 1.5, 1.7)]
    assert top(*falling) == (3, "evalLoss", 1.5)
    known = best([checkpoint("a", 1, accuracy=0.0, eval_loss=3.0)])
    assert is_better({"accuracy": 0.0, "evalLoss": 2.0}, known)
    assert not is_better({"accuracy": 0.0, "evalLoss": 3.5}, known)


@pytest.mark.parametrize("accuracy", [0.0, 0.25, 1.0])
def test_equal_accuracy_falls_to_the_lower_held_out_loss_then_the_later_step(accuracy: float) -> None:
    found = top(*({"accuracy": accuracy, "eval_loss": loss} for loss in (0.2, 0.1, 0.1)))
    assert found is not None
    assert found[0] == 3
    assert is_better(
        {"accuracy": accuracy, "evalLoss": 0.05}, best([checkpoint("a", 1, accuracy=accuracy, eval_loss=0.1)])
    )


def test_one_batchs_loss_makes_nothing_best() -> None:
    assert top({"loss": 2.0}, {"loss": 0.001}, {"loss": 1.5}) is None
    assert not is_better({"loss": 0.1}, None)


@pytest.mark.parametrize("broken", [math.nan, math.inf, None])
def test_measure_that_is_no_number_never_ranks(broken: float | None) -> None:
    assert top({"eval_loss": broken}, {"eval_loss": 5.0}) == (2, "evalLoss", 5.0)
    assert not is_better({"accuracy": None, "evalLoss": broken}, None)


def test_unhealthy_checkpoint_is_never_best() -> None:
    assert best([checkpoint("a", 1, accuracy=1.0, healthy=False)]) is None


measures = st.lists(
    st.tuples(st.sampled_from([None, 0.0, 0.5, 1.0]), st.sampled_from([None, 0.5, 1.0, 2.0])), max_size=8
)


@given(measures)
def test_what_is_better_than_the_best_becomes_the_best(found: list[tuple[float | None, float | None]]) -> None:
    """Saving by `is_better` and choosing by `ranked` can't disagree."""
    held = [checkpoint("a", n, accuracy=accuracy, eval_loss=loss) for n, (accuracy, loss) in enumerate(found)]
    for n, one in enumerate(held):
        before = best(held[:n])
        if is_better(one.metrics, before):
            after = best(held[: n + 1])
            assert after is not None
            assert after.manifest == one
    assert ranked(held) == ranked(list(reversed(held)))
