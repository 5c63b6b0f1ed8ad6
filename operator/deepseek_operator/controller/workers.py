"""Takes keys off the queue and gives them to their kind's driver; decides when each key is due again.

A kind that raises on one poisoned object parks that object alone: it says so itself, and is tried
again with backoff, or when it is edited.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol, assert_never

from deepseek_operator.controller.bucket import TokenBucket
from deepseek_operator.controller.fence import NotLeading
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.queue import Queue
from deepseek_operator.controller.reconcile import Acted, Failed, Gone, Outcome, Reconciles, Settled
from deepseek_operator.core.resources import Resource
from deepseek_operator.ports.clock import Clock

log = logging.getLogger(__name__)

PASS_LIMIT_S = 300.0
"""Every request has its own limit; this one only frees the worker when a pass hangs on something else."""


class Meter(Protocol):
    """Counts passes."""

    def passed(self, controller: str, result: str, seconds: float) -> None:
        """One pass ended: `result` is success, requeue_after, requeue or error, as controller-runtime names them."""


async def work(
    queue: Queue[Key],
    drivers: Mapping[Resource, Reconciles],
    bucket: TokenBucket,
    meter: Meter,
    clock: Clock,
    resync_s: Callable[[], float],
) -> None:
    """One worker: passes for ever, one key at a time. Ends only when cancelled or when the lease is lost.

    `resync_s` says when a quiet object is due again though nothing happened.
    """
    while True:
        await bucket.take()
        key = await queue.get()
        started = clock.monotonic()
        try:
            async with asyncio.timeout(PASS_LIMIT_S):
                outcome = await drivers[key.resource].reconcile(key)
        except NotLeading:
            raise
        except Exception as error:
            outcome = await _parked(drivers[key.resource], key, error, clock)
        finally:
            queue.done(key)
        result = _schedule(queue, key, outcome, resync_s)
        meter.passed(key.resource.kind.lower(), result, clock.monotonic() - started)


async def _parked(driver: Reconciles, key: Key, error: Exception, clock: Clock) -> Outcome:
    try:
        async with asyncio.timeout(PASS_LIMIT_S):
            return await driver.park(key, error, clock.now())
    except NotLeading:
        raise
    except Exception:
        log.exception("%s: it can't even be parked with words", key)
        return Failed("Panic")


def _schedule(queue: Queue[Key], key: Key, outcome: Outcome, resync_s: Callable[[], float]) -> str:
    match outcome:
        case Settled(after_s):
            queue.forget(key)
            queue.add_after(key, min(resync_s(), after_s if after_s is not None else float("inf")))
            return "success" if after_s is None else "requeue_after"
        case Gone():
            queue.forget(key)
            return "success"
        case Acted():
            queue.repeat(key)
            return "requeue"
        case Failed(_, at_least_s):
            queue.retry(key, at_least_s)
            return "error"
        case _:
            assert_never(outcome)
