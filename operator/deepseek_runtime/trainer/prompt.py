"""Prompt tuning (arXiv 2104.08691) and P-tuning v1 (arXiv 2103.10385): vectors before every sequence learn, by peft.

Prompt tuning learns the vectors themselves; P-tuning a small network that makes them, which the export needs no more.
P-tuning v2 and prefix tuning learn keys and values of every layer, and multi-head latent attention caches neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PromptEmbedding, PromptEncoder, PromptEncoderConfig, PromptTuningConfig
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime import spec
from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.adapter import PROMPT_TENSOR
from deepseek_runtime.soft_prompt import attach
from deepseek_runtime.trainer import adapter
from deepseek_runtime.trainer.beside import Beside, narrow, whole
from deepseek_runtime.trainer.export import exported_kind
from deepseek_runtime.trainer.filling import rows

_PREFIX = "prompt_encoder."
# Its experts are chosen by a table of token ids, which virtual tokens have none of.
_BY_TOKEN_IDS = ("deepseek_v4",)


@dataclass(frozen=True)
class Prompt(Beside):
    """`base` is the digest of the base's weights. Checkpoints hold the vectors, and the network that makes them, alone."""

    asked: spec.Prompt
    base: str
    precision: spec.Precision
    seed: int

    def prepare(self, model: PreTrainedModel) -> None:
        if model.config.model_type in _BY_TOKEN_IDS:
            raise Invalid(
                f"method {self.asked.kind} is not for a {model.config.model_type}, which routes by token ids, and virtual"
                " tokens have none: write method.type LoRA"
            )
        # Every rank draws the same first numbers.
        torch.manual_seed(self.seed)
        model.requires_grad_(False)
        attach(model, _encoder(self._config(model)), self.asked.virtual_tokens)
        narrow(model, self.precision)

    @torch.no_grad()
    def begin(self, model: PreTrainedModel) -> None:
        """The vectors are at first those of random words, as peft's SAMPLE_VOCAB draws them."""
        if self.asked.encoder_hidden is not None:
            return
        torch.manual_seed(self.seed)
        table, vectors = model.get_input_embeddings().weight, model.prompt_encoder.embedding.weight
        words = table.full_tensor() if isinstance(table, DTensor) else table
        chosen = words[torch.randint(len(words), (self.asked.virtual_tokens,)).to(words.device)]
        if isinstance(vectors, DTensor):
            vectors.to_local().copy_(rows(chosen, vectors))
        else:
            vectors.copy_(chosen)

    def exported(self, model: PreTrainedModel, precision: spec.Precision) -> dict[str, torch.Tensor]:
        weights = whole(model)
        if not weights:
            return {}
        encoder = _encoder(self._config(model))
        encoder.load_state_dict({name.removeprefix(_PREFIX): tensor for name, tensor in weights.items()})
        with torch.no_grad():
            vectors = encoder(torch.arange(self.asked.virtual_tokens))
        return {PROMPT_TENSOR: vectors.to(exported_kind(precision))}

    def write(
        self,
        directory: Path,
        model: PreTrainedModel,
        weights: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        source: spec.Custom | spec.Weights,
    ) -> None:
        name = source.name if isinstance(source, spec.Weights) else None
        adapter.write_adapter(directory, weights, self._config(model), self.base, name)

    def _config(self, model: PreTrainedModel) -> PromptTuningConfig | PromptEncoderConfig:
        shape = {
            "task_type": "CAUSAL_LM",
            "num_virtual_tokens": self.asked.virtual_tokens,
            "token_dim": int(model.get_input_embeddings().weight.shape[1]),
            "num_transformer_submodules": 1,
            "num_attention_heads": model.config.num_attention_heads,
            "num_layers": model.config.num_hidden_layers,
        }
        if self.asked.encoder_hidden is None:
            return PromptTuningConfig(prompt_tuning_init="SAMPLE_VOCAB", **shape)
        return PromptEncoderConfig(encoder_hidden_size=self.asked.encoder_hidden, **shape)

    def describe(self, model: PreTrainedModel) -> adapter.Note:
        settings: dict[str, object] = {"virtualTokens": self.asked.virtual_tokens}
        if self.asked.encoder_hidden is not None:
            settings["encoderHiddenSize"] = self.asked.encoder_hidden
        return adapter.Note(self.asked.kind, self.base, "prompt", settings)


def _encoder(config: PromptTuningConfig | PromptEncoderConfig) -> nn.Module:
    """peft's own: the vectors, without words to begin from, or the network that makes them."""
    if isinstance(config, PromptEncoderConfig):
        return PromptEncoder(config)
    config.inference_mode = True
    return PromptEmbedding(config, None)
