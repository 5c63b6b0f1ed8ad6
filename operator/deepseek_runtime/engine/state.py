"""What the handlers of requests share: the model, who computes, and whether the pod still takes requests."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

from aiohttp import web

from deepseek_runtime.engine.metrics import Metrics
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.scheduler import Scheduler

Form = Literal["completion", "chat"]

# Endpoints and kube-proxy follow a pod's end within a few seconds; later arrivals were sent in error.
LATE_ARRIVALS_S = 5.0
# A busy engine makes a token now and then; only reading a very long prompt takes minutes. The pod leaves the Service
# after this, and is restarted if it stays so for the liveness probe's two minutes more.
STALL_S = 120.0
# Soon enough for new replicas to take their share of the load, and rare enough to cost nothing.
CONNECTION_AGE_S = 10.0


@dataclass
class Engine:
    """What the handlers share. `model` is None until it is loaded, `adapters` beside it by their names; `aliases` are names
    of the model beside `served_name`; `draining_since_s` is None until SIGTERM; `key` is asked for where there is one."""

    served_name: str
    scheduler: Scheduler
    metrics: Metrics
    model: Model | None = None
    adapters: dict[str, Model] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    draining_since_s: float | None = None
    key: str = field(default="", repr=False)
    open_answers: int = 0
    connection_age_s: float = CONNECTION_AGE_S
    connections: WeakKeyDictionary[asyncio.Transport, float] = field(default_factory=WeakKeyDictionary)
    # One prompt at a time: to tokenize 8 MiB takes seconds, in which /health must be answered.
    reader: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="read"))
    # One at a time as well, and aside: who sends a large one waits with those alone that send new ones.
    compiler: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="grammar"))
    _count: int = field(default=0)

    @property
    def is_healthy(self) -> bool:
        """False also when requests run and no token comes: the process answers, but nobody is served."""
        stalled = self.scheduler.standing_s > STALL_S
        return self.model is not None and self.draining_since_s is None and not stalled

    @property
    def models(self) -> Mapping[str, Model]:
        """Everything that answers by its name, the base first; nothing while it is loading."""
        if self.model is None:
            return {}
        return {**dict.fromkeys((self.served_name, *self.aliases), self.model), **self.adapters}

    @property
    def takes_requests(self) -> bool:
        late = self.draining_since_s is not None and time.monotonic() - self.draining_since_s > LATE_ARRIVALS_S
        return self.model is not None and not late

    def next_id(self, form: Form) -> str:
        self._count += 1
        return f"{'cmpl' if form == 'completion' else 'chatcmpl'}-{self._count}"


ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
