"""What a training takes of its machines: the work of a step, and memory at its peak over all ranks."""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from deepseek_runtime.contract import Work
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.expert_load import ExpertLoad
from deepseek_runtime.trainer.gang import Gang

EVERY_STEPS = 20
"""Between two looks, which all ranks take together; the first two steps of an attempt, and its last, are looked at too."""
SHARES_EVERY = 1000
"""Steps between two lines of the curve that tell of each expert."""
_KIB = 1024


@dataclass(frozen=True)
class Gauges:
    """Of an attempt that goes on from the step `begun` to `last`."""

    gang: Gang
    begun: int
    last: int
    load: ExpertLoad | None = None

    def is_looked_at(self, step: int) -> bool:
        return step <= self.begun + 2 or step % EVERY_STEPS == 0 or step == self.last

    def experts(self, step: int) -> dict[str, object]:
        """How tokens were dealt out to experts since the last look; empty where nobody looks. Called by all ranks together."""
        return self.load.look() if self.load and self.is_looked_at(step) else {}

    def lasting(self, step: int, experts: Mapping[str, object]) -> Mapping[str, object]:
        """What of them is worth a line of the curve: that of each expert seldom, some ten kilobytes each time."""
        is_rare = step > self.begun + 1 and step % SHARES_EVERY and step != self.last
        return {name: value for name, value in experts.items() if name != "shares" or not is_rare}

    def after(self, step: int) -> dict[str, float]:
        """What is known after a step, by the names in /progress; empty where nobody looks. Called by all ranks together."""
        if not self.is_looked_at(step):
            return {}
        device = torch.cuda.max_memory_reserved() if self.gang.device.type == "cuda" else 0
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
        fullest, largest = self.gang.most([device, host])
        return {"hostMemoryBytes": largest, **({"deviceMemoryBytes": fullest} if fullest else {})}


def least_seconds(work: Work | None, examples: Sequence[Example]) -> float | None:
    """Seconds that the devices would take for these at their peak: of what the model computes, without padding and
    without what is computed again to save memory. Divided by the seconds that they took it is the model FLOPs
    utilisation of PaLM (arXiv 2204.02311, appendix B). None where the work or the peak is not known."""
    if work is None:
        return None
    return sum(_flops(work, tokens) for example in examples for tokens in _documents(example)) / work.peak


def _flops(work: Work, tokens: int) -> float:
    return tokens * (work.per_token + work.per_key * min(tokens / 2, work.most_keys))


def _documents(example: Example) -> list[int]:
    """Tokens of each that go through the model; the last of a sequence is predicted only."""
    return [end - start for start, end in pairwise((0, *example.starts, len(example.tokens) - 1))]
