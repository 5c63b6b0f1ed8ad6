"""The numbers of a model that was divided while it had none: each process reads or draws its own share.

The model is outlined on torch's meta device, made what the method trains, and divided; only then does memory hold
anything. From files transformers reads each process's rows alone. Random numbers are drawn layer by layer, all of a layer
on every process, of which it keeps its rows: the same numbers whatever the number of processes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from transformers import PreTrainedModel

from deepseek_runtime.pretrained import load_network
from deepseek_runtime.spec import Custom, Weights
from deepseek_runtime.trainer.model import blocks, outline

_BESIDE = ".base_layer"
"""In the path of every weight that an adapter stands beside; files know nothing of it."""
_FUSED = 3
"""Axes of the tensor of all experts of a layer."""


def fill(
    model: PreTrainedModel,
    source: Custom | Weights,
    seed: int,
    device: torch.device,
    ranks: int,
    expert: int = 1,
    copies: int = 1,
) -> None:
    """Gives every tensor without numbers this process's share of them, on `device`. All ranks together. Raises Invalid.

    `ranks` and `expert` are what it was divided over, `copies` how often all of it is there.
    """
    places = _Places.of(model, device)
    match source:
        case Weights(path):
            shared = (ranks, expert, copies) if _have_experts_each(model, ranks // copies, expert) else ()
            network = load_network(path, torch.float32, *shared)
            model.generation_config = network.generation_config
            for name, tensor in _handed_over(network):
                places.give(name, tensor)
        case Custom():
            for name, tensor in _drawn(source, seed):
                places.give(name, tensor)
    assert not places.empty(), f"no numbers for {sorted(places.empty())[:4]}"


def _have_experts_each(model: nn.Module, ranks: int, expert: int) -> bool:
    """Whether every process gets some of the experts that files hold one by one: transformers (5.23) can't stack none,
    and then each process reads all. 64 experts on 48 or on 128 processes are such, on 64 and fewer powers of two none."""
    counts = {tensor.shape[0] // expert for tensor in model.parameters() if tensor.ndim == _FUSED}
    groups = ranks // expert
    return all(-(-count // -(-count // groups)) >= groups for count in counts)


@dataclass(frozen=True)
class _Places:
    """The modules and attributes that a tensor without numbers fills, by each of its names in a file."""

    of_name: dict[str, list[tuple[nn.Module, str]]]
    device: torch.device

    @staticmethod
    def of(model: nn.Module, device: torch.device) -> "_Places":
        shared: dict[int, list[tuple[nn.Module, str]]] = {}
        names: dict[str, int] = {}
        for path, module in model.named_modules():
            for attribute, tensor in _own(module):
                if tensor.device.type == "meta":
                    shared.setdefault(id(tensor), []).append((module, attribute))
                    names[f"{path}.{attribute}".replace(_BESIDE, "")] = id(tensor)
        return _Places({name: shared[number] for name, number in names.items()}, device)

    def give(self, name: str, found: torch.Tensor) -> None:
        """Of a whole tensor the rows of this process, of one that was divided already what is here."""
        places = self.of_name.get(name, [])
        wanted = [tensor for module, attribute in places if _is_empty(tensor := getattr(module, attribute))]
        if not wanted:
            return
        value = self._as(wanted[0], found)
        for module, attribute in places:
            setattr(module, attribute, value)

    def empty(self) -> set[str]:
        return {name for name, places in self.of_name.items() if any(_is_empty(getattr(*place)) for place in places)}

    def _as(self, wanted: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        share = found.detach()
        if isinstance(wanted, DTensor):
            share = share.to_local() if isinstance(share, DTensor) else rows(share, wanted)
        share = _on_its_own(share.to(self.device, wanted.dtype))
        if isinstance(wanted, DTensor):
            share = DTensor.from_local(
                share,
                wanted.device_mesh,
                wanted.placements,
                run_check=False,
                shape=wanted.shape,
                stride=wanted.stride(),
            )
        return nn.Parameter(share, requires_grad=wanted.requires_grad) if isinstance(wanted, nn.Parameter) else share


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from list(module.named_parameters(recurse=False))
    yield from list(module.named_buffers(recurse=False))


def _is_empty(tensor: torch.Tensor) -> bool:
    return bool(tensor.is_meta)


def rows(whole: torch.Tensor, wanted: DTensor) -> torch.Tensor:
    """The share of this process, a view."""
    share = whole
    sizes, begins = compute_local_shape_and_global_offset(wanted.shape, wanted.device_mesh, wanted.placements)
    for axis, (size, begin) in enumerate(zip(sizes, begins, strict=True)):
        share = share.narrow(axis, min(begin, whole.shape[axis]), size)
    return share


def _on_its_own(share: torch.Tensor) -> torch.Tensor:
    """Itself, or a copy of what would hold the memory of a whole tensor, or keep its place in a file."""
    is_view = share.untyped_storage().nbytes() > share.numel() * share.element_size()
    return share.clone() if is_view else share


def _handed_over(network: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """What was read, let go of one by one."""
    for path, module in network.named_modules():
        for attribute, tensor in _own(module):
            yield f"{path}.{attribute}", tensor
            setattr(module, attribute, None)


def _drawn(source: Custom, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """transformers' own first numbers for the architecture, layer by layer."""
    torch.manual_seed(seed)
    model, _ = outline(source)
    names = {id(module): path for path, module in model.named_modules()}
    # Kept until the end: a number of one that is gone would be given to another.
    outlines = [tensor for module in model.modules() for _, tensor in _own(module)]
    waiting = {id(tensor) for tensor in outlines}
    for layer in _layers(model):
        made: list[tuple[nn.Module, str]] = []
        for module in layer:
            for attribute, tensor in _own(module):
                # One that is tied to another is met twice.
                if id(tensor) in waiting:
                    waiting.remove(id(tensor))
                    real = torch.empty_like(tensor, device="cpu")
                    setattr(module, attribute, nn.Parameter(real) if isinstance(tensor, nn.Parameter) else real)
                    made.append((module, attribute))
        with torch.no_grad():
            for module in layer:
                model._initialize_weights(module)
        for module, attribute in made:
            yield f"{names[id(module)]}.{attribute}", getattr(module, attribute)
            setattr(module, attribute, None)


def _layers(model: PreTrainedModel) -> Iterator[list[nn.Module]]:
    """The modules of each decoder layer, and every module outside of them alone; what is inside comes first."""
    divided = {id(block) for block in blocks(model)}
    inside = {id(module) for block in blocks(model) for module in block.modules()}
    for module in _inside_first(model):
        if id(module) in divided:
            yield _inside_first(module)
        elif id(module) not in inside:
            yield [module]


def _inside_first(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    module.apply(found.append)
    return found
