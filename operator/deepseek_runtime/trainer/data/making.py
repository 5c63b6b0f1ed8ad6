"""What becomes of one record: the example that it makes, or why it is left out; many at a time, on several cores.

Each record is judged and tokenised by itself, so that workers share them; what must be known of all records together
(which say the same again) is told by a key and a signature that come with each.
"""

import ctypes
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeAlias, cast

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.messages import Chat
from deepseek_runtime.contract import Invalid
from deepseek_runtime.pretrained import beginning_of
from deepseek_runtime.spec import LossOn, Preparation, UnicodeForm
from deepseek_runtime.trainer.data.chats import chat_record
from deepseek_runtime.trainer.data.cleaning import Cleaning, normalised
from deepseek_runtime.trainer.data.duplicates import key_of, signatures
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.data.rendering import Record, documents, pair, tokenised

Content: TypeAlias = Chat | tuple[str, str] | str
"""A chat, a prompt with its completion, or a text."""
Item: TypeAlias = tuple[str, Content]
"""A record after its place."""
# What waits for a worker, for each of them: enough that none is idle, little enough to be held.
_WAITING = 3
_PARENT_DEATH = 1


@dataclass(frozen=True)
class Made:
    """`example` is None where the record is left out for `reason`; `key` and `signature` as duplicates are told by."""

    reason: str | None
    example: Example | None = None
    key: bytes = b""
    signature: bytes = b""


@dataclass(frozen=True)
class Maker:
    """How records become examples. Only what is learnt from is judged: what is evaluated stays as it is."""

    tokenizer: PreTrainedTokenizerBase
    loss_on: LossOn
    options: Preparation
    cleaning: Cleaning

    def made(self, items: Sequence[Item], *, is_learnt: bool) -> list[Made]:
        """One for each item, in order. Raises Invalid with the place of one that no example can be made of."""
        clean = [(place, written(content, self.options.normalize)) for place, content in items]
        texts = [said(content) for _, content in clean]
        reasons = [self.cleaning.reason(text) if is_learnt else None for text in texts]
        examples = iter(self._examples([item for item, reason in zip(clean, reasons, strict=True) if reason is None]))
        made = [Made(reason) if reason else Made(None, next(examples)) for reason in reasons]
        if not is_learnt:
            return made
        return self._told(clean, texts, [self._measured(one) for one in made])

    def _examples(self, items: Sequence[Item]) -> Iterator[Example]:
        beginning = beginning_of(self.tokenizer)
        texts = [(place, content) for place, content in items if isinstance(content, str)]
        if len(texts) == len(items):
            for tokens in documents(texts, self.tokenizer, beginning):
                yield Example.after(0, tokens)
            return
        yield from tokenised(map(self._record, items), self.tokenizer, beginning)

    def _record(self, item: Item) -> Record:
        place, content = item
        if isinstance(content, Chat):
            return chat_record(place, content, self.tokenizer, self.loss_on)
        if isinstance(content, str):
            raise Invalid(f"{place} is a text among chats or pairs")
        return pair(place, *content, is_learnt_throughout=self.loss_on == "All")

    def _measured(self, made: Made) -> Made:
        if made.example is None:
            return made
        length, least, most = len(made.example.tokens), self.options.min_tokens, self.options.max_tokens
        if least is not None and length < least:
            return Made("tooShort")
        return Made("tooLong") if most is not None and length > most else made

    def _told(self, items: Sequence[Item], texts: Sequence[str], made: Sequence[Made]) -> list[Made]:
        """With what duplicates are told by, where any are looked for."""
        if self.options.deduplicate is None:
            return list(made)
        kept = [number for number, one in enumerate(made) if one.example is not None]
        rows = signatures([texts[number] for number in kept]) if self.options.deduplicate == "Near" and kept else None
        found = list(made)
        for row, number in enumerate(kept):
            signature = b"" if rows is None else rows[row].tobytes()
            found[number] = Made(None, made[number].example, key_of(repr(items[number][1])), signature)
        return found


def written(content: Content, form: UnicodeForm | None) -> Content:
    """The record as it is learnt: in that Unicode form, where one is asked for (see `normalised`)."""
    if form is None:
        return content
    match content:
        case Chat(messages, tools, unlearnt):
            parts = (cast(list[Any], normalised(list(part), form)) for part in (messages, tools))
            return Chat(tuple(next(parts)), tuple(next(parts)), unlearnt)
        case str(text):
            return str(normalised(text, form))
        case (prompt, completion):
            return str(normalised(prompt, form)), str(normalised(completion, form))


def said(content: Content) -> str:
    """What a record says that others may say as well: of a chat, what all but the system say, thoughts included."""
    match content:
        case Chat(messages):
            parts = (
                one.get(name)
                for one in messages
                if one["role"] not in ("system", "developer")
                for name in ("reasoning_content", "content")
            )
            return "\n".join(part for part in parts if isinstance(part, str))
        case str(text):
            return text
        case (prompt, completion):
            return f"{prompt}\n{completion}"


def batches_made(maker: Maker, batches: Iterable[list[Item]], *, is_learnt: bool, workers: int) -> Iterator[list[Made]]:
    """What each batch makes, in order; on one core in this process, on several in workers that end with it."""
    if workers <= 1:
        yield from (maker.made(batch, is_learnt=is_learnt) for batch in batches)
        return
    # Threads of other libraries live here: a forked process would inherit their locks, not them.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (maker,)) as pool:
        waiting: deque[Future[list[Made]]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_work, batch, is_learnt))
            if len(waiting) > _WAITING * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_MAKER: list[Maker] = []
"""Of a worker: what it was begun with."""


def _begin(maker: Maker) -> None:
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who began it says when it ends
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _MAKER.append(maker)


def _work(batch: list[Item], is_learnt: bool) -> list[Made]:
    return _MAKER[0].made(batch, is_learnt=is_learnt)
