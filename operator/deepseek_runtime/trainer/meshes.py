"""Tensors that are divided over different groups of processes, as experts and the rest of a model are.

torch computes with those of one group at once only; a norm over several is that of their norms.
"""

from collections.abc import Iterable, Sequence

import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm


def alike(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Those that are divided over the same processes together, in the order in which each group is met first."""
    groups: dict[object, list[torch.Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.device_mesh if isinstance(tensor, DTensor) else None, []).append(tensor)
    return list(groups.values())


def norm(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """The Euclidean norm of all of them, whole on every process. Called by all processes together."""
    norms = [_whole(get_total_norm(group)) for group in alike(gradients)]
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))


@torch.no_grad()
def clip(gradients: Sequence[torch.Tensor], most: float, found: torch.Tensor) -> None:
    """Shortens all of them together where their norm, `found`, is more than `most`; as torch's clip_grads_with_norm_."""
    coefficient = torch.clamp(most / (found + 1e-6), max=1.0)
    for gradient in gradients:
        (gradient.to_local() if isinstance(gradient, DTensor) else gradient).mul_(coefficient)


def _whole(value: torch.Tensor) -> torch.Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value
