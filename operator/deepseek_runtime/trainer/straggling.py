"""Whether one rank keeps the others waiting: told with its node once it has done so for long, taken back likewise.

All ranks take equally long for a step, since they wait for the slowest in every collective: what each takes by itself is
seen where nothing is exchanged, in the attention of its layers. It is the same work on all of them, whatever experts the
tokens choose. Its median over a window of steps leaves out what happens once, a save or a page that is read late.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedModel

from deepseek_runtime.trainer.gang import Gang, gathered
from deepseek_runtime.trainer.model import blocks

WINDOW_STEPS = 20
"""Steps between two looks, each one sum of as many numbers as there are ranks."""
SLOW, EVEN = 1.3, 1.15
"""Times the others' median from which a rank counts as slow, and below which it counts as even again. Devices of one kind
differ by a few percent; one that is throttled, or shares its node, by a half and more."""
LOOKS = 3
"""So many looks in a row say so before it is told, or taken back."""


@dataclass(frozen=True)
class Straggler:
    """`factor` is of the time that the others' median takes for the same work."""

    rank: int
    factor: float


class Rule:
    """Who is told of, after each look; a pure rule over the times of all ranks."""

    def __init__(self) -> None:
        self.told: Straggler | None = None
        self._suspect: int | None = None
        self._looks = 0

    def look(self, times: Sequence[float]) -> bool:
        """Hears what each rank took, by rank; whether what is told has changed. `told` keeps the factor of when it began."""
        if len(times) < 2 or min(times) <= 0:
            return False
        factors = [own / median([*times[:rank], *times[rank + 1 :]]) for rank, own in enumerate(times)]
        slowest = max(range(len(times)), key=lambda rank: factors[rank])
        if self.told is not None and factors[self.told.rank] >= EVEN:
            slowest = self.told.rank  # as long as it is slow another one is no news
        wanted = slowest if factors[slowest] >= (EVEN if self._is_told(slowest) else SLOW) else None
        known = self.told.rank if self.told is not None else None
        if wanted == known:
            self._looks = 0
            return False
        self._looks = self._looks + 1 if self._suspect == wanted else 1
        self._suspect = wanted
        if self._looks < LOOKS:
            return False
        self._looks = 0
        self.told = None if wanted is None else Straggler(wanted, round(factors[wanted], 2))
        return True

    def _is_told(self, rank: int) -> bool:
        return self.told is not None and self.told.rank == rank


class Pace:
    """What this rank takes for the attention of a step's forward passes."""

    def __init__(self, model: PreTrainedModel, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._begun: list[Any] = []
        self._ended: list[Any] = []
        for block in blocks(model):
            attention = getattr(block, "self_attn", block)
            # Behind FSDP's own, which waits for the weights of the block.
            attention.register_forward_pre_hook(self._begin)
            attention.register_forward_hook(self._end)

    def take(self) -> float:
        """Seconds since the last call. The device must have done all that it was given."""
        begun, ended = self._begun, self._ended
        self._begun, self._ended = [], []
        if self._is_cuda:
            return float(sum(one.elapsed_time(other) for one, other in zip(begun, ended, strict=False))) / 1000
        return float(sum(other - one for one, other in zip(begun, ended, strict=False)))

    def _begin(self, *_: object) -> None:
        self._begun.append(self._now())

    def _end(self, *_: object) -> None:
        self._ended.append(self._now())

    def _now(self) -> Any:
        if not self._is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


class Pacing:
    """One rank's look at all of them, once in WINDOW_STEPS."""

    def __init__(self, gang: Gang, pace: Pace | None, nodes: Sequence[object]) -> None:
        self._gang, self._pace, self._nodes = gang, pace, nodes
        self._steps: list[float] = []
        self._rule = Rule()

    def after(self, step: int) -> dict[str, object] | None:
        """What is to be told of who is slow, by its name in /progress, when that has changed. Called by all ranks together."""
        if self._pace is None:
            return None
        self._steps.append(self._pace.take())
        if step % WINDOW_STEPS:
            return None
        own = [0.0] * self._gang.world_size
        own[self._gang.rank] = median(self._steps)
        self._steps = []
        if not self._rule.look(self._gang.total(own)):
            return None
        slow = self._rule.told
        if slow is None:
            return {"straggler": None}
        node = self._nodes[slow.rank]
        return {"straggler": {"rank": slow.rank, "factor": slow.factor, **({"node": node} if node else {})}}


def pacing(gang: Gang, model: PreTrainedModel, node_name: str | None) -> Pacing:
    """Of a model that is sharded already. One rank alone keeps nobody waiting. Called by all ranks together."""
    if gang.world_size == 1:
        return Pacing(gang, None, ())
    return Pacing(gang, Pace(model, gang.device), gathered(node_name))
