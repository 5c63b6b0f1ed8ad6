"""Who keeps the others waiting: by a rule that does not flap, and in a gang of which one rank is slow."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention

from deepseek_runtime.trainer.straggling import LOOKS, WINDOW_STEPS, Rule, Straggler
from tests.runtime.forked import Rank
from tests.runtime.observed import environment
from tests.runtime.workplace import TINY, Workplace, changed

EVEN_TIMES = [1.0, 1.05, 0.98, 1.02]


def slow(factor: float, rank: int = 2) -> list[float]:
    return [one * factor if which == rank else one for which, one in enumerate(EVEN_TIMES)]


def told(*looks: list[float]) -> list[Straggler | None]:
    rule, found = Rule(), list[Straggler | None]()
    for times in looks:
        rule.look(times)
        found.append(rule.told)
    return found


def test_one_that_is_slow_for_long_is_told_and_taken_back_when_it_is_even_for_long() -> None:
    found = told(*[slow(2.0)] * 4, *[EVEN_TIMES] * 4)
    assert [one is not None for one in found] == [False, False, True, True, True, True, False, False]
    assert found[3] == Straggler(2, 1.92)


@pytest.mark.parametrize(
    "looks",
    [
        [EVEN_TIMES] * 9,
        [slow(1.25)] * 9,
        [slow(2.0), slow(2.0), EVEN_TIMES] * 4,
        [slow(2.0, rank=number % 4) for number in range(12)],
        [[1.0]] * 9,
        [[0.0, 0.0]] * 9,
    ],
    ids=["even", "a little", "now and then", "each in turn", "alone", "without layers"],
)
def test_what_does_not_last_is_not_told(looks: list[list[float]]) -> None:
    assert told(*looks) == [None] * len(looks)


def test_one_that_moves_about_the_threshold_is_told_once() -> None:
    looks = [slow(1.4), slow(1.25)] * 10
    changes = sum(one != other for one, other in zip(told(*looks), told(*looks)[1:], strict=False))
    assert changes <= 1
    steady = told(*[slow(1.5)] * LOOKS, *[slow(1.22), slow(1.3)] * 6)
    assert all(one is not None for one in steady[LOOKS:]), "once told, it is told until it is even"


def test_another_one_follows_when_the_first_is_even_again() -> None:
    found = told(*[slow(2.0)] * LOOKS, *[slow(2.0, rank=0)] * LOOKS)
    assert found[LOOKS - 1] is not None
    last = found[-1]
    assert last is not None
    assert last.rank == 0


@contextmanager
def slow_attention() -> Iterator[None]:
    forward = DeepseekV3Attention.forward

    def slowly(self: DeepseekV3Attention, *given: object, **named: object) -> object:
        time.sleep(0.05)
        return forward(self, *given, **named)

    DeepseekV3Attention.forward = slowly
    try:
        yield
    finally:
        DeepseekV3Attention.forward = forward


def test_a_rank_that_is_slow_is_told_by_the_first_one_with_its_node(workplace: Workplace, tmp_path: Path) -> None:
    steps = WINDOW_STEPS * LOOKS
    few = {"model.custom": TINY, "hyperparameters.maxSteps": steps, "hyperparameters.globalBatchSize": 2}
    spec = json.dumps(changed(workplace.spec, few))
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    ranks = []
    for rank in range(2):
        variables = {
            **environment(tmp_path / "volume"),
            "DEEPSEEK_PROCESSES_PER_NODE": "2",
            "DEEPSEEK_TRAINING_SPEC": spec,
            "DEEPSEEK_NODE_NAME": f"gpu-{rank}",
            "DEEPSEEK_RUN_DIRECTORY": str(meeting),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
        }
        inside = slow_attention if rank == 1 else nullcontext
        ranks.append(Rank(variables, tmp_path / f"rank-{rank}.log", inside=inside).start())
    assert [rank.ended(None) for rank in ranks] == [0, 0], ranks[0].log.read_text()
    (event,) = [event for event in ranks[0].events if event["event"] == "straggler"]
    slowest = event["straggler"]
    assert isinstance(slowest, dict)
    assert (slowest["rank"], slowest["node"]) == (1, "gpu-1")
    assert slowest["factor"] > 1.3
