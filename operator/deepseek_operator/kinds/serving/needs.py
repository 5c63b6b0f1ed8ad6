"""What a serving must look at besides its children: the training that it refers to, and the claim that it mounts."""

from collections.abc import Iterator

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.resources import CLAIM, Ref
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.serving.model import resolve


def needs(seen: Seen[DeepSeekServing]) -> Needs:
    """References of this pass; the claim of a training's export is known once the export is."""
    return Needs(references=tuple(_references(seen)))


def _references(seen: Seen[DeepSeekServing]) -> Iterator[Ref]:
    resolution, training = resolve(seen), seen.owner.spec.model.from_training
    if training is not None and resolution != seen.owner.status.resolved:
        yield Ref(TRAINING, training.name)
    if isinstance(resolution, ResolvedModel):
        yield Ref(CLAIM, resolution.claim_name)
