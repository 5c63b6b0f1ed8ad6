"""One serving from its birth on, in memory: its operator, its cluster, and what a test does to both."""

from typing import Any

from deepseek_operator.adapters.memory import Change, MemoryCluster, Stored
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import DEPLOYMENT, POD, Resource, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import serving_kind
from tests.support.servings import NAMESPACE, a_claim, a_serving, a_training
from tests.support.shell import Operator, finished
from tests.support.world import StoppedClock, World, is_ended, is_ready

NAME = "chat"
SERVICE = f"{NAME}-serve"


class ServingLife:
    """A serving `chat` beside claim `models` and whatever else is named.

    Attributes:
        changes: every write of anybody, in order.
    """

    def __init__(self, *others: Stored, configuration: Configuration | None = None, **spec: Any) -> None:
        self.clock = StoppedClock()
        self.cluster = MemoryCluster(self.clock)
        self.world = World(self.cluster, self.clock)
        self.changes: list[Change] = []
        self.cluster.listeners.append(self.changes.append)
        self.operator = Operator(serving_kind(configuration or Configuration()), self.cluster, self.clock)
        for manifest in (a_claim(), *others, a_serving(NAME, **spec)):
            self.put(manifest)
        self.operator.settle()

    def put(self, manifest: Stored) -> None:
        """Stores an object with its status."""
        stored = self.cluster.put(manifest)
        if manifest["kind"] == TRAINING.kind:
            name = stored["metadata"]["name"]
            self.cluster.edit(TRAINING, NAMESPACE, name, lambda live: live.update(status=manifest["status"]))

    def edit(self, **spec: Any) -> None:
        """A person changes parts of the spec; the operator follows."""
        self.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["spec"].update(spec))
        self.operator.settle()

    def upgrade(self, configuration: Configuration) -> None:
        """Another release or configuration of the operator takes over."""
        self.operator.kind = serving_kind(configuration)
        self.operator.restart()
        self.operator.settle()

    def run(self, room: int = 1000, rounds: int = 4) -> None:
        """Controllers, kubelets and the operator take turns; the cluster has room for so many pods."""
        for _ in range(rounds):
            self.world.run_garbage_collector()
            self.world.reap_all()
            self._run_controllers()
            self._place(room)
            self._run_controllers()
            self.operator.settle()

    def _run_controllers(self) -> None:
        self.world.run_deployment_controller()
        self.world.run_leader_worker_set_controller()

    def _place(self, room: int) -> None:
        for pod in sorted(self.pods(), key=is_ready, reverse=True):
            if is_ended(pod):
                continue
            if room > 0:
                self.world.run(pod)
            else:
                self.world.unschedulable(pod)
            room -= 1

    def pods(self) -> list[Stored]:
        """Pods that are not on their way out."""
        return [pod for pod in self.cluster.all(POD, NAMESPACE) if not is_terminating(pod)]

    def serving(self) -> Stored:
        """The resource as stored."""
        return self.stored(SERVING, NAME)

    @property
    def status(self) -> ServingStatus:
        """What the operator says."""
        return ServingStatus.model_validate(self.serving()["status"])

    def stored(self, resource: Resource, name: str) -> Stored:
        """An object that must exist."""
        found = self.cluster.read(resource, NAMESPACE, name)
        assert found is not None, f"there is no {resource.kind} {name}"
        return found

    def look(self) -> Seen[DeepSeekServing]:
        """What the operator sees."""
        view = finished(self.operator.look.from_mirror(Key(SERVING, NAMESPACE, NAME)))
        assert view is not None
        return view.seen

    def reason(self, type_: str) -> str:
        """The reason of a condition that is there."""
        condition = find(self.status.conditions, type_)
        assert condition is not None
        return condition.reason

    def deployment(self) -> Stored:
        """The Deployment of the only revision."""
        (found,) = self.cluster.all(DEPLOYMENT, NAMESPACE)
        return found

    def template(self) -> Stored:
        """The pod template of the only revision."""
        template: Stored = self.deployment()["spec"]["template"]
        return template

    def train(self, name: str = "tune", **status: Any) -> None:
        """The training says something else from now on."""
        told = a_training(name, **status)["status"]
        self.cluster.edit(TRAINING, NAMESPACE, name, lambda live: live.update(status=told))
        self.operator.settle()


class ExaminedLife(ServingLife):
    """One whose exams' Jobs have a controller, too, and whose time passes."""

    def run(self, room: int = 1000, rounds: int = 4) -> None:
        for _ in range(rounds):
            self.world.run_job_controller()
            super().run(room, 1)

    def after(self, seconds: float) -> None:
        """So much later, all have looked again."""
        self.clock.advance(seconds)
        self.operator.settle()
        self.run()
