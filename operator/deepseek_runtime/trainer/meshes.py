"""Over which processes tensors are divided: over all of them, over those of a node with a copy on each node, or tensors of
one model over different groups, as experts and the rest are.

torch computes with those of one group at once only; a norm over several is that of their norms.
"""

from collections.abc import Iterable, Sequence

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from deepseek_runtime.contract import Gang, Invalid
from deepseek_runtime.parallelism import Sharding

FIELD = "parallelism.sharding"


def copies(sharding: Sharding, gang: Gang) -> int:
    """How often the states of a training are there: once, or once on each node. Raises Invalid where nothing would be gained."""
    if sharding == "Full":
        return 1
    if gang.nodes == 1:
        raise Invalid(f"{FIELD} is Hybrid, a copy on each node, and there is one node: write Full, or more nodes")
    if gang.processes_per_node == 1:
        raise Invalid(
            f"{FIELD} is Hybrid, which shares states out within a node, and a node has one process: write Full, or more"
            " devices per node"
        )
    return gang.nodes


def hybrid(mesh: DeviceMesh, number: int) -> DeviceMesh:
    """So many copies, each of them shared out over neighbouring processes (HSDP): gathering stays within a node, and
    gradients are added up over the nodes. Raises Invalid where the processes don't divide by it."""
    share, rest = divmod(mesh.size(), number)
    if rest:
        raise Invalid(f"{FIELD} is Hybrid, and {mesh.size()} processes don't divide by {number} nodes: write Full")
    return init_device_mesh(mesh.device_type, (number, share), mesh_dim_names=("copies", "shares"))


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
