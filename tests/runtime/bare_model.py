"""As much of a model as requests are read by."""

from types import SimpleNamespace
from typing import cast

from deepseek_runtime.engine.model import Model, Usual
from deepseek_runtime.trainer.tokenizer import byte_tokenizer


def model(chat_template: str | None = None) -> Model:
    """As much of one as requests are read by."""
    tokenizer, network = byte_tokenizer(), SimpleNamespace(config=SimpleNamespace(vocab_size=259))
    tokenizer.chat_template = chat_template or tokenizer.chat_template
    return cast(Model, SimpleNamespace(tokenizer=tokenizer, network=network, max_length=100, usual=Usual()))
