"""The served model: verified against its manifest, loaded, and asked for one token after another."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME
from deepseek_runtime.checkpoint.volume import Damaged, read_manifest, verify_hashes, verify_sizes
from deepseek_runtime.pretrained import load_network, load_tokenizer


def verify(path: Path) -> int | None:
    """Checks every file against the export's manifest; returns its step, None for a model without a manifest.

    Raises Damaged: a model that differs from what was trained is not served.
    """
    if not (path / MANIFEST_NAME).exists():
        return None
    manifest = read_manifest(path)
    if manifest is None:
        raise Damaged(f"{path / MANIFEST_NAME} can't be read")
    verify_sizes(path, manifest)
    verify_hashes(path, manifest.files)
    return manifest.step


@dataclass(frozen=True)
class Model:
    """A loaded model; `end_ids` are the tokens that end an answer, `max_length` counts prompt and answer."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    max_length: int

    @staticmethod
    def load(path: Path) -> "Model":
        """Raises Invalid when the directory holds no whole model that transformers can load."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network = load_network(path, "auto").to(device).eval()
        tokenizer = load_tokenizer(path)
        return Model(network, tokenizer, _end_ids(network, tokenizer), int(network.config.max_position_embeddings))

    @torch.no_grad()
    def logits(self, ids: list[int], cache: DynamicCache) -> torch.Tensor:
        """Scores of the next token in fp32, shape (vocabulary); `ids` are those not yet in the cache."""
        tokens = torch.tensor([ids], device=self.network.device)
        output = self.network(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1].float()

    def empty_cache(self) -> DynamicCache:
        return DynamicCache(config=self.network.config)


def _end_ids(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = network.generation_config.eos_token_id if network.generation_config else None
    listed = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return frozenset(int(number) for number in listed if number is not None)
