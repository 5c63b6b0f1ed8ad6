"""Thoughts of an answer that is held to a form, told apart from the form, so that what a client reads is the form alone."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from deepseek_runtime.chat.calls import overlap
from deepseek_runtime.engine.holding import THOUGHT
from deepseek_runtime.engine.sequence import Piece


@dataclass(frozen=True)
class Thought:
    """A piece of what the model thinks before it answers."""

    text: str


def parted(text: str) -> tuple[str, str]:
    """Thoughts and answer of a whole text; no answer where the thoughts were cut off."""
    thoughts, _, answer = text.partition(THOUGHT)
    return thoughts, answer


async def told_apart(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece | Thought, None]:
    """The same as it comes; what may begin the end of thoughts is held back until it is known to be it or not."""
    held, thinks = "", True
    async for piece in pieces:
        if not thinks:
            yield piece
            continue
        held += piece.text
        thoughts, found, answer = held.partition(THOUGHT)
        if found or piece.finish is not None:
            thinks = False
            yield Thought(thoughts)
            yield Piece(answer, piece.finish)
        else:
            end = len(held) - overlap(held, THOUGHT)
            yield Thought(held[:end])
            held = held[end:]
