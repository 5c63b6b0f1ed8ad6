"""How the tokens of recent steps were dealt out to the experts of each layer, over all ranks."""

import re

from torch import nn

from deepseek_runtime.trainer.gang import Gang
from deepseek_runtime.trainer.routed import Routed

MOST_SHARES = 2048
"""Experts of all layers of which each is told of by itself; of more the layers alone, whose number is the model's."""
_LAYER = re.compile(r"layers\.(\d+)\.")


class ExpertLoad(Routed):
    """Tokens by layer and expert since the last look; without routers it is false, and tells nothing."""

    def __init__(self, model: nn.Module, gang: Gang) -> None:
        found: dict[int, tuple[nn.Module, int]] = {}
        for name, module in model.named_modules():
            experts, layer = getattr(module, "experts", None), _LAYER.search(f"{name}.")
            number = getattr(experts, "num_experts", None)
            routers = [one for one in module.children() if "Router" in type(one).__name__]
            if layer is not None and isinstance(number, int) and len(routers) == 1:
                found[int(layer[1])] = routers[0], number
        self._layers = tuple(found)
        super().__init__(list(found.values()), gang)

    def __bool__(self) -> bool:
        return bool(self._layers)

    def look(self) -> dict[str, object]:
        """Shares by layer and expert, their sum 1 in each layer, and how much more than the mean the busiest got; counts
        anew. Empty where nothing was counted. Called by all ranks together."""
        shares: dict[str, list[float]] = {}
        for layer, counts in zip(self._layers, self.take(), strict=True):
            if total := sum(counts):
                shares[str(layer)] = [round(count / total, 6) for count in counts]
        if not shares:
            return {}
        imbalance = {layer: round(max(one) * len(one), 4) for layer, one in shares.items()}
        known = {"shares": shares} if sum(map(len, shares.values())) <= MOST_SHARES else {}
        return {"imbalance": imbalance, **known}
