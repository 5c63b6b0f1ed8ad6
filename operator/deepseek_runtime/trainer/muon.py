"""Muon: the momentum of each matrix is made orthogonal before it is a step (arXiv 2502.16982).

torch's own (2.13) takes matrices alone, whole ones, and computes in bf16 whatever the training does. Here a parameter may
hold a matrix for each expert, and be divided by rows: experts lie whole where they lie and are computed there, all other
matrices go whole to one process each and back, as many at a time as there are processes, so that none is computed twice.
The numbers are those of one process. Steps are as large as AdamW's, root mean square 0.2 (section 2.2, equation 4).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from deepseek_runtime.trainer.stacks import Stack

MOMENTUM = 0.95
# Newton-Schulz (torch.optim.Muon's defaults, from https://kellerjordan.github.io/posts/muon/).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPSILON = 1e-7
ADAMW_RMS = 0.2
AT_ONCE = 1 << 24
"""Numbers of a layer's experts that are computed at once: four copies of them live at a time."""


class Muon(Optimizer):
    """`stacks` says of each parameter which matrices it holds, `kind` in what they are made orthogonal."""

    def __init__(
        self, stacks: Mapping[nn.Parameter, Stack], *, lr: float, weight_decay: float, kind: torch.dtype
    ) -> None:
        self._stacks, self._kind = dict(stacks), kind
        # The largest first, and those of a size side by side: processes that compute one each are done at a time.
        ordered = sorted(stacks, key=lambda parameter: -parameter.numel())
        super().__init__(ordered, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Moves each parameter that has a gradient; all processes together. There is no closure."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            for together in _rounds(moved):
                updates = [self._smoothed(parameter) for parameter in together]
                # torch makes the state of a fresh optimizer by a step of rate 0, and what does not move needs no way.
                if group["lr"]:
                    self._move(together, updates, group)

    def _smoothed(self, parameter: nn.Parameter) -> torch.Tensor:
        """This process's share of Nesterov's momentum."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        gradient, momentum = _local(parameter.grad), _local(state["momentum_buffer"])
        momentum.lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(momentum, MOMENTUM).to(self._kind)

    def _move(self, together: Sequence[nn.Parameter], updates: list[torch.Tensor], group: dict[str, Any]) -> None:
        if (processes := _divided_over(together[0])) is None:
            turned = [self._turned(*pair) for pair in zip(together, updates, strict=True)]
        else:
            turned = self._turned_together(together, updates, processes)
        for parameter, update in zip(together, turned, strict=True):
            here = _local(parameter)
            here.mul_(1 - group["lr"] * group["weight_decay"])
            here.add_(update, alpha=-group["lr"])

    def _turned(self, parameter: nn.Parameter, update: torch.Tensor) -> torch.Tensor:
        """The step of rate 1 of matrices that are whole."""
        stack = self._stacks[parameter]
        matrices = stack.apart(update)
        rows, columns = matrices.shape[-2:]
        at_once = max(1, AT_ONCE // (rows * columns))
        parts = [orthogonal(part) for part in matrices.split(at_once)] or [matrices]
        return stack.together(torch.cat(parts) * (ADAMW_RMS * sqrt(max(rows, columns))), update.shape)

    def _turned_together(
        self, together: Sequence[nn.Parameter], updates: Sequence[torch.Tensor], processes: dist.ProcessGroup
    ) -> list[torch.Tensor]:
        """Shares of the steps of rate 1; each process turns one of the parameters, in their order."""
        count, own = dist.get_world_size(processes), dist.get_rank(processes)
        given = [update.numel() for update in updates] + [0] * (count - len(updates))
        taken = _shares(together[own], count) if own < len(together) else [0] * count
        whole = _exchanged(torch.cat([update.flatten() for update in updates]), given, taken, processes)
        if own < len(together):
            whole = self._turned(together[own], whole.view(together[own].shape)).flatten()
        back = _exchanged(whole, taken, given, processes).split(given[: len(updates)])
        return [share.view_as(update) for share, update in zip(back, updates, strict=True)]


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Of shape (matrices, rows, columns): each with all of its singular values near 1, by five rounds of Newton-Schulz."""
    is_high = matrices.shape[-2] > matrices.shape[-1]
    turned = matrices.mT if is_high else matrices
    turned = turned / turned.norm(dim=(-2, -1), keepdim=True).clamp(min=EPSILON)
    first, second, third = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = turned @ turned.mT
        change = torch.baddbmm(gram, gram, gram, beta=second, alpha=third)
        turned = torch.baddbmm(turned, change, turned, beta=first)
    return turned.mT if is_high else turned


def _rounds(parameters: Sequence[nn.Parameter]) -> Iterator[Sequence[nn.Parameter]]:
    """Those whose matrices lie whole where they are one by one, others as many at a time as processes share them."""
    divided: dict[dist.ProcessGroup, list[nn.Parameter]] = {}
    for parameter in parameters:
        if (processes := _divided_over(parameter)) is None:
            yield [parameter]
        else:
            divided.setdefault(processes, []).append(parameter)
    for processes, found in divided.items():
        count = dist.get_world_size(processes)
        yield from (found[first : first + count] for first in range(0, len(found), count))


def _divided_over(parameter: nn.Parameter) -> dist.ProcessGroup | None:
    """The processes that have rows of its matrices; None where each matrix is whole."""
    if not isinstance(parameter, DTensor):
        return None
    mesh = parameter.device_mesh
    axes = [axis for axis, one in enumerate(parameter.placements) if isinstance(one, Shard) and mesh.size(axis) > 1]
    if not axes or (parameter.ndim > 2 and all(parameter.placements[axis].dim == 0 for axis in axes)):
        return None
    (axis,) = axes
    assert parameter.placements[axis].dim == 0, "matrices are divided by rows"
    return mesh.get_group(axis)


def _shares(parameter: nn.Parameter, count: int) -> list[int]:
    """How many numbers each of the processes has, as torch divides rows."""
    rows, columns = parameter.shape
    each = -(-rows // count)
    return [max(0, min(rows, (rank + 1) * each) - rank * each) * columns for rank in range(count)]


def _exchanged(values: torch.Tensor, given: list[int], taken: list[int], processes: dist.ProcessGroup) -> torch.Tensor:
    """Sends so many of the values to each process, and returns those of each, one after the other."""
    received = values.new_empty(sum(taken))
    dist.all_to_all_single(received, values.contiguous(), taken, given, group=processes)
    return received


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
