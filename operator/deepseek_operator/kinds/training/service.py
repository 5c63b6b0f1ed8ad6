"""The headless Service under which the pods of an attempt find rank 0 before they are ready.

It outlives the attempts, and Jobs that somebody deleted, so it also bears in annotations what a wiped status could
not tell any more: the newest attempt's number and the uid of the claim that holds the checkpoints.
"""

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.names import OWNER_UID, owner_labels, owner_reference, training_service
from deepseek_operator.core.resources import GROUP, TRAINING, Manifest

LAST_ATTEMPT = f"{GROUP}/last-attempt"
CLAIM_UID = f"{GROUP}/claim-uid"
RENDEZVOUS_PORT = 29500
PROGRESS_PORT = 8090


def service(owner: DeepSeekTraining, attempt: int, claim_uid: str) -> Manifest:
    """The Service as wanted from `attempt` on."""
    meta = owner.metadata
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": training_service(meta.name),
            "namespace": meta.namespace,
            "labels": owner_labels(TRAINING, meta.name, meta.uid),
            "annotations": {LAST_ATTEMPT: str(attempt), CLAIM_UID: claim_uid},
            "ownerReferences": [owner_reference(TRAINING, meta.name, meta.uid)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {OWNER_UID: meta.uid},
            "ports": [
                {"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP"},
                {"name": "progress", "port": PROGRESS_PORT, "protocol": "TCP"},
            ],
        },
    }
