"""The container in which a program of the user's own measures the model, in an image of its own beside the trainer's.

A native sidecar (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/, stable since 1.33): it ends once
the trainer has, and never decides how the pod ended. The two speak through files in a folder of the pod's, because the
image is somebody else's and has nothing of ours: what runs in it is a loop for /bin/sh.
"""

from collections.abc import Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.common.resources import ContainerResources
from deepseek_operator.api.v1alpha1.training.evaluation import Evaluation
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.programs.measuring import LOOP
from deepseek_operator.workloads.batch.gang import COMPLETION_INDEX
from deepseek_operator.workloads.pod.resources import resources
from deepseek_operator.workloads.pod.security import container_security

CONTAINER = "evaluation"
FOLDER = "/evaluation"
VOLUME = "evaluation"


def sidecar(
    evaluation: Evaluation, image: str, mounts: Sequence[dict[str, Any]], configuration: Configuration
) -> dict[str, Any]:
    """The container, with what the trainer has mounted to read: `mounts`."""
    # The kubelet takes $(NAME) for a variable and $$ for one dollar.
    words = [word.replace("$", "$$") for word in (LOOP, CONTAINER, *evaluation.command)]
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": configuration.image_pull_policy,
        "restartPolicy": "Always",
        "command": ["/bin/sh", "-c", *words],
        "env": [
            {"name": "DEEPSEEK_EVALUATION", "value": FOLDER},
            {
                "name": "DEEPSEEK_NODE_RANK",
                "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}},
            },
            {"name": "HOME", "value": "/tmp"},
        ],
        "resources": resources(evaluation.resources or ContainerResources()),
        "securityContext": container_security(),
        "volumeMounts": [*({**mount, "readOnly": True} for mount in mounts), mount()],
    }


def mount() -> dict[str, Any]:
    """The folder, in either container."""
    return {"name": VOLUME, "mountPath": FOLDER}


def volume() -> dict[str, Any]:
    """The folder, of the pod."""
    return {"name": VOLUME, "emptyDir": {}}
