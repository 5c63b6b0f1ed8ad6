"""`python3 -m deepseek_runtime.engine`: serves the model in DEEPSEEK_MODEL_PATH until SIGTERM."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import torch
from aiohttp import web

from deepseek_runtime import termination
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.cpu import threads_per_process
from deepseek_runtime.engine.api import application
from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.model import Model, verify
from deepseek_runtime.engine.scheduler import Scheduler
from deepseek_runtime.engine.settings import Adapter, Settings, read_settings
from deepseek_runtime.engine.state import Engine
from deepseek_runtime.reading import reading
from deepseek_runtime.stopping import release

Loaded = tuple[Model, dict[str, Model]]
"""The model, and the adapters beside it by name."""
# An idle replica still waits this long before it goes: a request may be on its way to it.
LAST_CALL_S = 2.0
LOOK_EVERY_S = 0.05
# Once the drain is over nothing more is waited for: what still runs is cut off (0 would mean for ever).
CUT_OFF_S = 0.1


def main() -> int:
    """Runs the engine; returns 0 after a drain, 64 for wrong settings or an unfit model folder, 1 for a crash."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or threads_per_process(1, os.environ)))
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        return _failed(str(error), ExitCode.INVALID)
    try:
        asyncio.run(serve(settings))
    except Invalid as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        return _failed(str(error), ExitCode.INVALID)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        traceback.print_exc()
        return _failed(f"{type(error).__name__}: {error}", 1)
    return 0


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM and for as long as the drain takes. Raises Invalid, and whatever the machine fails with."""
    metrics = Metrics(settings.served_model_name)
    scheduler = Scheduler(settings.max_concurrency, settings.queue_limit, metrics)
    engine = Engine(settings.served_model_name, scheduler, metrics, aliases=settings.aliases, key=settings.key)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    release()
    runner = web.AppRunner(application(engine), access_log=None, handler_cancellation=True, shutdown_timeout=CUT_OFF_S)
    await runner.setup()
    site = web.TCPSite(runner, port=settings.port, backlog=1024)
    await site.start()
    loading = asyncio.create_task(load(engine, settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if loading.done() and not stop.is_set():
        loading.result()
    await stopping
    await _drain(engine, settings.drain_s)
    with contextlib.suppress(asyncio.CancelledError):
        loading.cancel()
        await runner.cleanup()


async def load(engine: Engine, settings: Settings) -> None:
    """Reads the model and begins to answer. Raises Invalid for a folder that is no whole model."""
    started = time.monotonic()
    _say(f"{settings.served_model_name} is loading from {settings.model_path}; port {settings.port} says when")
    model, adapters = await _in_thread(lambda: _verified(settings.model_path, settings.adapters))
    engine.scheduler.start(model.max_length)
    engine.adapters, engine.model = adapters, model
    _say(f"{settings.served_model_name} is ready after {time.monotonic() - started:.1f} s")


async def _in_thread(load: Callable[[], Loaded]) -> Loaded:
    """Like asyncio.to_thread, but nobody waits at the end for a thread that still reads a large model."""
    future: Future[Loaded] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(load())
        except BaseException as error:  # nobody else hears of it: this thread would end, and the engine load for ever
            future.set_exception(error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await asyncio.wrap_future(future)


def _verified(path: Path, adapters: Sequence[Adapter]) -> Loaded:
    with reading(f"model folder {path}", "serve a whole model in Hugging Face form, or copy this one again"):
        step = verify(path)
        _say(f"{path} has no manifest" if step is None else f"{path} is the whole export of step {step}")
        model = Model.load(path)
        usual = model.usual
        more = f"top_p {usual.top_p:g}, top_k {usual.top_k}, min_p {usual.min_p:g}"
        _say(f"where a request says nothing: temperature {usual.temperature:g}, {more}")
        if usual.unused:
            _say(f"this engine does not apply what generation_config.json says of {', '.join(usual.unused)}")
        if why := model.grammars.why:
            _say(f"answers can't be held to a form with this tokenizer: {why}")
        # The first pass allocates and selects kernels; the first user should not wait for that.
        model.logits([min(model.end_ids, default=0)], model.empty_cache())
    return model, _beside(model, path, adapters)


def _beside(model: Model, path: Path, adapters: Sequence[Adapter]) -> dict[str, Model]:
    """The adapters by their names. peft is read where there are any: it takes seconds."""
    if not adapters:
        return {}
    from deepseek_runtime.engine.adapters import beside
    from deepseek_runtime.engine.check import base_digest

    digest = base_digest(path)
    found = {adapter.name: beside(model, digest, adapter) for adapter in adapters}
    for name, one in found.items():
        whose = "was trained beside this model" if one.base else "doesn't say beside which model it was trained"
        _say(f"adapter {name} {whose} (sha256 {digest[:12]})")
    return found


async def _drain(engine: Engine, limit_s: float) -> None:
    """Waits until everything that runs is answered, at most `limit_s`."""
    engine.draining_since_s = since = time.monotonic()
    _say(f"draining {engine.scheduler.in_flight} requests, at most {limit_s:.0f} s")
    while time.monotonic() - since < limit_s:
        idle = engine.scheduler.in_flight == 0 and engine.open_answers == 0
        if idle and time.monotonic() - since >= min(LAST_CALL_S, limit_s):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    _say(f"leaving with {engine.scheduler.in_flight} requests unanswered")


def _failed(message: str, code: int) -> int:
    _say(message)
    log = Path(os.environ.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
    termination.write(termination.Termination(termination.result_of(code), message), log)
    return code


def _say(text: str) -> None:
    print(f"engine: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread that loads or computes is in native code, which the interpreter's end would pull away
