"""The HTTP face of the engine: OpenAI's completions and chat, /health, /metrics.

While a pod drains it is no longer healthy, but what still arrives in the first seconds is answered: the
load balancers learn of its end a moment later than it does. Every answer then closes its connection, so
that kept-alive clients go elsewhere; otherwise a connection is closed behind an answer once it is old.
"""

import asyncio
import contextlib
import json
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

from aiohttp import web

from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine import request as requests
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.request import Asked, NoSuchModel
from deepseek_runtime.engine.scheduler import QueueFull, Scheduler
from deepseek_runtime.engine.sequence import Answer, Finish, Piece
from deepseek_runtime.reading import reading, words

Form = Literal["completion", "chat"]
Read = Callable[[object, Model, str], Asked]

# Endpoints and kube-proxy follow a pod's end within a few seconds; later arrivals were sent in error.
LATE_ARRIVALS_S = 5.0
RETRY_AFTER_S = "1"
# A busy engine makes a token now and then; only reading a very long prompt takes minutes. The pod leaves the Service
# after this, and is restarted if it stays so for the liveness probe's two minutes more.
STALL_S = 120.0
# Soon enough for new replicas to take their share of the load, and rare enough to cost nothing.
CONNECTION_AGE_S = 10.0
MAX_BODY_BYTES = 8 << 20
# A client that takes longer to send so much holds a place in the drain for nothing.
BODY_S = 60.0
_WORDS = 2000


@dataclass
class Engine:
    """What the handlers share. `model` is None until it is loaded; `draining_since_s` until SIGTERM."""

    served_name: str
    scheduler: Scheduler
    metrics: Metrics
    model: Model | None = None
    draining_since_s: float | None = None
    open_answers: int = 0
    connection_age_s: float = CONNECTION_AGE_S
    connections: WeakKeyDictionary[asyncio.Transport, float] = field(default_factory=WeakKeyDictionary)
    # One prompt at a time: to tokenize 8 MiB takes seconds, in which /health must be answered.
    reader: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="read"))
    _count: int = field(default=0)

    @property
    def is_healthy(self) -> bool:
        """False also when requests run and no token comes: the process answers, but nobody is served."""
        stalled = self.scheduler.standing_s > STALL_S
        return self.model is not None and self.draining_since_s is None and not stalled

    @property
    def takes_requests(self) -> bool:
        late = self.draining_since_s is not None and time.monotonic() - self.draining_since_s > LATE_ARRIVALS_S
        return self.model is not None and not late

    def next_id(self, form: Form) -> str:
        self._count += 1
        return f"{'cmpl' if form == 'completion' else 'chatcmpl'}-{self._count}"


ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)


def application(engine: Engine) -> web.Application:
    """The routes; a middleware turns errors into OpenAI's form and counts open answers."""
    app = web.Application(middlewares=[_errors], client_max_size=MAX_BODY_BYTES)
    app[ENGINE] = engine
    app.on_response_prepare.append(_let_go)
    app.router.add_get("/health", _health)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/v1/models", _models)
    app.router.add_post("/v1/completions", _completions)
    app.router.add_post("/v1/chat/completions", _chat)
    return app


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    engine = request.app[ENGINE]
    engine.open_answers += 1
    try:
        return await handler(request)
    except NoSuchModel as error:
        return _error(404, str(error), "NotFoundError")
    except Invalid as error:
        if (
            error.__cause__ is not None
        ):  # nobody thought of it: it may be a mistake of ours that looks like the client's
            traceback.print_exception(error.__cause__)
        return _error(400, str(error), "BadRequestError")
    except web.RequestPayloadError as error:
        response = _error(400, f"the body can't be read: {words(error)}", "BadRequestError")
        response.force_close()
        return response
    except TimeoutError:
        response = _error(408, f"the body did not come within {BODY_S:.0f} s", "RequestTimeoutError")
        response.force_close()
        return response
    except web.HTTPRequestEntityTooLarge:
        return _error(413, f"the body exceeds {MAX_BODY_BYTES >> 20} MiB", "RequestEntityTooLargeError")
    except QueueFull:
        response = _error(429, "all places are taken, running and waiting; try again", "TooManyRequestsError")
        response.headers["Retry-After"] = RETRY_AFTER_S
        return response
    finally:
        engine.open_answers -= 1


async def _let_go(request: web.Request, response: web.StreamResponse) -> None:
    """Closes the connection behind an answer: while draining, and of a client that has been here for long. A Service
    balances connections, not requests: clients that keep theirs would never reach a replica that came later."""
    engine, now_s = request.app[ENGINE], time.monotonic()
    since_s = engine.connections.setdefault(request.transport, now_s) if request.transport is not None else now_s
    if engine.draining_since_s is not None or now_s - since_s >= engine.connection_age_s:
        response.force_close()
        response.headers["Connection"] = "close"


async def _health(request: web.Request) -> web.Response:
    return web.Response(status=200 if request.app[ENGINE].is_healthy else 503)


async def _metrics(request: web.Request) -> web.Response:
    body = request.app[ENGINE].metrics.exposition()
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _models(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    if engine.model is None:
        return _unavailable("the model is still loading")
    card = {"id": engine.served_name, "object": "model", "owned_by": "deepseek-operator"}
    return web.json_response({"object": "list", "data": [{**card, "max_model_len": engine.model.max_length}]})


async def _completions(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "completion", requests.completion)


async def _chat(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "chat", requests.chat)


async def _answer(request: web.Request, form: Form, read: Read) -> web.StreamResponse:
    engine = request.app[ENGINE]
    if engine.model is None or not engine.takes_requests:
        return _unavailable("the model is still loading" if engine.model is None else "this replica is shutting down")
    model = engine.model
    async with asyncio.timeout(BODY_S):
        body = await request.read()

    def understood() -> Asked:
        with reading("the request", "send what the OpenAI API describes"):
            return read(requests.read_body(body, request.charset), model, engine.served_name)

    asked = await asyncio.get_running_loop().run_in_executor(engine.reader, understood)
    answer = Answer(model, asked.prompt, asked.sampling)
    reply = _Reply(engine, form, engine.next_id(form), asked, answer)
    pieces = _pieces(engine.scheduler, answer)
    try:
        return await (reply.stream(request, pieces) if asked.stream else reply.whole(pieces))
    finally:
        await pieces.aclose()


def _pieces(scheduler: Scheduler, answer: Answer) -> AsyncGenerator[Piece, None]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Piece | Exception] = asyncio.Queue()

    def deliver(piece: Piece | Exception) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the drain was over before this token was made
            loop.call_soon_threadsafe(queue.put_nowait, piece)

    ticket = scheduler.submit(answer, deliver)

    async def iterate() -> AsyncGenerator[Piece, None]:
        is_over = False
        try:
            while not is_over:
                piece = await queue.get()
                if isinstance(piece, Exception):
                    raise piece
                is_over = piece.finish is not None
                yield piece
        finally:
            if not is_over:
                scheduler.cancel(ticket)

    return iterate()


@dataclass(frozen=True)
class _Reply:
    """Puts pieces into OpenAI's forms."""

    engine: Engine
    form: Form
    id: str
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
        name = self.engine.served_name
        return {"id": self.id, "object": kind, "created": int(time.time()), "model": name, "choices": choices}

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


def _unavailable(message: str) -> web.Response:
    response = _error(503, message, "ServiceUnavailableError")
    response.headers["Retry-After"] = RETRY_AFTER_S
    response.force_close()
    return response


def _error(status: int, message: str, kind: str) -> web.Response:
    # What a client sent is quoted; it need not get megabytes of it back.
    told = {"message": message[:_WORDS], "type": kind, "code": status}
    return web.json_response({"error": told}, status=status)
