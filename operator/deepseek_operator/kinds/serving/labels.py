"""Labels by which a serving's pods are found. They can never change: Deployments' selectors are immutable, and pods
that an earlier release of the operator made must stay behind the Service of this one.
"""

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.names import OWNER_UID, REVISION_LABEL, ROLE_LABEL, owner_labels
from deepseek_operator.core.resources import Manifest, labels_of

ENGINE_ROLE = "engine"
"""Of the one pod of each replica that answers requests."""
WORKER_ROLE = "worker"
"""Of the others of a replica over several nodes, which compute for it: no Service or count selects them."""
EXAMINER_ROLE = "examiner"
"""Of what asks a revision and is none of its replicas: no Service, budget or scrape selects it."""


def child_labels(owner: DeepSeekServing) -> dict[str, str]:
    """Labels of every child."""
    return owner_labels(SERVING, owner.metadata.name, owner.metadata.uid)


def revision_labels(owner: DeepSeekServing, revision: str) -> dict[str, str]:
    """Labels of what belongs to one revision."""
    return {**child_labels(owner), REVISION_LABEL: revision}


def pod_labels(owner: DeepSeekServing, revision: str, role: str = ENGINE_ROLE) -> dict[str, str]:
    """Labels of the pods of one revision."""
    return {**revision_labels(owner, revision), ROLE_LABEL: role}


def examiner_labels(owner: DeepSeekServing) -> dict[str, str]:
    """Labels of an exam's Job and its pod."""
    return {**child_labels(owner), ROLE_LABEL: EXAMINER_ROLE}


def replica_selector(owner: DeepSeekServing) -> dict[str, str]:
    """Selects exactly one pod per replica, over all revisions."""
    return {OWNER_UID: owner.metadata.uid, ROLE_LABEL: ENGINE_ROLE}


def revision_selector(owner: DeepSeekServing, revision: str) -> dict[str, str]:
    """Selects exactly one pod per replica of one revision."""
    return {**replica_selector(owner), REVISION_LABEL: revision}


def is_worker(pod: Manifest) -> bool:
    """Whether a pod is one of a replica that another of its pods answers for."""
    return labels_of(pod).get(ROLE_LABEL) == WORKER_ROLE


def revision_of(pod: Manifest) -> str:
    """The revision that a pod belongs to; empty when it belongs to none. Its ReplicaSet lets go a pod that says another."""
    return labels_of(pod).get(REVISION_LABEL, "")


def revision_named(child: Manifest) -> str:
    """The revision of what keeps its replicas, or of its ControllerRevision, by its name: a label can be written by anybody."""
    return str(child["metadata"]["name"]).rpartition("-")[2]
