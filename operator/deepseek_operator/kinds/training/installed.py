"""How a trainer of another's making is put under our launcher: a first container brings it, with the trainer's own files.

The launcher is copied out of the runtime image into a folder that both containers see, so that the trainer's image stays as
its makers published it; it needs nothing but Python 3.11 there.
"""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from deepseek_operator.api.v1alpha1.training.trainer import Trainer
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.programs.trainers.contract import COMMAND
from deepseek_operator.domain.programs.trainers.request import FILES, OUTPUT
from deepseek_operator.kinds.training.command import MODEL_PATH, Started
from deepseek_operator.workloads.pod.resources import resources
from deepseek_operator.workloads.pod.security import container_security

CONTAINER = "launcher"
INSTALL = ("python3", "-m", "deepseek_runtime.foreign.installing", FILES)
PATH = "PYTHONPATH"
_VOLUME = "files"
FILES_VOLUME: Mapping[str, Any] = {"name": _VOLUME, "emptyDir": {}}
FILES_MOUNT: Mapping[str, Any] = {"name": _VOLUME, "mountPath": FILES}


def installer(trainer: Trainer, foreign: Started, configuration: Configuration) -> dict[str, Any]:
    """The first container: the runtime image, with the files of the trainer's command."""
    files = {PurePosixPath(path).name: text for path, text in foreign.command.files.items()}
    return {
        "name": CONTAINER,
        "image": configuration.runtime_image,
        "imagePullPolicy": configuration.image_pull_policy,
        "command": INSTALL,
        # The kubelet takes $$ for one dollar; scripts among the files are full of them.
        "env": [_literal("DEEPSEEK_FILES", json.dumps(files, sort_keys=True).replace("$", "$$"))],
        # A quota wants figures of every container; the pod is given the larger ones of both, which are these.
        "resources": resources(trainer.resources, None),
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True},
        "volumeMounts": [dict(FILES_MOUNT)],
    }


def launched(foreign: Started) -> tuple[str, ...]:
    """What the trainer's container runs."""
    return (*COMMAND, "--adapter", foreign.command.program, "--", *foreign.command.args)


def told(foreign: Started, env: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The container's variables with those of the command, which refer to them; the user's own win."""
    named = {variable["name"]: variable for variable in env}
    theirs = str(named.pop(PATH, {}).get("value", ""))
    return [
        *named.values(),
        *(_literal(name, value) for name, value in foreign.command.env if name not in named),
        _literal("DEEPSEEK_CHECK_TOKENIZER", MODEL_PATH),
        _literal("DEEPSEEK_OUTPUT", OUTPUT),
        _literal(PATH, f"{FILES}:{theirs}" if theirs else FILES),
    ]


def _literal(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}
