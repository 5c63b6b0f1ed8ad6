"""Trainings in the field's words, and the life of one on a memory cluster."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepseek_operator.adapters.memory import MemoryCluster, Stored
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import JOB, POD, Manifest, is_terminating
from deepseek_operator.kinds.training import training_kind
from tests.support.shell import Operator
from tests.support.world import INDEX, StoppedClock, World, is_ended

NAMESPACE = "team"
NAME = "t"


def training(name: str = NAME, **spec: Any) -> dict[str, Any]:
    """A training of a generated task by the built-in trainer; `spec` replaces fields of the spec by their API names."""
    return {
        "apiVersion": "deepseek-operator.io/v1alpha1",
        "kind": "DeepSeekTraining",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"custom": {"model_type": "deepseek_v3"}},
            "datasets": [{"source": {"uri": "builtin://uppercase"}}],
            "hyperparameters": {"maxSteps": 100},
            "nodes": {"count": 2},
            **spec,
        },
    }


def claim(name: str, *modes: str) -> dict[str, Any]:
    """A user's own claim."""
    spec = {"accessModes": list(modes or ("ReadWriteMany",)), "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def ended(cluster: MemoryCluster, name: str, claim_name: str, steps: Sequence[int] = (100, 200), **status: Any) -> str:
    """A training that is complete, with checkpoints and exports of `steps` on a claim; returns its uid."""
    uid = cluster.put(training(name, checkpoints={"volume": {"claimName": claim_name}}))["metadata"]["uid"]
    told = {
        "uid": uid,
        "attempt": {"number": 1, "job": f"{name}-train-1", "verdict": "Complete"},
        "volume": {"claimName": claim_name, "uid": "1"},
        "result": "Complete",
        "lastCheckpoint": {"step": steps[-1]} if steps else None,
        "bestCheckpoint": {"step": steps[0]} if steps else None,
        "exports": list(steps),
        **status,
    }
    cluster.edit(TRAINING, NAMESPACE, name, lambda live: live.update(status=told))
    return str(uid)


class Life:
    """One training on a memory cluster: what users and kubelets do to it, and what the operator makes of it."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.clock = StoppedClock()
        self.cluster = MemoryCluster(self.clock)
        self.world = World(self.cluster, self.clock)
        self.operator = Operator(training_kind(configuration or Configuration()), self.cluster, self.clock)
        self.key = Key(TRAINING, NAMESPACE, NAME)

    def restart(self, configuration: Configuration) -> "Life":
        """Another process of the operator, by other settings."""
        self.operator = Operator(training_kind(configuration), self.cluster, self.clock)
        return self

    # --- what happens -------------------------------------------------------------------------------------------

    def begin(self, **spec: Any) -> "Life":
        """The user applies the training, and everything runs until it rests."""
        self.cluster.put(training(**spec))
        return self.turn()

    def turn(self, rounds: int = 8) -> "Life":
        """The operator and the Job controller take turns until nothing moves."""
        for _ in range(rounds):
            version = self.cluster.version
            self.operator.settle()
            self.world.run_job_controller()
            self.world.run_garbage_collector()
            if self.cluster.version == version:
                return self
        raise AssertionError("the operator and the controllers never come to rest")

    def running(self) -> "Life":
        """All pods run."""
        for pod in self.pods():
            self.world.run(pod)
        return self.turn()

    def exit(self, rank: int, code: int, message: str = "") -> None:
        """A worker's container ends."""
        self.world.end(self.pod(rank), code, message)

    def gone(self) -> "Life":
        """Every terminating pod goes, and what follows from that."""
        self.turn()
        self.world.reap_all()
        return self.turn()

    def complete(self, message: str = "") -> "Life":
        """All workers succeed."""
        for pod in self.pods():
            self.world.end(pod, 0, message)
        return self.turn()

    def crash(self, rank: int = 0, code: int = 1, message: str = "boom") -> "Life":
        """A worker crashes, the Job takes the others down, and all is over."""
        self.exit(rank, code, message)
        return self.gone()

    def later(self, seconds: float) -> "Life":
        """Time passes."""
        self.clock.advance(seconds)
        return self.turn()

    def edit(self, change: Callable[[dict[str, Any]], None]) -> "Life":
        """The user edits the spec."""
        self.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: change(live["spec"]))
        return self.turn()

    def wipe_status(self) -> "Life":
        """Somebody deletes the status."""
        self.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live.update(status={"observedGeneration": -1}))
        return self.turn()

    # --- what is true -------------------------------------------------------------------------------------------

    @property
    def owner(self) -> DeepSeekTraining:
        """The resource as stored."""
        return DeepSeekTraining.model_validate(self.cluster.read(TRAINING, NAMESPACE, NAME))

    @property
    def told(self) -> tuple[str, str]:
        """Which condition is True (Ready, Reconciling, Stalled, or -) and its reason."""
        conditions = {condition.type: condition for condition in self.owner.status.conditions}
        for name in ("Stalled", "Reconciling", "Ready", "Suspended"):
            if name in conditions and conditions[name].status == "True":
                return name, conditions[name].reason
        return "-", conditions["Ready"].reason if "Ready" in conditions else ""

    @property
    def message(self) -> str:
        """Message of the condition Ready."""
        return next(c.message for c in self.owner.status.conditions if c.type == "Ready")

    def jobs(self) -> list[str]:
        """Names of the Jobs, numbers only."""
        return [job["metadata"]["name"].rpartition("-")[2] for job in self.cluster.all(JOB)]

    def pods(self) -> list[Stored]:
        """Pods that are neither over nor going, by rank."""
        workers = (pod for pod in self.cluster.all(POD) if INDEX in (pod["metadata"].get("labels") or {}))
        pods = [pod for pod in workers if not is_ended(pod) and not is_terminating(pod)]
        return sorted(pods, key=lambda pod: int(pod["metadata"]["labels"][INDEX]))

    def pod(self, rank: int) -> Manifest:
        """The living pod of a rank."""
        return next(pod for pod in self.pods() if pod["metadata"]["labels"][INDEX] == str(rank))

    def environment(self) -> Mapping[str, str]:
        """Literal environment of the newest Job's container."""
        newest = max(self.cluster.all(JOB), key=lambda job: int(job["metadata"]["name"].rpartition("-")[2]))
        container = newest["spec"]["template"]["spec"]["containers"][0]
        return {variable["name"]: variable.get("value", "") for variable in container["env"]}

    def event_reasons(self) -> list[str]:
        """Reasons of the events told so far."""
        return [event.reason for _, event in self.cluster.events]
