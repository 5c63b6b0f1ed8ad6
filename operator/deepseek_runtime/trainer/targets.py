"""Which matrices of a model an adapter stands beside, from what its user wrote.

Attention and Linear are found by where a layer lies, so that they mean the same in every architecture: the projections
of a dense model's attention, of multi-head latent attention, of whatever comes next. Experts are tensors of three
dimensions in transformers 5, all experts of a layer in one. Embeddings, the head, routers and norms are never adapted.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn
from transformers import PreTrainedModel

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import EXPERTS

ATTENTION, LINEAR = "Attention", "Linear"
# Chooses tokens for sparse attention; no gradient of the loss passes the choice, so an adapter there would never move.
_UNLEARNT = "indexer"


@dataclass(frozen=True)
class Targets:
    """`layers` are linear ones, `tensors` those of fused experts; each by the shortest end of its path that means no other."""

    layers: tuple[str, ...]
    tensors: tuple[str, ...]


def targets_of(model: PreTrainedModel, asked: Collection[str]) -> Targets:
    """What `asked` means in this model. Raises Invalid for a word that means nothing there, with the nearest that does."""
    layers, tensors = _layers(model), _experts(model)
    chosen_layers: set[str] = set()
    chosen_tensors: set[str] = set()
    for word in asked:
        match word:
            case "Attention":
                chosen_layers |= {path for path in layers if ".self_attn." in path}
            case "Linear":
                chosen_layers |= layers
            case "Experts":
                chosen_tensors |= tensors
            case _ if found := _ending(layers, word):
                chosen_layers |= found
            case _:
                chosen_tensors |= _ending(tensors, word)
        if not (
            _ending(layers | tensors, word) or (word in (ATTENTION, LINEAR) and layers) or (word == EXPERTS and tensors)
        ):
            raise Invalid(_unknown(word, layers, tensors))
    there = {path for path, _ in model.named_modules()} | {path for path, _ in model.named_parameters()}
    return Targets(_shortest(chosen_layers, there), _shortest(chosen_tensors, there))


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's blocks, by the class names that the model says must not be split."""
    names = set(model._no_split_modules or ())
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and any(type(block).__name__ in names for block in module):
            return module
    raise Invalid(f"method LoRA finds no blocks in a {model.config.model_type}: write method.type Full")


def _layers(model: PreTrainedModel) -> set[str]:
    """Paths of the linear layers inside the decoder's blocks. Layers with a rule of their own are none."""
    return {path for path, module in _inside(model) if type(module) is nn.Linear and _UNLEARNT not in path.split(".")}


def _experts(model: PreTrainedModel) -> set[str]:
    """Paths of the tensors that hold all experts of a layer."""
    return {
        f"{path}.{name}"
        for path, module in _inside(model)
        for name, tensor in module.named_parameters(recurse=False)
        if tensor.ndim == 3 and path.rpartition(".")[2] == "experts"
    }


def _inside(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    blocks = blocks_of(model)
    (place,) = (path for path, module in model.named_modules() if module is blocks)
    yield from ((f"{place}.{path}", module) for path, module in blocks.named_modules() if "." in path)


def _ending(paths: Collection[str], word: str) -> set[str]:
    return {path for path in paths if path == word or path.endswith(f".{word}")}


def _shortest(chosen: Collection[str], there: Collection[str]) -> tuple[str, ...]:
    """The shortest ends of paths by which all that is chosen is meant, and nothing else that is there."""
    found: set[str] = set()
    for path in sorted(chosen):
        parts = path.split(".")
        ends = (".".join(parts[first:]) for first in reversed(range(len(parts))))
        found.add(next(end for end in ends if _ending(there, end) <= set(chosen)))
    return tuple(sorted(found))


def _unknown(word: str, layers: Collection[str], tensors: Collection[str]) -> str:
    if word == EXPERTS:
        return f"method.lora.targets names {EXPERTS}, and this model has none: write {ATTENTION} or {LINEAR}"
    known = sorted({path.rpartition(".")[2] for path in layers} | {".".join(path.split(".")[-2:]) for path in tensors})
    near = get_close_matches(word, [*known, ATTENTION, LINEAR, EXPERTS], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return (
        f"method.lora.targets names {word}, which is no linear layer inside this model's blocks: {hint}It has"
        f" {', '.join(known)}; {ATTENTION} and {LINEAR} mean several of them at once"
    )
