"""Who generates when: up to `max_concurrency` requests take turns, one token each; others wait in order.

One thread computes. Taking turns costs a small model little and makes an answer independent of what else
runs beside it: each forward pass has one sequence, so the same prompt gets the same numbers.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.sequence import Answer, Finish, Piece
from deepseek_runtime.reading import words


class QueueFull(Exception):
    """No place left to wait; the client should try another replica or later."""


@dataclass(eq=False)
class Ticket:
    """One request in the scheduler. `deliver` is called from the computing thread, an exception on failure."""

    answer: Answer
    deliver: Callable[[Piece | Exception], None]
    arrived_s: float
    is_cancelled: bool = False
    last_token_s: float = field(default=0.0)


class Scheduler:
    def __init__(
        self, max_concurrency: int, queue_limit: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_concurrency = max_concurrency
        self._queue_limit = queue_limit
        self._metrics = metrics
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._running: list[Ticket] = []
        self._max_length = 1
        self._progress_s = clock()
        metrics.observe(lambda: len(self._running), lambda: len(self._waiting), self.kv_usage)

    def start(self, max_length: int) -> None:
        """Begins to compute in a thread of its own. `max_length` bounds one sequence, hence the cache."""
        self._max_length = max_length
        threading.Thread(target=self._compute, name="compute", daemon=True).start()

    @property
    def in_flight(self) -> int:
        with self._changed:
            return len(self._running) + len(self._waiting)

    @property
    def standing_s(self) -> float:
        """Seconds since the last token, or since the request that found nothing before it; 0 while there is none."""
        with self._changed:
            return self._clock() - self._progress_s if self._running or self._waiting else 0.0

    def kv_usage(self) -> float:
        used = sum(ticket.answer.length for ticket in tuple(self._running))
        return min(1.0, used / (self._max_concurrency * self._max_length))

    def submit(self, answer: Answer, deliver: Callable[[Piece | Exception], None]) -> Ticket:
        """Queues a request. Raises QueueFull when all places, running and waiting, are taken."""
        with self._changed:
            free = self._max_concurrency - len(self._running)
            if len(self._waiting) >= self._queue_limit + free:
                raise QueueFull
            ticket = Ticket(answer, deliver, self._clock())
            if not self._running and not self._waiting:
                self._progress_s = ticket.arrived_s
            self._waiting.append(ticket)
            self._changed.notify()
            return ticket

    def cancel(self, ticket: Ticket) -> None:
        """The client is gone: the request leaves before its next token."""
        with self._changed:
            ticket.is_cancelled = True
            self._changed.notify()

    def turn(self) -> None:
        """One token for everybody who runs, after places are filled from the queue."""
        self._admit()
        for ticket in tuple(self._running):
            if ticket.is_cancelled:
                self._end(ticket, "abort")
            else:
                self._advance(ticket)

    def _compute(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._running or self._waiting)
            self.turn()

    def _admit(self) -> None:
        with self._changed:
            for gone in [ticket for ticket in self._waiting if ticket.is_cancelled]:
                self._waiting.remove(gone)
                self._metrics.finished("abort")
            while self._waiting and len(self._running) < self._max_concurrency:
                ticket = self._waiting.popleft()
                self._running.append(ticket)
                self._metrics.queue.observe(self._clock() - ticket.arrived_s)

    def _advance(self, ticket: Ticket) -> None:
        try:
            piece = ticket.answer.step()
        except BaseException as error:  # one request's failure is its own, whatever it is: also a panic in Rust
            self._end(ticket, "abort")
            ticket.deliver(error if isinstance(error, Exception) else RuntimeError(words(error)))
            return
        self._count(ticket)
        if piece.finish is not None:
            self._end(ticket, piece.finish)
        ticket.deliver(piece)

    def _count(self, ticket: Ticket) -> None:
        now = self._progress_s = self._clock()
        if len(ticket.answer.tokens) == 1:
            self._metrics.first_token.observe(now - ticket.arrived_s)
            self._metrics.prompt_tokens.inc(len(ticket.answer.prompt))
        else:
            self._metrics.between_tokens.observe(now - ticket.last_token_s)
        self._metrics.generation_tokens.inc()
        ticket.last_token_s = now

    def _end(self, ticket: Ticket, reason: Finish) -> None:
        with self._changed:
            self._running.remove(ticket)
        self._metrics.finished(reason)
        if reason != "abort":
            self._metrics.request.observe(self._clock() - ticket.arrived_s)
