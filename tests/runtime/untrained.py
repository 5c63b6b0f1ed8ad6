"""A model for tests of the engine that ask what it does, and not what it says."""

from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM

from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, byte_tokenizer
from tests.runtime.families import FAMILIES


def a_model(path: Path) -> Path:
    """One that knows nothing: it makes tokens, and no end."""
    fields = {**FAMILIES["qwen2"], "vocab_size": BYTE_VOCABULARY, "max_position_embeddings": 512}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path
