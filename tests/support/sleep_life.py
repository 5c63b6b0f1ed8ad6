"""One serving with minReplicas: 0, in memory: what the metrics store says of its replicas, and the gate's marks."""

from datetime import datetime
from itertools import pairwise
from typing import Any

from deepseek_gate.knowledge import known
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CONFIG_MAP, DEPLOYMENT, HTTP_ROUTE, LEASE
from deepseek_operator.core.seen import Answer
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.sleep import WAITING
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE

IDLE_S, HOLD_S, STEP_S = 60, 200, 15
KEYS: dict[str, Any] = {**PUBLIC, "auth": {"apiKeys": True}}
SLEEPS: dict[str, Any] = {
    "minReplicas": 0,
    "maxReplicas": 4,
    "signals": [{"type": "InFlight", "target": 4}],
    "wake": {"idleSeconds": IDLE_S, "holdSeconds": HOLD_S},
}


class SleepLife(ServingLife):
    """One that may sleep, with what the metrics store says of its replicas, behind a Gateway whose controller takes every route
    at once.

    Attributes:
        controller_is_away: it takes none any more.
    """

    controller_is_away = False

    def __init__(self, **spec: Any) -> None:
        self.numbers: dict[str, float] = {"in_flight": 1.0, "ended": 0.0, "reporting": 1.0, "age": 1.0}
        self.marks = 0
        wanted = {"gateway": KEYS, "autoscaling": SLEEPS, **spec}
        super().__init__(configuration=Configuration(gate=GATE), **wanted)
        self.operator.store.answer = self.says
        self.run()
        for _ in range(2):
            takes(self)

    def says(self, query: str, at: datetime) -> Answer:
        words = {"max_over_time": "in_flight", "offset": "ended", "count(": "reporting", "timestamp": "age"}
        name = next(name for word, name in words.items() if word in query)
        return Reading((self.numbers[name],), at)

    def run(self, room: int = 1000, rounds: int = 4) -> None:
        super().run(room, rounds)
        if self._is_untaken:
            takes(self)
            super().run(room, rounds)

    @property
    def _is_untaken(self) -> bool:
        route = self.cluster.read(HTTP_ROUTE, NAMESPACE, SERVICE)
        if route is None or self.controller_is_away:
            return False
        told = [one for parent in (route.get("status") or {}).get("parents", ()) for one in parent["conditions"]]
        return any(one["observedGeneration"] < route["metadata"]["generation"] for one in told)

    @property
    def led_to(self) -> list[list[str]]:
        """By each rule of the route that asks for the gate's header, the Services that requests are led to."""
        rules = self.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
        asking = [rule for rule in rules if any(match.get("headers") for match in rule["matches"])]
        return [[one["name"] for one in rule["backendRefs"] if one["weight"]] for rule in asking]

    def after(self, seconds: float = STEP_S) -> None:
        """Time passes, and then all have their turns."""
        self.clock.advance(seconds)
        self.operator.settle()
        self.run(rounds=2)

    def falls_asleep(self) -> None:
        self.until("Asleep")

    def until(self, phase: str) -> None:
        """Nothing runs any more."""
        self.numbers["in_flight"] = 0.0
        for _ in range(40):
            if self.at == phase:
                return
            self.after()
        raise AssertionError(f"never {phase}: {self.at}")

    def somebody_waits(self, count: int = 1) -> None:
        """The gate marks the Lease; what waits runs, once it can."""
        self.marks += 1
        self.numbers["in_flight"] = float(count)
        marked = {"renewTime": f"2026-01-01T00:00:{self.marks:02}.000000Z", "holderIdentity": "gate-1"}

        def mark(live: dict[str, Any]) -> None:
            live["spec"] = {**(live.get("spec") or {}), **marked}
            live["metadata"].setdefault("annotations", {})[WAITING] = str(count)

        self.cluster.edit(LEASE, NAMESPACE, SERVICE, mark)
        self.operator.settle()

    @property
    def at(self) -> str:
        return self.status.sleep.phase if self.status.sleep is not None else ""

    @property
    def specified(self) -> dict[str, int]:
        return {d["metadata"]["name"].rpartition("-")[2]: d["spec"]["replicas"] for d in self.cluster.all(DEPLOYMENT)}

    @property
    def gates(self) -> tuple[int | None, float]:
        """What the gate makes of its ConfigMap."""
        (model,) = known([self.stored(CONFIG_MAP, SERVICE)]).models.values()
        return model.ready, model.hold_s

    def told(self, reason: str) -> list[str]:
        """Notes of the events of that reason, in order."""
        manifests = [change.manifest for change in self.changes if change.resource == SERVING]
        states = [self.operator.kind.parse(manifest).status for manifest in manifests]
        pairs = pairwise(states)
        return [one.note for was, now in pairs for one in events(was, now) if one.reason == reason]
