"""What a builder returns: the exact command of a container, or the reason why there is none and what to write instead.

Engines and trainers both answer with these values; turning them into manifests is left to the kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Variables = tuple[tuple[str, str], ...]
"""Environment variables in the order in which they are set; Kubernetes expands ``$(NAME)`` of earlier ones."""


def literal(text: str) -> str:
    """Return a user's string so that Kubernetes passes it on as it is, instead of expanding ``$(NAME)`` in it."""
    return text.replace("$(", "$$(")


@dataclass(frozen=True)
class Refusal:
    """What can't be done, in one sentence with its numbers, and what to write instead."""

    reason: str
    instead: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.instead}"


@dataclass(frozen=True)
class Port:
    """A named container port."""

    name: str
    number: int


@dataclass(frozen=True)
class Probe:
    """An HTTP GET (``path``) or, where ``path`` is None, a TCP connection to ``port``; times in seconds. ``command``, where
    there is one, is run in the container in place of both, for what only the container can reach."""

    path: str | None
    port: int
    period_seconds: int
    failure_threshold: int
    timeout_seconds: int = 5
    command: tuple[str, ...] = ()

    @property
    def budget_seconds(self) -> int:
        """How long the container may fail before it is acted on."""
        return self.period_seconds * self.failure_threshold


@dataclass(frozen=True)
class Probes:
    """The three probes of a container. A container that serves no requests has no ``readiness``."""

    startup: Probe
    liveness: Probe
    readiness: Probe | None


class Signal(StrEnum):
    """What an autoscaler or a dashboard asks of an engine, by meaning instead of by name."""

    RUNNING = "running"
    WAITING = "waiting"
    KV_USAGE = "kvUsage"
    TIME_TO_FIRST_TOKEN = "timeToFirstToken"
    INTER_TOKEN_LATENCY = "interTokenLatency"
    END_TO_END_LATENCY = "endToEndLatency"
    QUEUE_TIME = "queueTime"
    PROMPT_TOKENS = "promptTokens"
    GENERATION_TOKENS = "generationTokens"
    STEP_TOKENS = "stepTokens"
    """Tokens as they are made, in whatever unit: an engine may count those of an answer when it is over."""
    SUCCESSES = "successes"
    ANSWERS = "answers"
    ERRORS = "errors"


@dataclass(frozen=True)
class Metrics:
    """Where one release of an engine publishes which signal.

    Latencies are histograms without their ``_bucket`` suffix; token counts, successes, answers to requests and those of
    them that are the engine's fault are counters. A name may bring labels in braces. A signal that the release does not
    publish is absent.
    """

    path: str
    port: int
    names: Mapping[Signal, str]


@dataclass(frozen=True)
class Command:
    """One container, completely: what it runs, with which files and variables, and how it is watched.

    ``args`` is the whole argument vector (no image entry point is relied on); ``worker_args`` that of all nodes but
    the first where a replica spans nodes and they differ. ``files`` maps absolute paths to texts, to be mounted
    read-only. ``devices`` counts accelerators of the whole replica or gang, ``devices_per_node`` those of one pod.
    ``probes`` is None for trainers, which are watched through their progress. ``termination_grace_seconds`` always
    exceeds the time that the command takes to drain or to save. ``warnings`` say what works but costs. ``program`` is the
    name under which profiles list what is started, where one trainer has several.
    """

    args: tuple[str, ...]
    env: Variables
    devices: int
    devices_per_node: int
    nodes: int = 1
    worker_args: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    probes: Probes | None = None
    worker_probes: Probes | None = None
    metrics: Metrics | None = None
    termination_grace_seconds: int = 30
    warnings: tuple[str, ...] = ()
    program: str = ""
