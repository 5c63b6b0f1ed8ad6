"""A Deployment as the keeper of replicas of one pod each.

It only keeps pods of one immutable template alive: moving between revisions is its owner's, so its own strategy matters
only when somebody restarts it by hand, and is then as careful.
"""

from typing import Any

from deepseek_operator.core.resources import DEPLOYMENT, Manifest, Resource
from deepseek_operator.workloads.obstacles import Obstacle, condition_of, refused
from deepseek_operator.workloads.replicas.keeper import Pods, Wanted, stored_template

USUAL_DEADLINE_S = 600
"""Kubernetes' own progressDeadlineSeconds."""


class DeploymentKeeper:
    """One pod a replica, on one node."""

    resource: Resource = DEPLOYMENT

    def keeps(self, nodes: int) -> bool:
        """Replicas of one pod."""
        return nodes == 1

    def named(self, group: str) -> str:
        """As the group."""
        return group

    def spec(self, wanted: Wanted) -> dict[str, Any]:
        """One replica more before one less, should somebody else restart it."""
        return {
            "replicas": wanted.replicas,
            "progressDeadlineSeconds": wanted.deadline_s,
            "selector": {"matchLabels": dict(wanted.selector)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": wanted.pods.leader,
        }

    def pods(self, live: Manifest) -> Pods:
        """Of one template."""
        return Pods(stored_template(live["spec"]["template"]))

    def specified(self, live: Manifest) -> int:
        """One where nothing is written, as for Kubernetes."""
        return int(live["spec"].get("replicas", 1))

    def made(self, live: Manifest) -> int:
        """Pods of its ReplicaSets."""
        return int((live.get("status") or {}).get("replicas", 0))

    def ready(self, live: Manifest) -> int:
        """Pods that are ready."""
        return int((live.get("status") or {}).get("readyReplicas", 0))

    def deadline_s(self, live: Manifest) -> int:
        """As it is written; 600 where it is not."""
        return int(live["spec"].get("progressDeadlineSeconds") or USUAL_DEADLINE_S)

    def refused(self, live: Manifest) -> Obstacle | None:
        """Its ReplicaSet's words."""
        failed = condition_of(live, "ReplicaFailure")
        return refused(str(failed.get("message", ""))) if failed.get("status") == "True" else None
