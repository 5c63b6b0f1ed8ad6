"""The claim for checkpoints that the operator makes when the spec names none."""

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.resources import Manifest
from deepseek_operator.kinds.training.names import training_claim
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.workloads.batch import claim

DEFAULT_SIZE = "10Gi"


def access_mode(spec: TrainingSpec) -> str:
    """ReadWriteOnce serves one node; more need a volume that all of them can mount."""
    return spec.checkpoints.volume.access_mode or ("ReadWriteOnce" if spec.nodes.number == 1 else "ReadWriteMany")


def new_claim(training: DeepSeekTraining) -> Manifest:
    """The claim as it is first made."""
    owner, volume = owner_of(training), training.spec.checkpoints.volume
    name, size = training_claim(owner.name, owner.uid), volume.size or DEFAULT_SIZE
    return claim.new_claim(owner, name, access_mode(training.spec), size, volume.storage_class_name)


def kept_claim(training: DeepSeekTraining, live: Manifest, *, is_owned: bool) -> Manifest:
    """The living claim as wanted now; owned it goes with the training."""
    return claim.kept_claim(new_claim(training), live, owner_of(training).reference if is_owned else None)
