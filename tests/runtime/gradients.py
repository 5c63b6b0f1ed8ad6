"""What a loss has left on a model's parameters."""

import torch
from transformers import PreTrainedModel


def gradients(model: PreTrainedModel) -> list[torch.Tensor]:
    """Taken off the parameters, in their order."""
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    return found
