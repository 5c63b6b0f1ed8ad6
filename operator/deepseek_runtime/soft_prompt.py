"""Virtual tokens: learnt vectors that a model reads before every sequence, in training and in serving alike.

The model's own forward pass stays as it is. Before it, token ids become embeddings behind the virtual ones; before its
head, what came of those is cut off, so that whoever asks gets one answer for each of their own tokens. What is in a cache
is there with its virtual tokens, and gets none again.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


@dataclass
class _Pass:
    """The forward pass under way: how many tokens were asked about."""

    length: int = 0


def attach(model: PreTrainedModel, encoder: nn.Module, count: int) -> None:
    """Has the model read `count` virtual tokens first. `encoder` makes of their numbers, shape (count), vectors of the
    width of its embeddings; it becomes part of the model, so that its parameters are saved and divided like others."""
    model.prompt_encoder = encoder
    now = _Pass()
    model.register_forward_pre_hook(partial(_prepend, now, count), with_kwargs=True)
    model.get_output_embeddings().register_forward_pre_hook(partial(_cut, now))


def _prepend(
    now: _Pass, count: int, model: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    ids, cache = kwargs["input_ids"], kwargs.get("past_key_values")
    now.length = ids.shape[1]
    if cache is not None and cache.get_seq_length() > 0:
        return args, kwargs
    if kwargs.keys() & {"attention_mask", "position_ids"}:
        raise ValueError("virtual tokens are read before one whole sequence each, not before packed or padded ones")
    embedded = model.get_input_embeddings()(ids)
    virtual = model.prompt_encoder(torch.arange(count, device=ids.device)).to(embedded.dtype)
    whole = torch.cat([virtual.expand(len(ids), -1, -1), embedded], dim=1)
    return args, {**kwargs, "input_ids": None, "inputs_embeds": whole}


def _cut(now: _Pass, head: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    hidden, *others = args
    return (hidden[:, -now.length :], *others)
