"""A model and its tokenizer, whole on this process, as a training of one process starts from them."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.spec import Custom, Weights
from deepseek_runtime.trainer.filling import fill
from deepseek_runtime.trainer.model import outline


def build(source: Custom | Weights, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """All of it, in fp32. Raises Invalid."""
    model, tokenizer = outline(source)
    fill(model, source, seed, torch.device("cpu"), 1)
    return model, tokenizer
