"""Which promises a training pod makes to the operator: environment, exit codes, limits.

Everything that a pod is told arrives in environment variables and is read here, once, into one
frozen value; a wrong one is an `Invalid` whose message says what to write instead (exit code 64,
never restarted). The specification of the built-in trainer is read in `spec`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

FORMAT_VERSION = 1
DEFAULT_PORT = 8090
DEFAULT_LAUNCHER_PORT = 29501
RESTART_VARIABLE = "DEEPSEEK_RESTART"
"""The how-maniest start in the same pods a worker is, from 0: its launcher tells it."""


class ExitCode(IntEnum):
    """Exit codes with a meaning; every other one is a crash. 64, 73 and 75 are EX_USAGE, EX_CANTCREAT and EX_TEMPFAIL of sysexits.h."""

    COMPLETE = 0
    INVALID = 64
    FULL = 73
    SAVED = 75
    STALLED = 76


class Invalid(ValueError):
    """A user's error: the message names the field and says what to write."""


class Diverged(Invalid):
    """The numbers of a training are no longer finite: the same settings lead there again, another try can't help."""


@dataclass(frozen=True)
class Ancestor:
    """An earlier attempt of this training. `incarnation` is None when the operator never saw its rank 0 pod."""

    attempt: int
    job_uid: str
    incarnation: str | None


@dataclass(frozen=True)
class ResumeFrom:
    """Another training's directory on the same volume; `checkpoint` is Latest, Best or a step in decimal digits."""

    training_uid: str
    checkpoint: str


Mode = Literal["Min", "Max"]
MODES: Mapping[str, Mode] = {"evalLoss": "Min", "accuracy": "Max"}
"""Of metrics that everybody means alike."""


@dataclass(frozen=True)
class Measure:
    """What ranks checkpoints: a metric by its name in their manifests, and whether the most or the least of it is best."""

    metric: str
    mode: Mode


@dataclass(frozen=True)
class CheckpointPolicy:
    """When to save and how many to keep. Exactly one of `every_steps` and `every_seconds` is set.

    `best` says what ranks them; None means the order in `checkpoint.ranking`.
    """

    root: Path
    every_steps: int | None
    every_seconds: int | None
    keep_last: int
    keep_best: int
    best: Measure | None = None


@dataclass(frozen=True)
class Gang:
    """Place of this pod among the pods of the attempt, and where rank 0 is met."""

    nodes: int
    node_rank: int
    processes_per_node: int
    master_addr: str
    master_port: int

    @property
    def world_size(self) -> int:
        return self.nodes * self.processes_per_node


@dataclass(frozen=True)
class Work:
    """What tokens cost, and what the gang's devices can do at most, in FLOPs and FLOP/s.

    A sequence of n tokens costs ``n · (per_token + per_key · min(n / 2, most_keys))``, forward and backward.
    """

    per_token: float
    per_key: float
    most_keys: float
    peak: float


@dataclass(frozen=True)
class Contract:
    """All that a training pod is told by the operator, besides the trainer's own specification.

    `preflight_s` is the time limit of what is tried first, 0 for nothing; `devices` are those of the pod, None on the CPU.
    `follows_crash`: the attempt before this one crashed. `restart`: see RESTART_VARIABLE.
    """

    name: str
    namespace: str
    training_uid: str
    attempt: int
    job_uid: str
    pod_uid: str
    gang: Gang
    checkpoints: CheckpointPolicy
    resume: Literal["Auto", "Never"]
    ancestry: tuple[Ancestor, ...]
    resume_from: ResumeFrom | None
    stall_timeout_s: int | None
    start_timeout_s: int | None
    grace_s: int
    progress_port: int
    node_name: str | None
    preflight_s: int
    min_volume_megabytes_per_s: int | None
    devices: int | None
    max_in_place_restarts: int
    follows_crash: bool
    launcher_port: int
    restart: int
    work: Work | None = None


def read_contract(environment: Mapping[str, str]) -> Contract:
    """Reads the pod's environment. Raises Invalid at the first variable that is missing or wrong."""
    env = _Environment(environment)
    return Contract(
        name=env.text("DEEPSEEK_TRAINING_NAME"),
        namespace=env.text("DEEPSEEK_TRAINING_NAMESPACE"),
        training_uid=env.text("DEEPSEEK_TRAINING_UID"),
        attempt=env.integer("DEEPSEEK_ATTEMPT", least=1),
        job_uid=env.text("DEEPSEEK_JOB_UID"),
        pod_uid=env.text("DEEPSEEK_POD_UID"),
        gang=_gang(env),
        checkpoints=_policy(env),
        resume=_resume(env),
        ancestry=_ancestry(env),
        resume_from=_resume_from(env),
        stall_timeout_s=env.integer("DEEPSEEK_STALL_TIMEOUT_SECONDS", least=1, absent=0) or None,
        start_timeout_s=env.integer("DEEPSEEK_START_TIMEOUT_SECONDS", least=1, absent=0) or None,
        grace_s=env.integer("DEEPSEEK_GRACE_SECONDS", least=1, absent=30),
        progress_port=env.integer("DEEPSEEK_PROGRESS_PORT", least=0, absent=DEFAULT_PORT),
        node_name=env.optional("DEEPSEEK_NODE_NAME"),
        preflight_s=env.integer("DEEPSEEK_PREFLIGHT_SECONDS", least=0, absent=0),
        min_volume_megabytes_per_s=env.integer("DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND", least=1, absent=0) or None,
        devices=env.integer("DEEPSEEK_DEVICES", least=1, absent=0) or None,
        max_in_place_restarts=env.integer("DEEPSEEK_MAX_IN_PLACE_RESTARTS", least=0, absent=0),
        follows_crash=env.integer("DEEPSEEK_FOLLOWS_CRASH", least=0, absent=0) > 0,
        launcher_port=env.integer("DEEPSEEK_LAUNCHER_PORT", least=1, absent=DEFAULT_LAUNCHER_PORT),
        restart=env.integer(RESTART_VARIABLE, least=0, absent=0),
        work=_work(env),
    )


class _Environment:
    """Environment variables by type. An empty one counts as absent: a manifest can't always omit a value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def optional(self, name: str) -> str | None:
        return self._values.get(name) or None

    def text(self, name: str) -> str:
        value = self.optional(name)
        if value is None:
            raise Invalid(f"environment variable {name} is not set; the operator sets it, a manual run must too")
        return value

    def integer(self, name: str, *, least: int, absent: int | None = None) -> int:
        if absent is not None and self.optional(name) is None:
            return absent
        value = self.text(name)
        if not value.isascii() or not value.isdigit() or int(value) < least:
            raise Invalid(f"{name} is {value!r}; write a whole number of at least {least}")
        return int(value)

    def document(self, name: str) -> object:
        """The variable's JSON value, None when absent."""
        value = self.optional(name)
        if value is None:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{name} is not JSON ({error})") from None


def _gang(env: _Environment) -> Gang:
    gang = Gang(
        nodes=env.integer("DEEPSEEK_NODES", least=1, absent=1),
        node_rank=env.integer("DEEPSEEK_NODE_RANK", least=0, absent=0),
        processes_per_node=env.integer("DEEPSEEK_PROCESSES_PER_NODE", least=1, absent=1),
        master_addr=env.optional("MASTER_ADDR") or "127.0.0.1",
        master_port=env.integer("MASTER_PORT", least=1, absent=29500),
    )
    if gang.node_rank >= gang.nodes:
        raise Invalid(f"DEEPSEEK_NODE_RANK is {gang.node_rank} of {gang.nodes} nodes; write 0 to {gang.nodes - 1}")
    return gang


def _policy(env: _Environment) -> CheckpointPolicy:
    steps = env.integer("DEEPSEEK_CHECKPOINT_EVERY_STEPS", least=1, absent=0) or None
    seconds = env.integer("DEEPSEEK_CHECKPOINT_EVERY_SECONDS", least=1, absent=0) or None
    if (steps is None) == (seconds is None):
        raise Invalid("set exactly one of DEEPSEEK_CHECKPOINT_EVERY_STEPS and DEEPSEEK_CHECKPOINT_EVERY_SECONDS")
    return CheckpointPolicy(
        root=Path(env.text("DEEPSEEK_CHECKPOINT_ROOT")),
        every_steps=steps,
        every_seconds=seconds,
        keep_last=env.integer("DEEPSEEK_CHECKPOINT_KEEP_LAST", least=1, absent=2),
        keep_best=env.integer("DEEPSEEK_CHECKPOINT_KEEP_BEST", least=0, absent=1),
        best=_best(env),
    )


def _best(env: _Environment) -> Measure | None:
    metric = env.optional("DEEPSEEK_CHECKPOINT_BEST_METRIC")
    if metric is None:
        return None
    match env.optional("DEEPSEEK_CHECKPOINT_BEST_MODE") or MODES.get(metric):
        case "Min" | "Max" as mode:
            return Measure(metric, mode)
        case other:
            raise Invalid(
                f"DEEPSEEK_CHECKPOINT_BEST_MODE is {other!r}; write Min where less {metric} is better, Max where more is"
            )


def _resume(env: _Environment) -> Literal["Auto", "Never"]:
    match env.optional("DEEPSEEK_RESUME_POLICY"):
        case None | "Auto":
            return "Auto"
        case "Never":
            return "Never"
        case other:
            raise Invalid(f"DEEPSEEK_RESUME_POLICY is {other!r}; write Auto or Never")


def _ancestry(env: _Environment) -> tuple[Ancestor, ...]:
    match env.document("DEEPSEEK_RESUME_ANCESTRY"):
        case None:
            return ()
        case list(entries):
            return tuple(_ancestor(entry) for entry in entries)
        case _:
            raise Invalid("DEEPSEEK_RESUME_ANCESTRY is no JSON list of attempts, oldest first")


def _ancestor(entry: object) -> Ancestor:
    match entry:
        case {"attempt": int(attempt), "jobUID": str(job_uid), "incarnation": str(incarnation)}:
            return Ancestor(attempt, job_uid, incarnation or None)
        case {"attempt": int(attempt), "jobUID": str(job_uid), "incarnation": None}:
            return Ancestor(attempt, job_uid, None)
        case {"attempt": int(attempt), "jobUID": str(job_uid), **rest} if "incarnation" not in rest:
            return Ancestor(attempt, job_uid, None)
    raise Invalid(
        f'DEEPSEEK_RESUME_ANCESTRY holds {entry!r}; write {{"attempt": 1, "jobUID": "…", "incarnation": "…"}}'
    )


def _resume_from(env: _Environment) -> ResumeFrom | None:
    match env.document("DEEPSEEK_RESUME_FROM"):
        case None:
            return None
        case {"trainingUID": str(uid), "checkpoint": str(checkpoint)} if _is_name(uid) and _is_choice(checkpoint):
            return ResumeFrom(uid, checkpoint)
        case other:
            raise Invalid(
                f'DEEPSEEK_RESUME_FROM is {other!r}; write {{"trainingUID": "…", "checkpoint": "Latest"}}'
                " (Latest, Best or a step)"
            )


def _work(env: _Environment) -> Work | None:
    match env.document("DEEPSEEK_FLOPS"):
        case None:
            return None
        case {
            "perToken": int() | float() as token,
            "perKey": int() | float() as key,
            "mostKeys": int() | float() as most,
            "peak": int() | float() as peak,
        } if token > 0 and peak > 0:
            return Work(token, key, most, peak)
        case other:
            raise Invalid(
                f'DEEPSEEK_FLOPS is {other!r}; write {{"perToken": …, "perKey": …, "mostKeys": …, "peak": …}}'
            )


def _is_name(uid: str) -> bool:
    """A uid becomes one path component: nothing that climbs out of the volume's directory."""
    return bool(uid) and "/" not in uid and uid not in (".", "..")


def _is_choice(checkpoint: str) -> bool:
    return checkpoint in ("Latest", "Best") or (checkpoint.isascii() and checkpoint.isdigit())
