"""By which signals replicas come and go."""

from typing import Annotated, Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel


class ScalingSignal(ApiModel):
    """What replicas are counted by."""

    type: Literal["InFlight"] = Field(
        default="InFlight", description="InFlight: requests running plus waiting, over all replicas. Default InFlight."
    )
    target: Annotated[int, Field(ge=1, le=1000000)] = Field(
        description="Requests in flight per replica that are aimed at. Example: 8."
    )


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler over this resource's scale subresource."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Never fewer. Default 1.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Never more. Example: 8.")
    signals: list[ScalingSignal] = Field(
        min_length=1,
        max_length=4,
        description="The largest wish wins.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    scale_down_stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=300,
        description="Seconds over which the highest wish counts before replicas are taken away. Default 300.",
    )
