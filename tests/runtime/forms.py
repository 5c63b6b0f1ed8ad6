"""Forms, and a model that says anything, over tokenizers of every family that is served."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from deepseek_runtime.chat.template import DEEPSEEK
from deepseek_runtime.engine.holding import Grammars
from deepseek_runtime.engine.model import Model, Usual
from deepseek_runtime.engine.request import Asked
from deepseek_runtime.engine.sequence import Answer, Piece
from deepseek_runtime.trainer.tokenizer import byte_tokenizer

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
WANTED = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": SCHEMA}}
SAID = [{"role": "user", "content": "Paris?"}]
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "city", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "ping"}},
    {
        "type": "function",
        "function": {
            "name": "é",
            "parameters": {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/a"}},
                "$defs": {"a": {"enum": [1, 2]}},
            },
        },
    },
]

PARAMETERS = {tool["function"]["name"]: tool["function"].get("parameters") for tool in TOOLS}


def sentence_pieces() -> PreTrainedTokenizerBase:
    """As Llama's: words that begin by a space of their own, bytes for what has none, and a decoder that drops the first."""
    words = [f"▁{one}" for one in ("a", "city", "{", "[", '"', "1", "true")]
    single = [chr(number) for number in range(33, 127)]
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256)), "▁", *single, *words]
    tokenizer = Tokenizer(
        models.BPE(vocab={one: at for at, one in enumerate(entries)}, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def byte_level() -> PreTrainedTokenizerBase:
    """Merges of several bytes, white space and quotes among them, as Qwen's and DeepSeek's have."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    from tokenizers.trainers import BpeTrainer

    text = ['{"city": "Paris",\n "people": [1, 22, 333]} true false null caf\u00e9 \u65e5\u672c'] * 9
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        text, BpeTrainer(vocab_size=340, initial_alphabet=alphabet, special_tokens=["<eos>"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", clean_up_tokenization_spaces=True)


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "bytes": byte_tokenizer,
    "byte-level": byte_level,
    "sentencepiece": sentence_pieces,
}

PADDED = 45
"""Logits beyond the tokenizer's last: networks are padded to round numbers."""


@cache
def grammars(kind: str) -> Grammars:
    tokenizer = TOKENIZERS[kind]()
    return Grammars(tokenizer, len(tokenizer) + PADDED, frozenset({tokenizer.eos_token_id}))


class Drawn:
    """A model that says anything: logits are drawn, its end is as likely as the rest, padding is likeliest of all."""

    def __init__(self, kind: str, seed: int = 0, template: str | None = None) -> None:
        self.tokenizer = TOKENIZERS[kind]()
        self.tokenizer.chat_template = template or DEEPSEEK
        self.end_ids = frozenset({self.tokenizer.eos_token_id})
        self.max_length, self.usual, self.grammars = 100_000, Usual(), grammars(kind)
        self.width = len(self.tokenizer) + PADDED
        self.network = SimpleNamespace(config=SimpleNamespace(vocab_size=self.width))
        self._source = torch.Generator().manual_seed(seed)

    def logits(self, ids: list[int], cache: object) -> torch.Tensor:
        logits = torch.randn(self.width, generator=self._source) * 3
        logits[-PADDED:] += 20
        return logits

    def empty_cache(self) -> None:
        return None


def answered(asked: Asked, model: Any) -> tuple[list[Piece], Answer]:
    held = model.grammars.hold(asked.grammar, thinks=asked.thinks) if asked.grammar else None
    answer = Answer(cast(Model, model), asked.prompt, asked.sampling, held)
    pieces = [answer.step()]
    while pieces[-1].finish is None:
        pieces.append(answer.step())
    return pieces, answer


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
