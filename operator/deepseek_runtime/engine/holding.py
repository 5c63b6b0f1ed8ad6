"""Answers that are held to a grammar: which tokens may come next, and when the answer may end.

llguidance says for each step which tokens lead on, as a bit for each; all others get no chance. The text of such an answer is
the bytes that the grammar was read by, not what the tokenizer's decoder makes of the tokens: some drop a space, or mend one.
Where the prompt leaves the model thinking, its thoughts are free, and the grammar begins behind `</think>`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.grammar import Grammar
from deepseek_runtime.engine.trial import limits, wrong_with
from deepseek_runtime.reading import CONTROL, words

THINKS, THOUGHT = "<think>", "</think>"
MOST_KEPT = 32
"""Compiled grammars, of some megabytes each where they are large; a service asks for a few, again and again."""
# Enough tokens to hold the end of thoughts, were each a byte, and what stands before it in the first of them.
_TAIL = 16


class Grammars:
    """The grammars of one tokenizer, compiled once each. `why` says what keeps it from holding answers; empty: nothing does."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, end_ids: frozenset[int]) -> None:
        """`vocabulary` counts the logits: a network may have more than the tokenizer has tokens."""
        self._decoder, self._end_ids, self.why = tokenizer, end_ids, ""
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        try:
            count = max(vocabulary, len(tokenizer))
            self._tokens: LLTokenizer = from_tokenizer(tokenizer, count, sorted(end_ids) or None)
        except CONTROL:
            raise
        except BaseException as error:  # a panic in Rust is no Exception
            self.why = words(error)

    def hold(self, grammar: Grammar, *, thinks: bool) -> "Held":
        """What holds one answer. Compiles a new grammar, in a second or so. Raises Invalid for one that can't be."""
        if self.why:
            raise Invalid(
                f"{grammar.parameter} is not supported with this model's tokenizer ({self.why}); leave it out"
            )
        with self._lock:
            matcher = self._kept.pop(grammar.text, None)
        if matcher is None:  # without the lock: the computing thread may want to forget one
            matcher = self._compiled(grammar)
        with self._lock:
            self._kept[grammar.text] = matcher
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return Held(self, grammar, self._tokens, matcher.deep_copy(), self._decoder, self._end_ids, thinks=thinks)

    def forget(self, grammar: Grammar) -> None:
        """It has led to an error, after which what it shares with its copies is of no more use."""
        with self._lock:
            self._kept.pop(grammar.text, None)

    def _compiled(self, grammar: Grammar) -> LLMatcher:
        if wrong := wrong_with(grammar.text):
            raise _refused(grammar, wrong)
        matcher = LLMatcher(self._tokens, grammar.text, log_level=0, limits=limits())
        if matcher.is_error():
            raise _refused(grammar, str(matcher.get_error()))
        return matcher


class Held:
    """One answer's place in its grammar. Used by the computing thread alone."""

    def __init__(
        self,
        grammars: Grammars,
        grammar: Grammar,
        tokens: LLTokenizer,
        matcher: LLMatcher,
        decoder: PreTrainedTokenizerBase,
        end_ids: frozenset[int],
        *,
        thinks: bool,
    ) -> None:
        self._grammars, self._grammar, self._tokens, self._matcher = grammars, grammar, tokens, matcher
        self._decoder, self._ends = decoder, sorted(end_ids)
        self.thinks = thinks
        self._thoughts: list[int] = []
        self._answer: list[int] = []

    @property
    def is_over(self) -> bool:
        """Nothing but the end may follow."""
        return bool(self._matcher.is_stopped())

    def next(self, logits: torch.Tensor, choose: Callable[[torch.Tensor], int]) -> int:
        """The next token, chosen among those that may come. Raises Invalid where the grammar has grown too large."""
        if self.thinks:
            return self._thought(logits, choose)
        allowed = self._allowed(len(logits)).to(logits.device)
        token = choose(logits.masked_fill(~allowed, -torch.inf))
        self._matcher.consume_token(token)
        self._check()
        if token not in self._ends:
            self._answer.append(token)
        return token

    def text(self) -> str:
        """All that was said: thoughts, their end, and what the grammar has read."""
        said: str = self._decoder.decode(self._thoughts, skip_special_tokens=False) if self._thoughts else ""
        if not self.thinks and self._thoughts:
            said = said.partition(THOUGHT)[0] + THOUGHT
        return said + bytes(self._tokens.decode_bytes(self._answer)).decode(errors="replace")

    def _thought(self, logits: torch.Tensor, choose: Callable[[torch.Tensor], int]) -> int:
        """One that is free, but does not end the answer, nor begin it with the last letters of the thoughts' end."""
        logits = logits.clone()
        logits[self._ends] = -torch.inf
        while True:
            token = choose(logits)
            tail = self._decoder.decode([*self._thoughts[-_TAIL:], token], skip_special_tokens=False)
            _, is_end, after = tail.partition(THOUGHT)
            if not after.strip():
                self._thoughts.append(token)
                self.thinks = not is_end
                return token
            logits[token] = -torch.inf

    def _allowed(self, count: int) -> torch.Tensor:
        bits = numpy.unpackbits(numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8), bitorder="little")
        self._check()
        allowed = torch.zeros(count, dtype=torch.bool)
        allowed[: len(bits)] = torch.from_numpy(bits[:count]).bool()
        return allowed

    def _check(self) -> None:
        if self._matcher.is_error():
            self._grammars.forget(self._grammar)
            raise _refused(self._grammar, str(self._matcher.get_error()))


def _refused(grammar: Grammar, wrong: str) -> Invalid:
    said = " ".join(wrong.replace("<non-verbose/>", "").split())
    return Invalid(f"{grammar.parameter} can't be held to: {said[:600]}; write a simpler one, or say it in the prompt")
