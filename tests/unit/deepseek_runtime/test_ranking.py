"""Best is what was asked for, else what held-out prompts say, then held-out loss, then the later step; one batch's loss never."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import Measures, best, is_better, ranked
from deepseek_runtime.contract import Measure
from tests.support.manifests import checkpoint


def top(*held: Mapping[str, Any]) -> tuple[int, str, float] | None:
    """The best of checkpoints with these measures at steps 1, 2, …"""
    found = best([checkpoint("a", step, **measures) for step, measures in enumerate(held, start=1)], None)
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
    known = {"accuracy": 0.0, "evalLoss": 3.0}
    assert is_better({"accuracy": 0.0, "evalLoss": 2.0}, known, None)
    assert not is_better({"accuracy": 0.0, "evalLoss": 3.5}, known, None)


@pytest.mark.parametrize("accuracy", [0.0, 0.25, 1.0])
def test_equal_accuracy_falls_to_the_lower_held_out_loss_then_the_later_step(accuracy: float) -> None:
    found = top(*({"accuracy": accuracy, "eval_loss": loss} for loss in (0.2, 0.1, 0.1)))
    assert found is not None
    assert found[0] == 3
    assert is_better({"accuracy": accuracy, "evalLoss": 0.05}, {"accuracy": accuracy, "evalLoss": 0.1}, None)


def test_one_batchs_loss_makes_nothing_best() -> None:
    assert top({"loss": 2.0}, {"loss": 0.001}, {"loss": 1.5}) is None
    assert not is_better({"loss": 0.1}, None, None)


@pytest.mark.parametrize("broken", [math.nan, math.inf, None])
def test_measure_that_is_no_number_never_ranks(broken: float | None) -> None:
    assert top({"eval_loss": broken}, {"eval_loss": 5.0}) == (2, "evalLoss", 5.0)
    assert not is_better({"accuracy": None, "evalLoss": broken}, None, None)


def test_unhealthy_checkpoint_is_never_best() -> None:
    assert best([checkpoint("a", 1, accuracy=1.0, healthy=False)], None) is None


EVAL_LOSS, ACCURACY, SCORE = Measure("evalLoss", "Min"), Measure("accuracy", "Max"), Measure("bleu", "Max")
PERPLEXITY = Measure("perplexity", "Min")


def held(*measures: Measures) -> list[Manifest]:
    """Checkpoints with these metrics at steps 1, 2, …"""
    return [replace(checkpoint("a", step), metrics=metrics) for step, metrics in enumerate(measures, start=1)]


@pytest.mark.parametrize(
    ("by", "measures", "told"),
    [
        # The metric that was asked for decides alone, whatever the others say.
        (EVAL_LOSS, ({"accuracy": 0.9, "evalLoss": 2.0}, {"accuracy": 0.1, "evalLoss": 1.0}), (2, "evalLoss", 1.0)),
        (ACCURACY, ({"accuracy": 0.1, "evalLoss": 1.0}, {"accuracy": 0.9, "evalLoss": 2.0}), (2, "accuracy", 0.9)),
        (SCORE, ({"bleu": 31.0}, {"bleu": 30.0, "accuracy": 1.0}), (1, "bleu", 31.0)),
        (PERPLEXITY, ({"perplexity": 9.0}, {"perplexity": 8.0}, {"perplexity": 8.5}), (2, "perplexity", 8.0)),
        # Equals: the usual two, then the later step.
        (ACCURACY, ({"accuracy": 0.0, "evalLoss": 2.0}, {"accuracy": 0.0, "evalLoss": 1.0}), (2, "accuracy", 0.0)),
        (EVAL_LOSS, ({"accuracy": 0.5, "evalLoss": 1.0}, {"accuracy": 0.4, "evalLoss": 1.0}), (1, "evalLoss", 1.0)),
        (SCORE, ({"bleu": 3.0, "evalLoss": 1.0}, {"bleu": 3.0, "evalLoss": 2.0}), (1, "bleu", 3.0)),
        (SCORE, ({"bleu": 3.0}, {"bleu": 3.0}), (2, "bleu", 3.0)),
        # What was not measured so does not compete, and where nothing was, nothing is best.
        (ACCURACY, ({"evalLoss": 0.1}, {"accuracy": 0.0, "evalLoss": 9.0}), (2, "accuracy", 0.0)),
        (SCORE, ({"bleu": math.nan}, {"bleu": -1.0}, {"bleu": math.inf}, {"bleu": None}), (2, "bleu", -1.0)),
        (SCORE, ({"accuracy": 1.0, "evalLoss": 0.1},), None),
        (EVAL_LOSS, ({"accuracy": 1.0},), None),
    ],
)
def test_metric_that_is_asked_for_decides(
    by: Measure, measures: tuple[Measures, ...], told: tuple[int, str, float] | None
) -> None:
    found = best(held(*measures), by)
    assert ((found.manifest.step, found.metric, found.value) if found else None) == told


@pytest.mark.parametrize(
    ("new", "old", "least", "better"),
    [
        ({"evalLoss": 0.9}, {"evalLoss": 1.0}, 0.05, True),
        ({"evalLoss": 0.96}, {"evalLoss": 1.0}, 0.05, False),
        ({"evalLoss": 1.0}, {"evalLoss": 1.0}, 0.0, False),
        ({"evalLoss": 1.5}, {"evalLoss": 1.0}, 0.0, False),
        ({"accuracy": 0.0, "evalLoss": 0.5}, {"accuracy": 0.0, "evalLoss": 1.0}, 0.1, True),
        ({"accuracy": 0.52, "evalLoss": 0.1}, {"accuracy": 0.5, "evalLoss": 1.0}, 0.05, False),
        ({"evalLoss": 9.0}, {}, 0.05, True),
        ({"evalLoss": None}, {}, 0.0, False),
        ({"evalLoss": math.nan}, {"evalLoss": 1.0}, 0.0, False),
    ],
)
def test_better_by_less_than_what_counts_is_not_better(
    new: Measures, old: Measures, least: float, better: bool
) -> None:
    assert is_better(new, old, None, least=least) is better


measures = st.lists(
    st.tuples(st.sampled_from([None, 0.0, 0.5, 1.0]), st.sampled_from([None, 0.5, 1.0, 2.0])), max_size=8
)


@given(measures, st.sampled_from([None, EVAL_LOSS, ACCURACY]))
def test_what_is_better_than_the_best_becomes_the_best(
    found: list[tuple[float | None, float | None]], by: Measure | None
) -> None:
    """Saving by `is_better` and choosing by `ranked` can't disagree."""
    made = [checkpoint("a", n, accuracy=accuracy, eval_loss=loss) for n, (accuracy, loss) in enumerate(found)]
    for n, one in enumerate(made):
        before = best(made[:n], by)
        if is_better(one.metrics, before.manifest.metrics if before else None, by):
            after = best(made[: n + 1], by)
            assert after is not None
            assert after.manifest == one
    assert ranked(made, by) == ranked(list(reversed(made)), by)
