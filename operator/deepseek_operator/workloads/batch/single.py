"""The Job of one pod with one container of our own, which does one thing once: an exam, a fetch, a bench."""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.workloads.batch.job import job_spec
from deepseek_operator.workloads.pod.security import container_security
from deepseek_operator.workloads.pod.template import pod_spec, with_settings


def single_spec(
    container: Mapping[str, Any],
    pod: PodSettings,
    labels: Mapping[str, str],
    volumes: Sequence[dict[str, Any]],
    grace_s: int,
) -> dict[str, Any]:
    """The Job's spec. `container`: what it runs, by which name, and what it needs; how it is confined and where its last words
    lie is the same for all. `pod`: what the user asks of pods; `grace_s`: from SIGTERM to SIGKILL."""
    confined = {
        **container,
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec = {**pod_spec(pod, grace_s, [confined], [*volumes]), "restartPolicy": "Never"}
    template = with_settings({"metadata": {"labels": dict(labels)}, "spec": spec}, pod)
    return job_spec(1, template, container["name"])
