"""The method: which parameters are trained, and what of the model goes into checkpoints and exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime import spec
from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer import adapter, export
from deepseek_runtime.trainer.lora import Lora
from deepseek_runtime.trainer.prompt import Prompt


class Method(Protocol):
    """Each of these but `prepare`, `note`, `accept` and `write` is called by all ranks together."""

    def prepare(self, model: PreTrainedModel) -> None:
        """Makes of the whole model what is trained, before it is divided: the same on every rank. Raises Invalid."""
        ...

    def begin(self, model: PreTrainedModel) -> None:
        """Gives what is trained the first numbers that come from the model's own, once it is divided and has them."""
        ...

    def note(self, model: PreTrainedModel) -> bytes | None:
        """What a checkpoint says of a method that trains beside a base (adapter.json); None where all is trained."""
        ...

    def accept(self, model: PreTrainedModel, note: bytes | None, step: int) -> None:
        """Raises Invalid where a checkpoint with this note can't be gone on from, saying what to write."""
        ...

    def trained(self, model: nn.Module) -> list[nn.Parameter]:
        """What the optimizer moves."""
        ...

    def weights(self, model: nn.Module) -> dict[str, Any]:
        """What a checkpoint holds of the model, by name: references to the live tensors."""
        ...

    def take(self, model: nn.Module, weights: dict[str, Any]) -> None:
        """Gives the model the weights of a checkpoint, as `weights` returns them."""
        ...

    def exported(self, model: PreTrainedModel, precision: spec.Precision) -> dict[str, torch.Tensor]:
        """What an export holds, on the host of rank 0; nothing on other ranks."""
        ...

    def write(
        self,
        directory: Path,
        model: PreTrainedModel,
        weights: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        source: spec.Custom | spec.Weights,
    ) -> None:
        """Writes all files of an export but its manifest, on rank 0 alone."""
        ...


class Full:
    """All parameters are trained and saved; an export is the whole model."""

    def prepare(self, model: PreTrainedModel) -> None:
        """It is trained as it is."""

    def begin(self, model: PreTrainedModel) -> None:
        """All numbers are the model's."""

    def note(self, model: PreTrainedModel) -> bytes | None:
        return None

    def accept(self, model: PreTrainedModel, note: bytes | None, step: int) -> None:
        if note is not None:
            raise Invalid(
                f"the checkpoint of step {step} holds an adapter alone, of a training of method {(kind := adapter.method_of(note))}:"
                f" write method.type {kind} as there, or start from the model that it exported (model.fromTraining)"
            )

    def trained(self, model: nn.Module) -> list[nn.Parameter]:
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def weights(self, model: nn.Module) -> dict[str, Any]:
        held: dict[str, Any] = get_model_state_dict(model)
        return held

    def take(self, model: nn.Module, weights: dict[str, Any]) -> None:
        set_model_state_dict(model, weights)

    def exported(self, model: PreTrainedModel, precision: spec.Precision) -> dict[str, torch.Tensor]:
        return export.full_weights(model, precision)

    def write(
        self,
        directory: Path,
        model: PreTrainedModel,
        weights: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        source: spec.Custom | spec.Weights,
    ) -> None:
        export.write_export(directory, model, weights, tokenizer, source)


def method_of(asked: spec.TrainingSpec, base: str | None) -> Method:
    """`base` is the digest of the weights in the model's folder, None where all of them are trained."""
    match asked.method:
        case spec.Full():
            return Full()
        case spec.LoRA() as settings:
            parameters = asked.hyperparameters
            return Lora(settings, base or "", parameters.precision, parameters.seed)
        case spec.Prompt() as settings:
            parameters = asked.hyperparameters
            return Prompt(settings, base or "", parameters.precision, parameters.seed)
