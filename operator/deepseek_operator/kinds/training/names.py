"""Names of a training's children. They can never change: a stored object carries them."""

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import child_name, uid_hash


def training_service(name: str) -> str:
    """The headless Service of the rendezvous, and the NetworkPolicy of a gang; one for all attempts."""
    return child_name(TRAINING, name)


def training_job(name: str, uid: str, attempt: int) -> str:
    """The Job of one attempt. `attempt` counts from 1 and is never reused."""
    return f"{training_claim(name, uid)}-{attempt}"


def training_claim(name: str, uid: str) -> str:
    """The PVC that the operator makes for the checkpoints."""
    return f"{child_name(TRAINING, name)}-{uid_hash(uid)}"
