"""Experts held in balance while a model is pre-trained: the bias by which routers choose moves against their load.

After each step the bias of an expert that got more tokens than the mean of its layer goes down by SPEED, that of one that
got fewer goes up (DeepSeek-V3, arXiv 2412.19437, section 2.1.2). It decides which experts are chosen, never their weights,
so it has no gradient and the loss no further term. DeepSeek-V2's routers have none: nothing is moved for them.
"""

import torch
from torch import nn

from deepseek_runtime.trainer.gang import Gang
from deepseek_runtime.trainer.routed import Routed

SPEED = 0.001
"""What a bias moves in a step, of the first 14.3e12 tokens of DeepSeek-V3's own pre-training (section 4.2)."""
_BIAS = "e_score_correction_bias"


class Balance(Routed):
    """The routers of a model that have such a bias, and how many tokens each of their experts got since the last step."""

    def __init__(self, model: nn.Module, gang: Gang) -> None:
        self._routers = [one for one in model.modules() if isinstance(getattr(one, _BIAS, None), torch.Tensor)]
        super().__init__([(router, _bias(router).numel()) for router in self._routers], gang)

    def move(self) -> None:
        """Moves every bias by the load of all ranks, by the same on each. Called by all of them together."""
        if not self._routers:
            return
        for router, load in zip(self._routers, self.take(), strict=True):
            bias, counts = _bias(router), torch.tensor(load, dtype=torch.float64)
            bias += (SPEED * torch.sign(counts.mean() - counts)).to(bias)


def _bias(router: nn.Module) -> torch.Tensor:
    bias = getattr(router, _BIAS)
    assert isinstance(bias, torch.Tensor)
    return bias
