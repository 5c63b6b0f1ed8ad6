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


IDLE_SECONDS = 900
HOLD_SECONDS = 240
"""Less than the 300 s after which Envoy ends a stream without a byte where nobody says otherwise."""


class Wake(ApiModel):
    """When the last replica goes, and how requests wait for the first."""

    idle_seconds: Annotated[int, Field(ge=30, le=604800)] = Field(
        default=IDLE_SECONDS,
        description=f"Seconds without a request after which no replica runs, as Prometheus must say. Default {IDLE_SECONDS}.",
    )
    hold_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=HOLD_SECONDS,
        description=f"Seconds that a request waits at the gate for a replica, at most: longer than the model takes to load. Default {HOLD_SECONDS}.",
    )


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler over this resource's scale subresource."""

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="Never fewer. 0: none without requests, which needs gateway.auth; see wake. Default 1.",
    )
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
    wake: Wake | None = Field(
        default=None,
        description="Of minReplicas: 0, when the last replica goes and how requests wait for the first. Absent: the defaults.",
    )

    @property
    def sleep(self) -> Wake | None:
        """How it goes to zero and back; None where it never does."""
        return None if self.min_replicas else self.wake or Wake()

    @property
    def least(self) -> int:
        """Fewest replicas while it is awake: between none and one only the operator decides."""
        return max(1, self.min_replicas)
