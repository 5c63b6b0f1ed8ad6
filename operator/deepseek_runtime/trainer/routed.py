"""How many tokens each expert of some routers got, over all ranks, counted as batches go through the model.

Routers are listened to in the forward passes of training alone: evaluations and what is computed again backward do not
count, nor does padding. Nothing waits for a device until the counts are taken.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.gang import Gang


class Routed:
    """Tokens by router and expert since they were last taken. `routers` come with their numbers of experts."""

    def __init__(self, routers: Sequence[tuple[nn.Module, int]], gang: Gang) -> None:
        self._gang = gang
        self._counts = [torch.zeros(number, dtype=torch.int64, device=gang.device) for _, number in routers]
        self._real: torch.Tensor | None = None
        for (router, _), counts in zip(routers, self._counts, strict=True):
            router.register_forward_hook(partial(self._count, counts))

    @contextmanager
    def counting(self, examples: Sequence[Example]) -> Iterator[None]:
        """Counts what goes through the model meanwhile, a batch of these examples."""
        lengths = torch.tensor([len(one.tokens) - 1 for one in examples])
        real = torch.arange(int(lengths.max())) < lengths[:, None]
        self._real = real.flatten().to(self._gang.device, torch.int64)
        try:
            yield
        finally:
            self._real = None

    def take(self) -> list[list[float]]:
        """The counts by router, and counts anew. Called by all ranks together."""
        flat = self._gang.total([float(count) for counts in self._counts for count in counts.tolist()])
        taken = []
        for counts in self._counts:
            own, flat = flat[: counts.numel()], flat[counts.numel() :]
            counts.zero_()
            taken.append(own)
        return taken

    def _count(
        self, counts: torch.Tensor, router: nn.Module, arguments: object, output: Sequence[torch.Tensor]
    ) -> None:
        """Of a router, which returns the numbers of the experts chosen for each token last."""
        if self._real is None:
            return
        chosen = output[-1].detach().flatten(0, -2)
        # Virtual tokens before each sequence are tokens too, and nobody knows here where they are.
        is_known = len(chosen) == len(self._real)
        weights = self._real[:, None].expand_as(chosen) if is_known else torch.ones_like(chosen, dtype=torch.int64)
        counts.scatter_add_(0, chosen.flatten().long(), weights.flatten())
