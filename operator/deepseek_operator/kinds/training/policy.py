"""The NetworkPolicy of a gang: only its own pods reach the port at which its ranks meet, and each other's.

torch's rendezvous knows no passwords: whoever reaches it may take part. The ranks of a single pod meet inside of it and
need none. Where the cluster's network enforces no policies it has no effect. Everybody may read `/progress`, as before:
the operator does, Prometheus does, and neither's place is known here.
"""

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import POLICY, Manifest
from deepseek_operator.kinds.training.names import training_service
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.kinds.training.service import PROGRESS_PORT


def is_gang(owner: DeepSeekTraining) -> bool:
    """Whether ranks of several pods meet."""
    return owner.spec.nodes.number > 1


def policy(owner: DeepSeekTraining) -> Manifest:
    """The NetworkPolicy as wanted."""
    whose = owner_of(owner)
    own = {"matchLabels": {OWNER_UID: whose.uid}}
    return {
        **whose.child(POLICY, training_service(whose.name)),
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": own}]}, {"ports": [{"protocol": "TCP", "port": PROGRESS_PORT}]}],
        },
    }
