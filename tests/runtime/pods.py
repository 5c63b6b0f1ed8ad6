"""A training pod without a cluster: the launcher as a process, told what the operator would tell it.

All waiting is for something that the process writes, bounded by LIMIT_S; a process that says nothing
more in time fails the test with its log.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import yaml

from tests.runtime.programs import Program
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
LIMIT_S = 200.0
TRAINING_UID = "training-uid"

# Multi-head latent attention, one dense and one mixture-of-experts layer.
MODEL = {
    "model_type": "deepseek_v3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "moe_intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_shared_experts": 1,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "max_position_embeddings": 1024,
    "routed_scaling_factor": 1.0,
    "norm_topk_prob": True,
}


def spec(**hyperparameters: object) -> str:
    """The demonstration's training, with other hyperparameters where named."""
    return json.dumps(
        {
            "model": {"custom": MODEL},
            "objective": "SFT",
            "method": {"type": "Full"},
            "datasets": [
                {"source": {"builtin": "uppercase"}, "split": "Train"},
                {"source": {"builtin": "uppercase"}, "split": "Heldout"},
            ],
            "hyperparameters": {
                "globalBatchSize": 64,
                "sequenceLength": 32,
                "learningRate": "3e-3",
                "schedule": "Cosine",
                "warmupSteps": 20,
                "maxSteps": 120,
                "precision": "fp32",
                "seed": 0,
                **hyperparameters,
            },
        }
    )


def rendered_variables(kind: str, container: str, program: str | None = None) -> set[str]:
    """Names of the variables that the operator gives to containers of that name, if they run the program."""
    found: set[str] = set()
    files = sorted((ROOT / "tests" / "golden" / kind).glob("*.yaml"))
    rest: list[object] = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    while rest:
        match rest.pop():
            case {"name": str(name), "env": [*env], "command": [*command]} if name == container:
                if program is not None and program not in command:
                    continue
                found |= {str(variable["name"]) for variable in env}
            case dict() as inner:
                rest += inner.values()
            case list() as inner:
                rest += inner
    return found


@dataclass
class Process:
    """A process and what it has written so far, standard output and error in one."""

    popen: subprocess.Popen[str] | Program
    lines: list[str] = field(default_factory=list)
    _queue: "Queue[str | None]" = field(default_factory=Queue)

    @staticmethod
    def start(command: list[str], environment: Mapping[str, str]) -> "Process":
        told = _told(environment)
        popen = subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return Process._read_on(popen)

    @staticmethod
    def fork(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> "Process":
        """`python -m MODULE ARGUMENTS`, without its imports."""
        return Process._read_on(Program.start(module, arguments, _told(environment)))

    @staticmethod
    def _read_on(popen: subprocess.Popen[str] | Program) -> "Process":
        process = Process(popen)
        threading.Thread(target=process._read, daemon=True).start()
        return process

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def wait_for(self, is_wanted: Callable[[str], bool]) -> str:
        """The first line from now on that is wanted."""
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                raise AssertionError(f"nothing in {LIMIT_S} s; log:\n{self.log}") from None
            if line is None:
                raise AssertionError(f"ended before it was seen; log:\n{self.log}")
            self.lines.append(line)
            if is_wanted(line):
                return line

    def ended(self, limit_s: float = LIMIT_S) -> int:
        """Waits for the end; returns the exit code."""
        end = time.monotonic() + limit_s
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                self.kill()
                raise AssertionError(f"did not end in {limit_s} s; log:\n{self.log}") from None
            if line is None:
                return self.popen.wait(10)
            self.lines.append(line)

    def kill(self) -> None:
        """SIGKILL, as a lost node would; the kernel takes the workers along with their keeper."""
        self.popen.kill()
        self.popen.wait(10)

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    @property
    def log(self) -> str:
        return "".join(self.lines)

    @property
    def events(self) -> list[dict[str, object]]:
        """The trainer's own log lines."""
        return [json.loads(line) for line in self.lines if line.startswith('{"time"')]

    @property
    def losses(self) -> dict[int, float]:
        """Loss by step, exactly as computed."""
        steps = [event for event in self.events if event["event"] == "step"]
        return {int(str(event["step"])): float(str(event["loss"])) for event in steps}


def _told(environment: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "OMP_NUM_THREADS": "1", **environment}


@dataclass(frozen=True)
class Attempt:
    """What the operator decides for one attempt; `name` is its incarnation."""

    volume: Path
    number: int
    name: str
    spec: str
    nodes: int = 1
    processes: int = 2
    training_uid: str = TRAINING_UID
    ancestry: tuple[tuple[int, str | None], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, node_rank: int = 0, port: int | None = None, command: tuple[str, ...] = ()) -> Process:
        """Starts one pod of the attempt, in a fork."""
        arguments = ["--", *command] if command else []
        return Process.fork("deepseek_runtime.launcher", arguments, self.environment(node_rank, port or free_port()))

    def execute(self) -> Process:
        """Starts the only pod of the attempt by the command of its container."""
        return Process.start([sys.executable, "-m", "deepseek_runtime.launcher"], self.environment(0, free_port()))

    def environment(self, node_rank: int, port: int) -> dict[str, str]:
        ancestry = [
            {"attempt": number, "jobUID": f"job-{number}", **({"incarnation": name} if name else {})}
            for number, name in self.ancestry
        ]
        return {
            "DEEPSEEK_TRAINING_NAME": "training",
            "DEEPSEEK_TRAINING_NAMESPACE": "team",
            "DEEPSEEK_TRAINING_UID": self.training_uid,
            "DEEPSEEK_ATTEMPT": str(self.number),
            "DEEPSEEK_JOB_UID": f"job-{self.number}",
            "DEEPSEEK_POD_UID": self.name if node_rank == 0 else f"{self.name}-{node_rank}",
            "DEEPSEEK_NODES": str(self.nodes),
            "DEEPSEEK_NODE_RANK": str(node_rank),
            "DEEPSEEK_PROCESSES_PER_NODE": str(self.processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "DEEPSEEK_CHECKPOINT_ROOT": str(self.root),
            "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "40",
            "DEEPSEEK_CHECKPOINT_KEEP_LAST": "3",
            "DEEPSEEK_CHECKPOINT_KEEP_BEST": "1",
            "DEEPSEEK_RESUME_POLICY": "Auto",
            "DEEPSEEK_RESUME_ANCESTRY": json.dumps(ancestry),
            "DEEPSEEK_STALL_TIMEOUT_SECONDS": "60",
            "DEEPSEEK_GRACE_SECONDS": "60",
            "DEEPSEEK_PROGRESS_PORT": "0",
            "DEEPSEEK_TRAINING_SPEC": self.spec,
            "DEEPSEEK_TERMINATION_LOG": str(self.log_file(node_rank)),
            **self.variables,
        }

    @property
    def root(self) -> Path:
        return self.volume / self.training_uid

    @property
    def directory(self) -> Path:
        return self.root / self.name

    def log_file(self, node_rank: int = 0) -> Path:
        return self.volume / f"termination-{self.name}-{node_rank}"

    def termination(self, node_rank: int = 0) -> dict[str, object]:
        value = json.loads(self.log_file(node_rank).read_text())
        assert isinstance(value, dict)
        return value

    def manifest(self, step: int) -> dict[str, object]:
        value = json.loads((self.directory / f"step-{step:08d}" / "manifest.json").read_text())
        assert isinstance(value, dict)
        return value

    def steps(self) -> list[int]:
        """Steps of whole checkpoints."""
        return sorted(
            int(file.parent.name.removeprefix("step-")) for file in self.directory.glob("step-*/manifest.json")
        )


def workers_of(process: Process) -> list[int]:
    """Process ids of a launcher's workers, by rank: it begins them in that order, and the kernel lists them in it."""
    children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
    return [int(child) for child in children]


def is_step(line: str, step: int) -> bool:
    """Whether the line tells of that optimizer step or a later one."""
    if not line.startswith('{"time"'):
        return False
    event = json.loads(line)
    return bool(event["event"] == "step" and event["step"] >= step)
