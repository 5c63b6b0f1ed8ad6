"""How the tokens of recent steps were dealt out to the experts of each layer, over all ranks.

Routers are listened to in the forward passes of training alone: evaluations and what is computed again backward do not
count, nor does padding. Nothing waits for a device but the look itself.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.gang import Gang

MOST_SHARES = 2048
"""Experts of all layers of which each is told of by itself; of more the layers alone, whose number is the model's."""
_LAYER = re.compile(r"layers\.(\d+)\.")


class ExpertLoad:
    """Tokens by layer and expert since the last look; without routers it is false, and tells nothing."""

    def __init__(self, model: nn.Module, gang: Gang) -> None:
        self._gang = gang
        self._counts: dict[int, torch.Tensor] = {}
        self._real: torch.Tensor | None = None
        for name, module in model.named_modules():
            experts, found = getattr(module, "experts", None), _LAYER.search(f"{name}.")
            number = getattr(experts, "num_experts", None)
            routers = [one for one in module.children() if "Router" in type(one).__name__]
            if found is not None and isinstance(number, int) and len(routers) == 1:
                count = self._counts[int(found[1])] = torch.zeros(number, dtype=torch.int64, device=gang.device)
                routers[0].register_forward_hook(partial(self._count, count))

    def __bool__(self) -> bool:
        return bool(self._counts)

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

    def look(self) -> dict[str, object]:
        """Shares by layer and expert, their sum 1 in each layer, and how much more than the mean the busiest got; counts
        anew. Empty where nothing was counted. Called by all ranks together."""
        flat = self._gang.total([float(count) for counts in self._counts.values() for count in counts.tolist()])
        shares: dict[str, list[float]] = {}
        for layer, counts in self._counts.items():
            own, flat = flat[: counts.numel()], flat[counts.numel() :]
            counts.zero_()
            if total := sum(own):
                shares[str(layer)] = [round(count / total, 6) for count in own]
        if not shares:
            return {}
        imbalance = {layer: round(max(one) * len(one), 4) for layer, one in shares.items()}
        known = {"shares": shares} if sum(map(len, shares.values())) <= MOST_SHARES else {}
        return {"imbalance": imbalance, **known}

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
