"""Experts held in balance while a model is pre-trained: the bias by which routers choose moves against their load.

After each step the bias of an expert that got more tokens than the mean of its layer goes down by SPEED, that of one that
got fewer goes up (DeepSeek-V3, arXiv 2412.19437, section 2.1.2). It decides which experts are chosen, never their weights,
so it has no gradient and the loss no further term. DeepSeek-V2's routers have none: nothing is moved for them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.gang import Gang

SPEED = 0.001
"""What a bias moves in a step, of the first 14.3e12 tokens of DeepSeek-V3's own pre-training (section 4.2)."""
_BIAS = "e_score_correction_bias"


class Balance:
    """The routers of a model, and how many tokens each of their experts got since the last step."""

    def __init__(self, model: nn.Module, gang: Gang) -> None:
        self._gang = gang
        self._routers = [one for one in model.modules() if isinstance(getattr(one, _BIAS, None), torch.Tensor)]
        self._loads = [torch.zeros(_bias(one).numel(), dtype=torch.int64, device=gang.device) for one in self._routers]
        self._real: torch.Tensor | None = None
        for router, load in zip(self._routers, self._loads, strict=True):
            router.register_forward_hook(partial(self._count, load))

    @contextmanager
    def counting(self, examples: Sequence[Example]) -> Iterator[None]:
        """Counts what goes through the model meanwhile, a batch of these examples; padding is nobody's load."""
        lengths = torch.tensor([len(one.tokens) - 1 for one in examples])
        real = torch.arange(int(lengths.max())) < lengths[:, None]
        self._real = real.flatten().to(self._gang.device)
        try:
            yield
        finally:
            self._real = None

    def move(self) -> None:
        """Moves every bias by the load of all ranks, by the same on each. Called by all of them together."""
        if not self._routers:
            return
        flat = self._gang.total([float(count) for load in self._loads for count in load.tolist()])
        for router, load in zip(self._routers, self._loads, strict=True):
            bias, counts = _bias(router), torch.tensor(flat[: load.numel()], dtype=torch.float64)
            flat = flat[load.numel() :]
            bias += (SPEED * torch.sign(counts.mean() - counts)).to(bias)
            load.zero_()

    def _count(self, load: torch.Tensor, module: nn.Module, arguments: object, output: Sequence[torch.Tensor]) -> None:
        """Of a router, which returns its logits, then weights and numbers of the experts chosen for each token."""
        if self._real is not None:
            load += torch.bincount(output[-1].detach()[self._real].flatten(), minlength=load.numel())


def _bias(router: nn.Module) -> torch.Tensor:
    bias = getattr(router, _BIAS)
    assert isinstance(bias, torch.Tensor)
    return bias
