"""Which examples are seen at which step.

The order is a pure function of seed and step: the examples of one optimizer step are the same however
many processes share them, and a resume needs to remember nothing but the step. An epoch holds each
example of a dataset `weight` times; a fraction is a fresh draw in every epoch.
"""

from collections.abc import Sequence

import torch

from deepseek_runtime.contract import Invalid


class Order:
    """Which examples are seen at which step, an endless shuffled stream cut into global batches."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int, batch_size: int) -> None:
        self._sizes = tuple(sizes)
        self._draws = tuple(round(size * weight) for size, weight in zip(sizes, weights, strict=True))
        self._seed = seed
        self._batch_size = batch_size
        self._epoch: tuple[int, torch.Tensor] | None = None
        for size, weight, draws in zip(sizes, weights, self._draws, strict=True):
            if not draws:
                raise Invalid(
                    f"a training dataset of {size} examples would never be seen at weight {weight:g};"
                    f" write datasets[].weight of at least {1 / size:.2g}, or leave the dataset out"
                )

    @property
    def epoch_size(self) -> int:
        return sum(self._draws)

    def steps(self, epochs: int) -> int:
        """Optimizer steps of that many epochs; the last one may reach into the next epoch."""
        return -(-epochs * self.epoch_size // self._batch_size)

    def epoch_at(self, step: int) -> float:
        return step * self._batch_size / self.epoch_size

    def batch(self, step: int) -> list[int]:
        """Indices into the concatenated datasets of the examples that make step `step` (counted from 1)."""
        first = (step - 1) * self._batch_size
        return [self._at(position) for position in range(first, first + self._batch_size)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.epoch_size)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return int(self._epoch[1][place])

    def _shuffled(self, epoch: int) -> torch.Tensor:
        """As numbers end to end: as objects, those of a few million examples would take gigabytes on every rank."""
        source = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        chosen, start = list[torch.Tensor](), 0
        for size, draws in zip(self._sizes, self._draws, strict=True):
            whole, rest = divmod(draws, size)
            chosen += [torch.arange(start, start + size).repeat(whole)]
            chosen += [torch.randperm(size, generator=source)[:rest] + start]
            start += size
        drawn = torch.cat(chosen)
        return drawn[torch.randperm(len(drawn), generator=source)]
