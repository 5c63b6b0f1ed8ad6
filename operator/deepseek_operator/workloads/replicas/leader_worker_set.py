"""A LeaderWorkerSet as the keeper of replicas that span several nodes: one leader, which answers, and its workers.

It only keeps groups of immutable templates alive. Its own rollout is never used: it updates groups in place, and after a
restart of its controller all of them at once (kubernetes-sigs/lws#225). Moving between revisions is its owner's.

A group lives and dies as one: whichever pod's container ends, LeaderWorkerSet deletes the leader, which leaves the
endpoints with that, and makes all of the group anew. https://lws.sigs.k8s.io/docs/concepts/
"""

from typing import Any

from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import LEADER_WORKER_SET, Manifest, Resource, labels_of
from deepseek_operator.workloads.obstacles import Obstacle
from deepseek_operator.workloads.replicas.keeper import Pods, Wanted, loading_seconds, stored_template

_NAME_LENGTH = 45
"""Its StatefulSets are called after it, a group's with the group's number behind (`-999`), and their controller puts that
name with eleven characters more into a label, which holds 63. The rest is left to numbers of groups."""
_NAME_DIGITS = 6


_GROUP_LABEL = "leaderworkerset.sigs.k8s.io/group-index"


def group_of(pod: Manifest) -> str:
    """The number of the replica that a pod belongs to; empty where LeaderWorkerSet did not make it."""
    return labels_of(pod).get(_GROUP_LABEL, "")


class LeaderWorkerSetKeeper:
    """Several pods a replica, each on a node of its own."""

    resource: Resource = LEADER_WORKER_SET

    def keeps(self, nodes: int) -> bool:
        """Replicas of more than one pod."""
        return nodes > 1

    def named(self, group: str) -> str:
        """Short enough, and never the group's own name: LeaderWorkerSet makes a headless Service called as itself, and takes
        one that is there for it. The last word stays the revision, the digest is of all words before it."""
        words, _, revision = group.rpartition("-")
        behind = f"-{digest(words, _NAME_DIGITS)}-{revision}"
        return f"{words[: _NAME_LENGTH - len(behind)].rstrip('-')}{behind}"

    def spec(self, wanted: Wanted) -> dict[str, Any]:
        """Workers start beside their leader, which waits for them before it is ready."""
        return {
            "replicas": wanted.replicas,
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
            "leaderWorkerTemplate": {
                "size": wanted.pods.nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": wanted.pods.leader,
                "workerTemplate": wanted.pods.worker,
            },
        }

    def pods(self, live: Manifest) -> Pods:
        """The leader's template, and the workers'; a set without one for its leader makes it like the workers."""
        stored = live["spec"]["leaderWorkerTemplate"]
        worker = stored_template(stored["workerTemplate"])
        leader, nodes = stored.get("leaderTemplate"), int(stored.get("size") or 1)
        leading = stored_template(leader) if leader else worker
        return Pods(leading, worker, nodes) if nodes > 1 else Pods(leading)

    def specified(self, live: Manifest) -> int:
        """One where nothing is written, as its schema says."""
        return int(live["spec"].get("replicas", 1))

    def made(self, live: Manifest) -> int:
        """Groups of which there is a leader."""
        return int((live.get("status") or {}).get("replicas", 0))

    def ready(self, live: Manifest) -> int:
        """Groups of which every pod is ready."""
        return int((live.get("status") or {}).get("readyReplicas", 0))

    def deadline_s(self, live: Manifest) -> int:
        """It has no field for that: as long as its leader may load, and the time to get there."""
        return loading_seconds(self.pods(live).leader)

    def refused(self, live: Manifest) -> Obstacle | None:
        """It repeats nothing of what its StatefulSets are told."""
        return None
