"""A serving of the tests' engine behind the Gateway, as its user has it: versions, verbs, and what is told of its runs."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from tests.gateway.load import ask, completion
from tests.gateway.servings import ENGINE_IMAGE, LIMIT_S, PARENT, available, serving, status
from tests.support.kubectl import Kubectl, until

CLAIM: dict[str, Any] = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip
LOOK_S = 1.5
"""Between two looks: each is a process of its own."""


@dataclass
class Fleet:
    """The serving `name`; every version number is another revision.

    Attributes:
        fixed: of its spec, whatever the version.
        entered: when each phase of a run began that was seen, by run, phase and step.
    """

    kubectl: Kubectl
    name: str
    fixed: dict[str, Any] = field(default_factory=dict)
    entered: dict[tuple[int, str, int], datetime] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"{self.name}.example.com"

    # --- what its user does -----------------------------------------------------------------------------------------

    def apply(self, version: int, env: dict[str, str] | None = None, memory: str = "128Mi", **spec: Any) -> None:
        """The spec with that version; `env` is what it has beside its number."""
        variables = {"LOG_LEVEL": f"v{version}", **(env or {})}
        engine = {
            "type": "custom",
            "image": ENGINE_IMAGE,
            "command": ["python3", "/app/engine.py", "8000", "0.02"],
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "resources": {"cpu": "10m", "memory": memory},
        }
        routed = {"parentRef": PARENT, "hostnames": [self.host]}
        ending = {"terminationGracePeriodSeconds": 40}
        whole = {"engine": engine, "gateway": routed, "pod": ending, **self.fixed, **spec}
        self.kubectl.apply(serving(self.name, {"source": {"uri": "pvc://models"}}, **whole))

    def annotate(self, verb: str, value: str | None) -> None:
        """A verb about a revision; None takes it away."""
        change = f"deepseek-operator.io/{verb}{f'={value}' if value is not None else '-'}"
        self.kubectl.run("annotate", "deepseekserving", self.name, "--overwrite", change)

    # --- what is told of it -----------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Of the serving as it is written now; empty while that was not looked at."""
        return status(self.kubectl, self.name)

    def run(self) -> dict[str, Any]:
        """The canary run that is told; empty without one."""
        run: dict[str, Any] = self.status().get("canary") or {}
        if run:
            self.entered[run["run"], run["phase"], run["step"]] = datetime.fromisoformat(run["enteredAt"])
        return run

    def weights(self) -> dict[str, int]:
        """Percent of the requests by revision, as it is told."""
        return {one["revision"]: one["percent"] for one in (self.status().get("gateway") or {}).get("weights", ())}

    # --- waiting ----------------------------------------------------------------------------------------------------

    def is_(self, phase: str) -> None:
        """Waits for the phase of the serving."""
        until(f"{self.name} is {phase}", lambda: self.status().get("phase") == phase, timeout_s=LIMIT_S, every_s=LOOK_S)

    def reaches(self, *phases: str, after: int = 0) -> dict[str, Any]:
        """Waits until a run with a higher number than `after` is in one of the phases, and returns it."""

        def look() -> dict[str, Any] | None:
            run = self.run()
            return run if run.get("run", 0) > after and run["phase"] in phases else None

        found: dict[str, Any] = until(f"{self.name}: a run is {phases}", look, timeout_s=LIMIT_S, every_s=LOOK_S)
        return found

    def rolls_out(self, version: int, before: str, **more: Any) -> str:
        """Applies a version and waits until it alone serves; its revision."""
        self.apply(version, **more)
        until("another version is", partial(self._is_another, before), timeout_s=LIMIT_S, every_s=LOOK_S)
        self.is_("Available")
        return str(self.status()["stable"])

    def _is_another(self, before: str) -> bool:
        return self.status().get("stable") not in (None, "", before)

    def answers(self, address: str) -> None:
        """Waits until it is available and a request by the Gateway is answered."""
        available(self.kubectl, self.name)
        body = completion()
        until("it answers", lambda: ask(address, self.host, "/v1/completions", body).status == 200, timeout_s=LIMIT_S)
