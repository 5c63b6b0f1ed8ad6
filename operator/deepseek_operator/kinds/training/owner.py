"""A training as the owner of its children."""

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.workloads.owner import Owner


def owner_of(training: DeepSeekTraining) -> Owner:
    """What its children tell of it."""
    meta = training.metadata
    return Owner(TRAINING, meta.name, meta.namespace, meta.uid)
