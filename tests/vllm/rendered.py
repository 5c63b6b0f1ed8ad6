"""What the operator renders for vLLM on CPUs, with the pod's paths and port as they are here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.web_access import NOWHERE
from deepseek_operator.domain.programs.engines.request import FILES
from deepseek_operator.kinds.serving.devices import planned
from deepseek_operator.kinds.serving.model import resolve
from deepseek_operator.kinds.serving.template import render
from tests.support.servings import a_serving, seen_of

VERSION = "0.32.0"
ADDED = {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
"""What a pod on a machine of two cores is given beside, as a person would write it into engine.env and engine.args: to
compile each tiny model would take most of a minute."""
ARGS = ["--enforce-eager"]
NAME = "tiny"


@dataclass(frozen=True)
class Rendered:
    """A pod template, and where its paths lie here."""

    template: Manifest
    places: Mapping[str, str]

    @property
    def container(self) -> Manifest:
        """The engine's."""
        found: Manifest = self.template["spec"]["containers"][0]
        return found

    @property
    def check(self) -> Manifest:
        """The container that compares the adapters with the model first."""
        (found,) = self.template["spec"]["initContainers"]
        assert isinstance(found, dict)
        return found

    def command(self, port: int) -> list[str]:
        """The engine's command, its words unchanged but for paths and port."""
        (usual,) = self.container["ports"]
        words = [str(port) if word == str(usual["containerPort"]) else word for word in self.container["command"]]
        return [self._here(word) for word in words]

    def arguments(self, port: int) -> list[str]:
        """Those of `vllm`."""
        words = self.command(port)
        return words[words.index("serve") :]

    def provided(self, folder: Path) -> "Rendered":
        """The same with its files in a folder, as the kubelet writes them."""
        folder.mkdir()
        (volume,) = [one for one in self.template["spec"]["volumes"] if "downwardAPI" in one]
        for item in volume["downwardAPI"]["items"]:
            name = item["fieldRef"]["fieldPath"].partition("['")[2].removesuffix("']")
            (folder / item["path"]).write_text(self.template["metadata"]["annotations"][name])
        return replace(self, places={**self.places, FILES: str(folder)})

    def environment(self, container: Manifest) -> dict[str, str]:
        """A container's variables."""
        return {one["name"]: self._here(one.get("value", "")) for one in container["env"]}

    @property
    def readiness(self) -> str:
        """The path that decides whether requests arrive."""
        return str(self.container["readinessProbe"]["httpGet"]["path"])

    @property
    def leaving_s(self) -> int:
        """How long the pod goes on answering before SIGTERM."""
        return int(self.container["lifecycle"]["preStop"]["sleep"]["seconds"])

    @property
    def grace_s(self) -> int:
        """When SIGKILL comes, from the decision to end the pod on."""
        return int(self.template["spec"]["terminationGracePeriodSeconds"])

    def _here(self, word: str) -> str:
        for inside, outside in self.places.items():
            word = word.replace(inside, outside)
        return word


def rendered(
    model: Path,
    shape: Mapping[str, Any],
    adapters: Mapping[str, Path] | None = None,
    engine: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Rendered:
    """A serving of a folder that a person brought, with adapters beside it by their names; `engine` and `spec` add to it."""
    beside = adapters or {}
    serving = a_serving(
        model={"name": NAME, "custom": dict(shape), "source": {"uri": "pvc://models/model"}},
        engine={
            "type": "vllm",
            "version": VERSION,
            "args": ARGS,
            "env": [{"name": k, "value": v} for k, v in ADDED.items()],
            **(engine or {}),
        },
        accelerator={"profile": "cpu"},
        adapters=[{"name": name, "source": {"uri": f"pvc://models/{name}"}, "rank": 4} for name in beside],
        **spec,
    )
    configuration = Configuration()
    plan = planned(DeepSeekServing.model_validate(serving), configuration)
    assert plan is not None
    assert not plan.refused, plan
    resolved = resolve(seen_of(serving), NOWHERE)
    assert isinstance(resolved, ResolvedModel), resolved
    owner = DeepSeekServing.model_validate({**serving, "status": {"plan": plan.to_wire()}})
    places = {f"/adapters/{number}": str(beside[name]) for number, name in enumerate(sorted(beside))}
    return Rendered(render(owner, "r", resolved, configuration), {"/model": str(model), **places})
