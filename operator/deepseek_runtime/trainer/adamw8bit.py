"""AdamW with both moments in 8 bits (arXiv 2110.02861), by torchao's arithmetic.

torchao's own optimizer (0.18) keeps moments in tensors of a class of its own, which a checkpoint would have to pickle and
can't write while training goes on, cuts them into blocks of each process's share, and compiles its step with a C++
compiler, which the image has none of. Here moments are plain tensors, codes of the parameter's shape and a scale for each
block of a row, divided as the parameter is: the same blocks on every number of processes. The step is not compiled and
goes over some millions of numbers at a time, since each operation of it makes new ones.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from math import gcd, prod
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torchao.optim.adam import single_param_adam
from torchao.optim.subclass_8bit import OptimState8bit, get_qmap_signed, get_qmap_unsigned

SMALLEST = 4096
"""Numbers of a parameter below which its moments stay fp32, as with bitsandbytes and torchao."""
LARGEST_BLOCK, SMALLEST_BLOCK = 256, 64
"""Numbers that share a scale; with fewer the scales would weigh more than what is saved."""
AT_ONCE = 1 << 22
"""Numbers whose step is computed at once: about 60 bytes of passing ones each, 250 MB in all."""
MOMENTS = {"exp_avg": True, "exp_avg_sq": False}
"""Names of the moments, and whether they have a sign."""


class AdamW8bit(Optimizer):
    """Parameters are fp32; the state of each is named as torch's AdamW names it, with `<moment>_scale` beside."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Moves each parameter that has a gradient. There is no closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(_fresh(parameter))
        state["step"] += 1
        here = {name: _local(tensor) for name, tensor in state.items() if name != "step"}
        # A tensor, as in torchao: a product with a number of Python's is rounded otherwise.
        rate = torch.tensor(group["lr"], dtype=torch.float32)
        for part in _parts(_local(parameter)):
            single_param_adam(
                _local(parameter)[part],
                _local(parameter.grad)[part],
                state["step"],
                *(_moment(here, name, part) for name in MOMENTS),
                None,
                rate,
                *group["betas"],
                group["weight_decay"],
                group["eps"],
                IS_ADAMW=True,
                BF16_STOCHASTIC_ROUND=False,
            )


def block_of(shape: Iterable[int]) -> int | None:
    """How many numbers of a row of a parameter share a scale; None where its moments stay fp32."""
    rows, *row = shape
    block = gcd(LARGEST_BLOCK, prod(row))
    return block if block >= SMALLEST_BLOCK and rows * prod(row) >= SMALLEST else None


def _fresh(parameter: nn.Parameter) -> dict[str, torch.Tensor]:
    state = {"step": torch.tensor(0.0)}
    block = block_of(parameter.shape)
    for name in MOMENTS:
        if block is None:
            state[name] = torch.zeros_like(parameter)
        else:
            state[name] = torch.zeros_like(parameter, dtype=torch.uint8)
            state[f"{name}_scale"] = _scales(parameter, block)
    return state


def _scales(parameter: nn.Parameter, block: int) -> torch.Tensor:
    """A row for each of the parameter's, on the process that has it."""
    size = parameter.shape[0], prod(parameter.shape[1:]) // block
    local = torch.zeros((_local(parameter).shape[0], size[1]), device=parameter.device)
    if not isinstance(parameter, DTensor):
        return local
    mesh, placements = parameter.device_mesh, parameter.placements
    return DTensor.from_local(local, mesh, placements, run_check=False, shape=torch.Size(size), stride=(size[1], 1))


def _parts(local: torch.Tensor) -> Iterator[slice]:
    """Rows of this process, as many as are computed at once; none where it has none."""
    rows = local.shape[0]
    at_once = max(1, AT_ONCE // max(1, prod(local.shape[1:])))
    yield from (slice(first, min(first + at_once, rows)) for first in range(0, rows, at_once))


def _moment(here: dict[str, torch.Tensor], name: str, part: slice) -> torch.Tensor:
    """Rows of a moment, which torchao writes into."""
    if f"{name}_scale" not in here:
        return here[name][part]
    is_signed, codes = MOMENTS[name], here[name][part]
    scale = here[f"{name}_scale"][part].view(-1)
    return OptimState8bit(codes, scale, _values(is_signed, codes.device), is_signed, dtype=torch.float32)


@lru_cache(maxsize=16)
def _values(is_signed: bool, device: torch.device) -> torch.Tensor:
    """What the 256 codes mean."""
    return torch.tensor(get_qmap_signed() if is_signed else get_qmap_unsigned(), device=device)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
