"""An answer in OpenAI's forms, whole or as a stream of pieces."""

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from aiohttp import web

from deepseek_runtime.engine.request import Asked
from deepseek_runtime.engine.sequence import Answer, Finish, Piece
from deepseek_runtime.engine.state import Engine, Form


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
        async for piece in pieces:
            if piece.text or piece.finish:
                await _send(response, self._chunk([self._delta(piece, role)]))
                role = {}
        if self.asked.include_usage:
            await _send(response, {**self._chunk([]), "usage": self._usage()})
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

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
        message = {"role": "assistant", "content": text}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}

    def _delta(self, piece: Piece, role: dict[str, str]) -> dict[str, object]:
        if self.form == "completion":
            return self._choice(piece.text, piece.finish)
        return {"index": 0, "delta": {**role, "content": piece.text}, "finish_reason": piece.finish}

    def _usage(self) -> dict[str, int]:
        read, written = len(self.asked.prompt), len(self.answer.tokens)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


async def _send(response: web.StreamResponse, document: dict[str, object]) -> None:
    await response.write(f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode())
