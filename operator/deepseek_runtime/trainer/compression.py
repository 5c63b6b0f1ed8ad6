"""Gradients of an adapter, added up over all processes as narrow matrices: PowerSGD (arXiv 1905.13727), by torch.

Without it FSDP shares the adapter out, and each gradient travels whole. With it every process holds all of the adapter, and
of each matrix's gradient, n × m, (n + m) × rank numbers travel: P = MQ is added up over all, made orthonormal, then Q = MᵀP,
and all take the mean of their gradients for PQᵀ. What that leaves out each process adds to its next gradient (error
feedback), so those errors are part of a checkpoint. Only their mean counts for what all learn: with another number of
processes each goes on with that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from deepseek_runtime.contract import Invalid

FIELD = "hyperparameters.gradientCompression"
PLAIN_STEPS = 2
"""Steps whose gradients travel whole: the first are the largest, and torch asks for no fewer."""
LEAST_SAVING = 2
"""A matrix travels whole where its narrow ones would not be so many times smaller."""
_ERROR, _NARROW = "error", "narrow"


@dataclass(frozen=True)
class _Bucket:
    """All gradients as one, in the form of torch's data-parallel buckets."""

    flat: torch.Tensor
    views: Sequence[torch.Tensor]

    def buffer(self) -> torch.Tensor:
        return self.flat

    def gradients(self) -> Sequence[torch.Tensor]:
        return self.views

    def index(self) -> int:
        return 0

    def is_last(self) -> bool:
        return True


class Compression:
    """Of the parameters that are trained, which every process holds whole. `state` holds what it keeps between steps."""

    def __init__(self, trained: Sequence[nn.Parameter], rank: int, seed: int, mesh: DeviceMesh) -> None:
        """Raises Invalid where no matrix would get smaller."""
        if not any(_gets_smaller(parameter.shape, rank) for parameter in trained):
            raise Invalid(
                f"{FIELD}.rank is {rank}, and no matrix that is trained gets smaller by it: write less than half of"
                f" method.lora.rank, or leave {FIELD} out"
            )
        self._trained = list(trained)
        for parameter in self._trained:
            # FSDP, which leaves them out, has not brought them there.
            parameter.data = parameter.data.to(mesh.device_type)
        self._rank, self._seed, self._mesh = rank, seed, mesh
        self._state = self._fresh()

    def _fresh(self) -> PowerSGDState:
        return PowerSGDState(None, self._rank, PLAIN_STEPS, LEAST_SAVING, random_seed=self._seed)

    def reduce(self, step: int) -> None:
        """Puts the mean over all processes in the place of each one's gradients, in that step, counted from 1."""
        given = [parameter for parameter in self._trained if parameter.grad is not None]
        flat = torch.cat([parameter.grad.flatten() for parameter in given])
        pieces = flat.split([parameter.numel() for parameter in given])
        views = [piece.view_as(parameter) for piece, parameter in zip(pieces, given, strict=True)]
        self._state.iter = step - 1
        bucket: Any = _Bucket(flat, views)
        powerSGD_hook(self._state, bucket).wait()
        for parameter, view in zip(given, views, strict=True):
            parameter.grad = view

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of it: the errors of all processes, a row each, and the narrow matrices that the next
        step begins with. Nothing before the first step that compresses."""
        if 0 not in self._state.error_dict:
            return {}
        error = DTensor.from_local(self._state.error_dict[0][None], self._mesh, [Shard(0)], run_check=False)
        return {_ERROR: error, _NARROW: self._state.q_memory_dict[0]}

    def wanted(self, sizes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
        """Empty tensors for what a checkpoint holds of those sizes, by name, to be filled and taken: of as many processes
        this one's error, else all of them. Nothing where it holds nothing of such gradients."""
        numbers = sum(parameter.numel() for parameter in self._trained)
        rows, length = sizes.get(_ERROR, (0, 0))
        if length != numbers or _NARROW not in sizes:
            return {}
        device = self._trained[0].device
        narrow = torch.empty(sizes[_NARROW], device=device)
        if rows != self._mesh.size():
            return {_ERROR: torch.empty(rows, length, device=device), _NARROW: narrow}
        row = torch.empty(1, length, device=device)
        return {_ERROR: DTensor.from_local(row, self._mesh, [Shard(0)], run_check=False), _NARROW: narrow}

    def take(self, held: dict[str, torch.Tensor]) -> None:
        """Goes on from what `wanted` was filled with; from nothing it begins anew."""
        self._state = self._fresh()
        if not held:
            return
        error, narrow = held[_ERROR], held[_NARROW]
        own = error.to_local()[0] if isinstance(error, DTensor) else error.mean(0)
        self._state.error_dict[0] = own
        self._state.q_memory_dict[0] = narrow
        self._state.p_memory_dict[0] = torch.empty(self._length_of_p(), device=narrow.device)

    def _length_of_p(self) -> int:
        """How many numbers P has of all matrices: torch writes them anew in each step."""
        return sum(
            parameter.shape[0] * min(parameter.shape[0], parameter[0].numel(), self._rank)
            for parameter in self._trained
            if _gets_smaller(parameter.shape, self._rank)
        )


def _gets_smaller(shape: torch.Size, rank: int) -> bool:
    """As torch decides for each gradient."""
    rows, columns = shape[0], shape.numel() // shape[0]
    return bool((rows + columns) * min(rows, columns, rank) * LEAST_SAVING < rows * columns)
