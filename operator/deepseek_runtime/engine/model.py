"""The served model: verified against its manifest, loaded, and asked for one token after another."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.checkpoint.integrity import Damaged, verify_hashes, verify_sizes
from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME
from deepseek_runtime.checkpoint.volume import read_manifest
from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.holding import Grammars
from deepseek_runtime.model_folder.files import read_json
from deepseek_runtime.model_folder.parts import GENERATION
from deepseek_runtime.pretrained import load_network, load_tokenizer

# Settings that would change an answer but are not applied here, each with the values that change nothing.
_UNUSED: Mapping[str, tuple[object, ...]] = {
    "repetition_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "max_new_tokens": (),
}


def verify(path: Path) -> int | None:
    """Checks every file against the export's manifest; returns its step, None for a model without a manifest.

    Raises Damaged: a model that differs from what was trained is not served.
    """
    if not os.path.lexists(path / MANIFEST_NAME):
        return None
    manifest = read_manifest(path)
    if manifest is None:
        raise Damaged(f"{path / MANIFEST_NAME} can't be read")
    verify_sizes(path, manifest)
    verify_hashes(path, manifest.files)
    return manifest.step


@dataclass(frozen=True)
class Usual:
    """How the model wants to be sampled where a request says nothing: its generation_config.json, as vLLM reads it.

    `unused` names settings there that this engine does not have.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A loaded model; `end_ids` are the tokens that end an answer, `max_length` counts prompt and answer. `base` is the
    digest of the base that an adapter names as its own; empty where it names none, and for a model that is no adapter.
    `grammars` holds answers to forms: an adapter shares its base's, since it shares the tokens."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    max_length: int
    grammars: Grammars
    usual: Usual = Usual()
    base: str = ""

    @staticmethod
    def load(path: Path) -> "Model":
        """Raises Invalid when the directory holds no whole model that transformers can load."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network = load_network(path, "auto").to(device).eval()
        tokenizer = load_tokenizer(path)
        given = read_json(path / GENERATION) if (path / GENERATION).exists() else {}
        ends = _end_ids(path, given, network, tokenizer)
        grammars = Grammars(tokenizer, int(network.config.vocab_size), ends)
        length = int(network.config.max_position_embeddings)
        return Model(network, tokenizer, ends, length, grammars, _usual(path, given))

    def logits(self, ids: list[int], cache: DynamicCache) -> torch.Tensor:
        """Scores of the next token in fp32, shape (vocabulary); `ids` are those not yet in the cache."""
        tokens = torch.tensor([ids], device=self.network.device)
        with torch.no_grad():
            output = self.network(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1].float()

    def empty_cache(self) -> DynamicCache:
        return DynamicCache(config=self.network.config)


def _end_ids(
    path: Path, given: Mapping[str, object], network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
    """All that are listed, and the tokenizer's: training ends its examples with that one."""
    listed = given.get("eos_token_id", network.config.eos_token_id)
    ends = listed if isinstance(listed, list) else [listed]
    if not all(number is None or type(number) is int for number in ends):
        raise Invalid(f"{path / GENERATION}: eos_token_id is {listed!r}; write a token id or a list of them")
    return frozenset(number for number in (*ends, tokenizer.eos_token_id) if number is not None)


def _usual(path: Path, given: Mapping[str, object]) -> Usual:
    """Raises Invalid for a value that no request could have."""
    unused = (name for name, neutral in _UNUSED.items() if given.get(name) not in (None, *neutral))
    temperature = _number(path, given, "temperature", least=0.0, most=2.0)
    top_p = _number(path, given, "top_p", least=1e-6, most=1.0)
    min_p = _number(path, given, "min_p", least=0.0, most=1.0, absent=0.0)
    return Usual(temperature, top_p, _top_k(path, given), min_p, tuple(unused))


def _top_k(path: Path, given: Mapping[str, object]) -> int:
    """0 for all tokens, which some write as -1."""
    value = given.get("top_k")
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < -1:
        raise Invalid(f"{path / GENERATION}: top_k is {value!r}; write a whole number, 0 for all tokens")
    return max(0, value)


def _number(
    path: Path, given: Mapping[str, object], name: str, *, least: float, most: float, absent: float = 1.0
) -> float:
    value = given.get(name)
    if value is None:
        return absent
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(f"{path / GENERATION}: {name} is {value!r}; write a number between {least:g} and {most:g}")
    return float(value)
