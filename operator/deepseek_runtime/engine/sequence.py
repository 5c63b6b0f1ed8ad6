"""One request while it is answered: what was asked, what was produced, when it ends.

The text is decoded anew from all tokens at each step, because a character may span several of them. What
could still become a stop text, or half of a character, is held back until it is decided.
"""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Literal

import torch
from transformers import DynamicCache

from deepseek_runtime.engine.holding import Held
from deepseek_runtime.engine.model import Model

Finish = Literal["stop", "length", "abort"]
_INCOMPLETE = "\ufffd"
# Dividing by less overflows; the likeliest token has all the chance long before.
GREEDY_BELOW = 1e-5


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: temperature 0 is the likeliest one; `seed` None is a fresh one.

    `top_k` leaves that many tokens, 0 all; `min_p` those that have at least that part of the likeliest one's chance.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True)
class Piece:
    """Newly decided text; `finish` is set on the last piece."""

    text: str
    finish: Finish | None


@dataclass
class Answer:
    """The growing answer to one prompt; `held` holds it to a grammar, None leaves it free."""

    model: Model
    prompt: Items[int]
    sampling: Sampling
    held: Held | None = None
    tokens: list[int] = field(default_factory=list)
    _sent: int = 0

    def __post_init__(self) -> None:
        self._cache: DynamicCache = self.model.empty_cache()
        self._source = torch.Generator()
        if self.sampling.seed is None:
            self._source.seed()
        else:
            self._source.manual_seed(self.sampling.seed)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return len(self.prompt) + len(self.tokens)

    def step(self) -> Piece:
        """Produces one token; the first call reads the whole prompt."""
        ids = list(self.prompt) if not self.tokens else self.tokens[-1:]
        logits = self.model.logits(ids, self._cache)
        token = self._chosen(logits) if self.held is None else self.held.next(logits, self._chosen)
        self.tokens.append(token)
        ended = token in self.model.end_ids and not self.sampling.ignore_eos
        return self._piece(self._text(), ended or (self.held is not None and self.held.is_over))

    def _chosen(self, logits: torch.Tensor) -> int:
        return choose(logits, self.sampling, self._source)

    def _text(self) -> str:
        if self.held is not None:
            return self.held.text()
        return str(self.model.tokenizer.decode(self.tokens, skip_special_tokens=True))

    def _piece(self, text: str, ended: bool) -> Piece:
        places = [place for stop in self.sampling.stop if (place := text.find(stop)) >= 0]
        if places:
            return self._send(text[: min(places)], "stop")
        if ended:
            return self._send(text, "stop")
        if len(self.tokens) >= self.sampling.max_tokens:
            return self._send(text, "length")
        held = max((len(stop) - 1 for stop in self.sampling.stop), default=0)
        decided = text.rstrip(_INCOMPLETE)
        return self._send(decided[: max(self._sent, len(decided) - held)], None)

    def _send(self, text: str, finish: Finish | None) -> Piece:
        fresh = text[self._sent :]
        self._sent = max(self._sent, len(text))
        return Piece(fresh, finish)


def choose(logits: torch.Tensor, sampling: Sampling, source: torch.Generator) -> int:
    """The next token: the likeliest at temperature 0, else drawn from the smallest set that holds `top_p` of the chance of
    what `min_p` and `top_k` leave: vLLM's order (v1/sample: min_p, then top_k, then top_p). Equal ones all stay."""
    if sampling.temperature < GREEDY_BELOW:
        return int(logits.argmax())
    chances = torch.softmax(logits.cpu() / sampling.temperature, -1)
    if sampling.min_p > 0:
        chances = chances.masked_fill(chances < sampling.min_p * chances.max(), 0.0)
    if 0 < sampling.top_k < len(chances):
        chances = chances.masked_fill(chances < chances.topk(sampling.top_k).values[-1], 0.0)
    if sampling.top_p < 1:
        chances = chances / chances.sum()
        ordered, places = chances.sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        chances = torch.zeros_like(chances).scatter(-1, places, ordered.masked_fill(outside, 0.0))
    return int(torch.multinomial(chances, 1, generator=source))
