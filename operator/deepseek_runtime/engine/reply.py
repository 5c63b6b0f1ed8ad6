"""An answer in OpenAI's forms, whole or as a stream of pieces."""

import json
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from deepseek_runtime.chat.calls import Call, calls_of, held_calls, sure
from deepseek_runtime.engine.request import Asked
from deepseek_runtime.engine.sequence import Answer, Finish, Piece
from deepseek_runtime.engine.state import Engine, Form
from deepseek_runtime.engine.thoughts import Thought, parted, told_apart


@dataclass(frozen=True)
class _Called:
    """The last piece of an answer that calls tools."""

    text: str
    finish: Finish
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Reply:
    """Puts pieces into OpenAI's forms. `name` is that of the model that answers."""

    engine: Engine
    form: Form
    id: str
    name: str
    asked: Asked
    answer: Answer

    async def whole(self, pieces: AsyncGenerator[Piece, None]) -> web.Response:
        texts: list[str] = []
        finish: Finish | None = None
        async for piece in pieces:
            texts.append(piece.text)
            finish = piece.finish
        body = self._document([self._choice("".join(texts), finish)])
        return web.json_response({**body, "usage": self._usage()})

    async def stream(self, request: web.Request, pieces: AsyncGenerator[Piece, None]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.headers["Cache-Control"] = "no-cache"
        await response.prepare(request)
        role = {"role": "assistant"}
        async for piece in self._spoken(pieces):
            if piece.text or (not isinstance(piece, Thought) and piece.finish):
                await _send(response, self._chunk([self._delta(piece, role)]))
                role = {}
        if self.asked.include_usage:
            await _send(response, {**self._chunk([]), "usage": self._usage()})
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _spoken(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator["Piece | Thought | _Called", None]:
        """The pieces; where tools may be called, what may begin a call is held back until it is known to be one or none."""
        held = ""
        async for piece in told_apart(pieces) if self._parts_thoughts else pieces:
            if isinstance(piece, Thought) or not self.asked.has_tools:
                yield piece
                continue
            held += piece.text
            if piece.finish is None:
                end = 0 if self.asked.must_call else sure(held)
                yield replace(piece, text=held[:end])
                held = held[end:]
                continue
            said, calls = self._calls_of(held)
            yield _Called(said, piece.finish, calls) if calls else replace(piece, text=held)

    @property
    def _parts_thoughts(self) -> bool:
        """A text is what stands behind its prompt, thoughts included; a chat's message is the form alone."""
        return self.asked.thinks and self.form == "chat"

    def _calls_of(self, text: str) -> tuple[str, tuple[Call, ...]]:
        """What is said before calls, and the calls."""
        if not self.asked.must_call:
            return calls_of(text)
        calls = held_calls(text)
        return ("" if calls else text), calls

    def _document(self, choices: list[dict[str, object]]) -> dict[str, object]:
        kind = "text_completion" if self.form == "completion" else "chat.completion"
        return self._envelope(kind, choices)

    def _chunk(self, choices: list[dict[str, object]]) -> dict[str, object]:
        kind = "text_completion" if self.form == "completion" else "chat.completion.chunk"
        return self._envelope(kind, choices)

    def _envelope(self, kind: str, choices: list[dict[str, object]]) -> dict[str, object]:
        return {"id": self.id, "object": kind, "created": int(time.time()), "model": self.name, "choices": choices}

    def _choice(self, text: str, finish: Finish | None) -> dict[str, object]:
        if self.form == "completion":
            return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        thoughts, text = parted(text) if self._parts_thoughts else ("", text)
        thought = {"reasoning_content": thoughts} if thoughts else {}
        said, calls = self._calls_of(text) if self.asked.has_tools else (text, ())
        if calls:
            message = {"role": "assistant", **thought, "content": said or None, "tool_calls": self._calls(calls)}
            return {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish(finish)}
        message = {"role": "assistant", **thought, "content": text}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}

    def _calls(self, calls: Sequence[Call]) -> list[dict[str, object]]:
        return [
            {"id": f"call-{self.id}-{number}", "type": "function", "function": vars(call)}
            for number, call in enumerate(calls)
        ]

    def _delta(self, piece: "Piece | Thought | _Called", role: dict[str, str]) -> dict[str, object]:
        if isinstance(piece, Thought):
            return {"index": 0, "delta": {**role, "reasoning_content": piece.text}, "finish_reason": None}
        if isinstance(piece, _Called):
            calls = [{"index": number, **call} for number, call in enumerate(self._calls(piece.calls))]
            said = {"content": piece.text} if piece.text else {}
            return {
                "index": 0,
                "delta": {**role, **said, "tool_calls": calls},
                "finish_reason": self._finish(piece.finish),
            }
        if self.form == "completion":
            return self._choice(piece.text, piece.finish)
        return {"index": 0, "delta": {**role, "content": piece.text}, "finish_reason": piece.finish}

    def _finish(self, finish: Finish | None) -> str | None:
        """OpenAI's word for an answer that ends by calls, but for the call that a request names."""
        return "tool_calls" if finish == "stop" and not self.asked.is_named else finish

    def _usage(self) -> dict[str, int]:
        read, written = len(self.asked.prompt), len(self.answer.tokens)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


async def _send(response: web.StreamResponse, document: dict[str, object]) -> None:
    await response.write(f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode())
