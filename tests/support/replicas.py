"""Every state that the Deployments of one serving go through, by watch: no observation between two looks is missed."""

import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from tests.support.kubectl import Kubectl, lines_of


@dataclass(frozen=True)
class Replicas:
    """Over all revisions, after one change. `at_s`: monotonic clock."""

    at_s: float
    specified: int
    ready: int


class ReplicasSeen:
    """Watches from its beginning to its end, as a context."""

    def __init__(self, kubectl: Kubectl, serving: str) -> None:
        self._kubectl, self._serving = kubectl, serving
        self._deployments: dict[str, tuple[int, int]] = {}
        self.states: list[Replicas] = []

    def __enter__(self) -> "ReplicasSeen":
        selector = f"--selector=deepseek-operator.io/serving={self._serving}"
        command = ("get", "deployments", selector, "--watch", "--output-watch-events", "--output=json")
        self._process = self._kubectl.follow(*command)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(5)

    @property
    def is_alive(self) -> bool:
        """False once the watch broke: then the lowest numbers prove nothing."""
        return self._process.poll() is None

    def lowest(self, since_s: float = 0.0) -> Replicas:
        """The smallest numbers since then, each on its own; what was true at `since_s` counts.

        Raises:
            AssertionError: the watch has ended, or nothing was seen.
        """
        assert self.is_alive, "the watch ended"
        before = [state for state in self.states if state.at_s <= since_s][-1:]
        states = [*before, *(state for state in self.states if state.at_s > since_s)]
        assert states, "nothing was seen"
        return Replicas(since_s, min(state.specified for state in states), min(state.ready for state in states))

    def _read(self) -> None:
        for line in lines_of(self._process):
            event = json.loads(line)
            deployment = event["object"]
            name = deployment["metadata"]["name"]
            if event["type"] == "DELETED":
                self._deployments.pop(name, None)
            else:
                ready = deployment.get("status", {}).get("readyReplicas", 0)
                self._deployments[name] = (deployment["spec"]["replicas"], ready)
            numbers = self._deployments.values()
            self.states.append(Replicas(time.monotonic(), sum(n for n, _ in numbers), sum(n for _, n in numbers)))
