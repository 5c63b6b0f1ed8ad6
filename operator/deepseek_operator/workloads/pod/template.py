"""A pod template: what every pod of ours has, around the containers and volumes of its kind."""

from collections.abc import Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.core.resources import Manifest
from deepseek_operator.workloads.pod.placement import placement
from deepseek_operator.workloads.pod.security import pod_security


def pod_spec(
    pod: PodSettings, grace_s: int, containers: Sequence[Manifest], volumes: Sequence[Manifest]
) -> dict[str, Any]:
    """spec of a pod: restricted, without a token, on the nodes that its user names; `grace_s` from SIGTERM to SIGKILL."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": pod_security(pod),
        "containers": list(containers),
        "volumes": list(volumes),
        **placement(pod),
    }


def with_settings(template: Manifest, pod: PodSettings) -> dict[str, Any]:
    """The template with the labels, annotations and pull secrets of the user; what it has already wins."""
    metadata = dict(template["metadata"])
    for key, theirs in (("labels", pod.labels), ("annotations", pod.annotations)):
        if theirs:
            metadata[key] = {**dict(sorted(theirs.items())), **metadata.get(key, {})}
    pulls = [{"name": name} for name in pod.image_pull_secrets]
    return {"metadata": metadata, "spec": {**template["spec"], **({"imagePullSecrets": pulls} if pulls else {})}}
