"""What a pass keeps of each decoder layer for its backward pass: all of it, a part, or only what went in.

What is not kept is computed again when the gradients reach the layer: the same operations on the same numbers, and the same
random ones, so that losses and gradients stay as they were. `Full` keeps the input of a layer. `Selective` keeps beside it
what the fused attention kernels return, and every second product of a matrix with weights in the order in which a layer makes them
(the first, the third, …; torchtitan's "op" policy), and computes norms, activations, routing and the other products again.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from deepseek_runtime.spec import Recomputation
from deepseek_runtime.trainer.model import blocks

_ATEN = torch.ops.aten
# Products of two activations (bmm) are attention without such a kernel: its scores grow with the square of the length.
_ATTENTION = frozenset(
    {
        _ATEN._scaled_dot_product_flash_attention.default,
        _ATEN._scaled_dot_product_efficient_attention.default,
        _ATEN._scaled_dot_product_cudnn_attention.default,
        _ATEN._scaled_dot_product_fused_attention_overrideable.default,
        _ATEN._scaled_dot_product_flash_attention_for_cpu.default,
    }
)
_PRODUCTS = frozenset({_ATEN.mm.default, _ATEN.addmm.default, _ATEN._grouped_mm.default})


def recompute(model: nn.Module, level: Recomputation) -> None:
    """Has each decoder layer do so, before it is divided: gathering its weights stays outside of what is done twice."""
    if level == "None":
        return
    contexts = {"context_fn": _keeping_a_part} if level == "Selective" else {}
    for block in blocks(model):
        block.forward = _done_again(block.forward, contexts)


def _done_again(forward: Callable[..., Any], contexts: dict[str, Any]) -> Callable[..., Any]:
    """A block's forward pass that keeps less; as it is where nothing will be asked for gradients."""

    @wraps(forward)
    def keeping_less(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, **contexts, **named)

    return keeping_less


def _keeping_a_part() -> Any:
    """The two contexts, of a forward pass and of its repetition, each of which counts products for itself."""
    return create_selective_checkpoint_contexts(partial(_policy, {False: 0, True: 0}))


def _policy(
    products: dict[bool, int], context: SelectiveCheckpointContext, operation: Any, *_: Any, **__: Any
) -> CheckpointPolicy:
    if operation in _ATTENTION:
        return CheckpointPolicy.MUST_SAVE
    # What has no gradient, such as the indexer of DeepSeek-V3.2, keeps nothing anyway.
    if operation in _PRODUCTS and torch.is_grad_enabled():
        products[context.is_recompute] += 1
        if products[context.is_recompute] % 2:
            return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
