"""`DeepSeekTraining`: one run of a model over datasets, with checkpoints that survive whatever happens to its pods.

Which edits are let in is said by the rules of the resource itself, over `status`: model, initFrom, objective, method, datasets,
chatTemplate, lossOn, data, hyperparameters, the volume and resume are fixed once something may have been learnt, and until then
an edit of them starts the training anew; nodes, accelerator and trainer stop the attempt and start another from the newest checkpoint;
what pods read (when to save, how many to keep, the stall) counts from the next attempt on; the rest is live.
"""

from functools import cache
from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel, ObjectMeta
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus


class DeepSeekTraining(ApiModel):
    """One run of a model over datasets, restarted from its checkpoints until it completes."""

    api_version: str = "deepseek-operator.io/v1alpha1"
    kind: Literal["DeepSeekTraining"] = "DeepSeekTraining"
    metadata: ObjectMeta
    spec: TrainingSpec
    status: TrainingStatus = Field(default_factory=cache(TrainingStatus))
