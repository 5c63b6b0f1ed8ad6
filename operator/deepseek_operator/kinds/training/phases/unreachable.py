"""Pods that outlive their grace, because their node does not answer: what is waited for, in a sentence."""

from collections.abc import Iterable
from datetime import timedelta

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.core.resources import Manifest
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.claim import is_shared
from deepseek_operator.workloads.pod.state import has_lost_node


def unreachable(view: View, pods: Iterable[Manifest]) -> str | None:
    """A sentence when a pod outlived its grace: its node does not answer."""
    limit = timedelta(seconds=view.spec.failure_policy.node_lost_seconds)
    for pod in pods:
        deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
        if deadline is not None and view.now > deadline + timedelta(seconds=30):
            node = pod.get("spec", {}).get("nodeName") or "its node"
            what = f"pod {pod['metadata']['name']} on {node} does not end"
            if is_shared(view.claim):
                lost = has_lost_node(pod)
                return f"{what}; " + (
                    f"it is given up at {rfc3339(deadline + limit)}"
                    if lost
                    else "nothing says yet that its node is lost"
                )
            return f"{what}; the volume can be written from one node only, so the node must come back or be deleted"
    return None
