"""Where a pod may run, in its user's words; a profile's devices add theirs (`devices`)."""

from typing import Any

from deepseek_operator.api.v1alpha1.common.pod import PodSettings


def placement(pod: PodSettings) -> dict[str, Any]:
    """nodeSelector, tolerations and priorityClassName of a pod's spec, as far as they are written."""
    wanted = {
        "nodeSelector": dict(sorted(pod.node_selector.items())),
        # The API server stores no empty value; wanting one would be drift for ever.
        "tolerations": [{key: value for key, value in one.to_wire().items() if value} for one in pod.tolerations],
        "priorityClassName": pod.priority_class_name,
    }
    return {field: value for field, value in wanted.items() if value}
