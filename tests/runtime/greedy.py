"""What a model writes, token by token: the way that every shortcut is held against."""

import torch
from transformers import DynamicCache, PreTrainedModel


@torch.no_grad()
def greedy(model: PreTrainedModel, prompt: list[int], count: int, end_id: int | None = None) -> list[int]:
    """The `count` likeliest next tokens after one prompt, fewer where the end token is one of them."""
    cache, ids = DynamicCache(config=model.config), torch.tensor([prompt])
    produced: list[int] = []
    while len(produced) < count and end_id not in produced:
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits
        ids = logits[:, -1:].argmax(-1)
        produced.append(int(ids))
    return produced
