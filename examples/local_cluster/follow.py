"""The loop of our own small controllers: one pass whenever something that they look at has changed."""

import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from queue import Empty, Queue
from threading import Thread

from examples.local_cluster.api import Api, ApiError

# A pass without any change: repairs what a lost event would have told.
EVERY_S = 30


def reconcile_for_ever(api: Api, paths: Sequence[str], reconcile: Callable[[], None]) -> None:
    """Watch collections and call `reconcile` after each burst of events; an unreachable server is waited for."""
    changed: Queue[None] = Queue()
    for path in paths:
        Thread(target=_watch, args=(api, path, changed), daemon=True).start()
    while True:
        try:
            reconcile()
        except (OSError, HTTPException, ApiError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            time.sleep(1)
            continue
        _wait(changed)


def _wait(changed: "Queue[None]") -> None:
    try:
        changed.get(timeout=EVERY_S)
        while True:
            changed.get_nowait()
    except Empty:
        pass


def _watch(api: Api, path: str, changed: "Queue[None]") -> None:
    while True:
        try:
            for _ in api.watch(path):
                changed.put(None)
        except (OSError, HTTPException, ApiError, ValueError):
            time.sleep(1)
