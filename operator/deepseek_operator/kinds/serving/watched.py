"""How a watchdog comes into a replica's pod: around the engine's command, brought by a first container where the image is
not ours."""

import json
from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.engine import Engine
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.engines.watchdog import FILES, FOLDER, INSTALL, patient, watched
from deepseek_operator.domain.values.command import Metrics, Probe
from deepseek_operator.workloads.pod.resources import resources
from deepseek_operator.workloads.pod.security import container_security

CONTAINER = "watchdog"
_VOLUME = "files"
FILES_VOLUME: Mapping[str, Any] = {"name": _VOLUME, "emptyDir": {}}
FILES_MOUNT: Mapping[str, Any] = {"name": _VOLUME, "mountPath": FOLDER}


def start(engine: Engine, command: tuple[str, ...] | list[str], published: Metrics) -> tuple[str, ...]:
    """What the engine's container runs: its command, under a watchdog where one is asked for."""
    if engine.watchdog is None:
        return tuple(command)
    return watched(ENGINES[engine.type], tuple(command), engine.watchdog.stall_seconds, published)


def liveness(engine: Engine, probe: Probe) -> Probe:
    """The engine's liveness probe."""
    return probe if engine.watchdog is None else patient(probe, engine.watchdog.stall_seconds)


def installer(owner: DeepSeekServing, configuration: Configuration) -> dict[str, Any]:
    """The first container: the runtime image, which puts the watchdog where the engine's container sees it."""
    return {
        "name": CONTAINER,
        "image": configuration.runtime_image,
        "imagePullPolicy": configuration.image_pull_policy,
        "command": list(INSTALL),
        "env": [{"name": "DEEPSEEK_FILES", "value": json.dumps(FILES)}],
        # A quota wants figures of every container; the pod is given the larger ones of both, which are these.
        "resources": resources(owner.spec.engine.resources),
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True},
        "volumeMounts": [dict(FILES_MOUNT)],
    }
