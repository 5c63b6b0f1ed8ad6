"""`DeepSeekServing`: replicas of an inference engine over one version of a model, rolled out and scaled.

`replicas` has a schema default because the HorizontalPodAutoscaler reads it through the scale subresource and never
starts when it is absent; under `autoscaling` it is that autoscaler's register and a user leaves it alone.
"""

from functools import cache
from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel, ObjectMeta
from deepseek_operator.api.v1alpha1.serving.spec import ServingSpec
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus


class DeepSeekServing(ApiModel):
    """Replicas of an engine over one version of a model, rolled out step by step and scaled by load."""

    api_version: str = "deepseek-operator.io/v1alpha1"
    kind: Literal["DeepSeekServing"] = "DeepSeekServing"
    metadata: ObjectMeta
    spec: ServingSpec
    status: ServingStatus = Field(default_factory=cache(ServingStatus))
