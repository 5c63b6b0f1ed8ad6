"""The HTTP face of the engine: OpenAI's completions and chat, /health, /metrics.

While a pod drains it is no longer healthy, but what still arrives in the first seconds is answered: the
load balancers learn of its end a moment later than it does. Every answer then closes its connection, so
that kept-alive clients go elsewhere; otherwise a connection is closed behind an answer once it is old.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable

from aiohttp import web

from deepseek_runtime.engine import answered, errors
from deepseek_runtime.engine import request as requests
from deepseek_runtime.engine.errors import unavailable
from deepseek_runtime.engine.guard import guarded
from deepseek_runtime.engine.holding import Held
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.reply import Reply
from deepseek_runtime.engine.request import Asked, Chosen
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.sequence import Answer, Piece
from deepseek_runtime.engine.state import ENGINE, Engine, Form
from deepseek_runtime.reading import reading

Read = Callable[[object, Model], Asked]


def application(engine: Engine) -> web.Application:
    """The routes; middlewares count answers, ask for the key, and turn errors into OpenAI's form and count open answers."""
    app = web.Application(
        middlewares=[answered.counted, guarded, errors.in_words], client_max_size=errors.MAX_BODY_BYTES
    )
    app[ENGINE] = engine
    app.on_response_prepare.append(_let_go)
    app.router.add_get("/health", _health)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/v1/models", _models)
    app.router.add_post("/v1/completions", _completions)
    app.router.add_post("/v1/chat/completions", _chat)
    return app


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
        return unavailable("the model is still loading")
    return web.json_response({"object": "list", "data": [_card(engine, name) for name in engine.models]})


def _card(engine: Engine, name: str) -> dict[str, object]:
    """As vLLM tells of a model, and of an adapter beside it."""
    card = {
        "id": name,
        "object": "model",
        "owned_by": "deepseek-operator",
        "max_model_len": engine.models[name].max_length,
    }
    return {**card, "parent": engine.served_name} if name in engine.adapters else card


async def _completions(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "completion", requests.completion)


async def _chat(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "chat", requests.chat)


async def _answer(request: web.Request, form: Form, read: Read) -> web.StreamResponse:
    engine = request.app[ENGINE]
    if engine.model is None or not engine.takes_requests:
        return unavailable("the model is still loading" if engine.model is None else "this replica is shutting down")
    models = engine.models
    async with asyncio.timeout(errors.BODY_S):
        body = await request.read()

    def understood() -> tuple[Chosen, Asked]:
        with reading("the request", "send what the OpenAI API describes"):
            said = requests.read_body(body, request.charset)
            wanted = requests.chosen(said, models)
            return wanted, read(said, wanted.model)

    wanted, asked = await asyncio.get_running_loop().run_in_executor(engine.reader, understood)
    answer = Answer(wanted.model, asked.prompt, asked.sampling, await _held(engine, wanted.model, asked))
    reply = Reply(engine, form, engine.next_id(form), wanted.name, asked, answer)
    pieces = _pieces(engine.scheduler, answer)
    try:
        return await (reply.stream(request, pieces) if asked.stream else reply.whole(pieces))
    finally:
        await pieces.aclose()


async def _held(engine: Engine, model: Model, asked: Asked) -> Held | None:
    """What holds the answer to its form, compiled beside all else."""
    if (grammar := asked.grammar) is None:
        return None

    def compiled() -> Held:
        with reading(grammar.parameter, "write it in another way"):
            return model.grammars.hold(grammar, thinks=asked.thinks)

    return await asyncio.get_running_loop().run_in_executor(engine.compiler, compiled)


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
