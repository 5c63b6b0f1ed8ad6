"""What is known of one engine, in one entry: schema, validation, sizing, commands, scaling and documentation read it here.

A further engine is a file with its entry and its line in ``table``. What differs from release to release is a function
of the release; what a pod of it needs (probes, ports, files, drain) is in the command that ``build`` returns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from deepseek_operator.domain.programs.arguments import NO_FLAGS, Flags
from deepseek_operator.domain.programs.engines.options import Options
from deepseek_operator.domain.programs.engines.request import AdapterKind, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import EngineMemory
from deepseek_operator.domain.values.command import Command, Refusal, Signal
from deepseek_operator.domain.values.version import Version, parse

HONOURED: Mapping[Start, frozenset[str]] = MappingProxyType(
    {
        Start.BUILT: frozenset({"args", "version", "maxModelLength", "kvCacheDtype", "watchdog", "options", "apiKey"}),
        Start.OURS: frozenset({"port", "maxConcurrency", "queueLimit", "watchdog", "apiKey"}),
        Start.WRITTEN: frozenset(
            {"command", "args", "port", "healthPath", "maxConcurrency", "queueLimit", "watchdog", "apiKey"}
        ),
    }
)
"""Those fields of ``spec.engine`` that not every engine has; the schema refuses what an engine does not honour."""
WATCHED_BY = frozenset({Signal.RUNNING, Signal.WAITING, Signal.STEP_TOKENS})
"""Signals without which nobody can tell an engine that stands still from a long answer."""


@dataclass(frozen=True)
class Grpc:
    """What a replica answers by gRPC, beside OpenAI's protocol.

    Attributes:
        port: where.
        service: the gRPC service, with its package.
        methods: those of it that clients outside may call: inference, and what tells of the server and its model. What changes
            either is its operator's.
    """

    port: int
    service: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class EngineEntry:
    """One engine.

    Attributes:
        type: ``spec.engine.type``, and the name under which profiles list image and launcher.
        title: how its makers write it.
        version: the release that is used where the user names none: the newest whose names were recorded, or that its
            manual describes; empty where there are no releases.
        oldest: the first release that is served with; None: any.
        start: who writes its command.
        memory: how it divides a device, for sizing.
        metrics: the names of its signals at a release.
        build: the command of one replica, or why there is none; None where the user writes it. Raises ValueError where
            the request's version is no release.
        flags: what the user's own arguments and variables may not say.
        options: what people set as ``spec.engine.options``, and by which flags it takes it.
        tool_parsers: its parser of tool calls for each form in which a model writes them.
        by_calendar: released as year and month, so that two numbers are complete.
        adapters: the kinds that it serves beside a model.
        asks_beside: between the model's name and the adapter's in a request for an adapter; empty: the adapter's alone.
        takes_key: whether it answers only who shows a key that it reads from a variable, and repeats it nowhere. What probes
            and Prometheus ask for stays open.
        grpc: what a replica answers by gRPC; None: nothing.
        is_offered: whether resources may name it; the others are known to sizing and to commands only.
    """

    type: str
    title: str
    version: str
    start: Start
    memory: EngineMemory
    metrics: Callable[[Version], Mapping[Signal, str]]
    build: Callable[[EngineRequest], Command | Refusal] | None
    oldest: Version | None = None
    flags: Flags = NO_FLAGS
    options: Options = field(default_factory=dict)
    tool_parsers: Mapping[Dialect, str] = field(default_factory=dict)
    by_calendar: bool = False
    adapters: frozenset[AdapterKind] = frozenset({AdapterKind.LORA})
    asks_beside: str = ""
    takes_key: bool = False
    grpc: Grpc | None = None
    is_offered: bool = False

    def asked_as(self, model: str, adapter: str) -> str:
        """What a request says as `model` to be answered by the adapter."""
        return f"{model}{self.asks_beside}{adapter}" if self.asks_beside else adapter

    @property
    def is_built(self) -> bool:
        """Whether the operator makes its command."""
        return self.start is Start.BUILT

    @property
    def honours(self) -> frozenset[str]:
        """Fields of ``spec.engine`` that it does something with, of those that not every engine has."""
        lacking = {"watchdog": not self.can_be_watched, "apiKey": not self.takes_key}
        return HONOURED[self.start] - {name for name, is_lacking in lacking.items() if is_lacking}

    @property
    def can_be_watched(self) -> bool:
        """Whether it tells what a watchdog needs."""
        return self.metric_names(None).keys() >= WATCHED_BY

    def metric_names(self, version: str | None) -> Mapping[Signal, str]:
        """The names of its signals at a release, or at the usual one. Raises ValueError where ``version`` is none."""
        return self.metrics(parse(version or self.version or "0.0"))
