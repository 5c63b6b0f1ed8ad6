"""What a pod of ours may do: what the restricted Pod Security Standard asks for.

https://kubernetes.io/docs/concepts/security/pod-security-standards/. What a profile's devices need beyond it is added by
`devices`, and found by `reach`.
"""

from typing import Any

from deepseek_operator.api.v1alpha1.common.pod import PodSettings


def pod_security(pod: PodSettings) -> dict[str, Any]:
    """A pod's securityContext. The group is set on a volume only when its root differs: a change of every file of a large
    model would take longer than loading it."""
    return {
        "runAsNonRoot": True,
        "runAsUser": pod.run_as_user,
        "fsGroup": pod.fs_group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """A container's securityContext."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
