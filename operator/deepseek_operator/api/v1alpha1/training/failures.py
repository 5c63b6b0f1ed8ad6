"""What happens when pods fail, or numbers do."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, rule, rules


class OnDivergence(ApiModel):
    """What follows when the loss, the gradients or the parameters cease to be finite, which is seen at that very step."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.action == 'Rollback' || !(has(self.skipSteps) || has(self.max))",
                "failurePolicy.onDivergence.skipSteps and max are of action Rollback: write action: Rollback, or leave them out",
                fieldPath=".action",
            )
        )
    )

    action: Literal["Stop", "Rollback"] = Field(
        default="Stop",
        description="Stop: the training fails, with what to change. Rollback: it goes on from the newest healthy checkpoint and leaves out the batches that led there; checkpoints record which, so that later attempts leave out the same, and the weights are saved before the first step too. Default Stop.",
    )
    skip_steps: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        default=None,
        description="Batches that a rollback leaves out: the one of the step that diverged and those before it, as far back as the checkpoint, then those after it. Absent: 1.",
    )
    max: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="Rollbacks in all attempts together; one more divergence fails the training. Absent: 3.",
    )


class FailurePolicy(ApiModel):
    """What is tolerated. Disruptions (evictions, lost nodes, deleted pods) are never counted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.minVolumeMegabytesPerSecond) || !has(self.preflightTimeoutSeconds) || self.preflightTimeoutSeconds > 0",
                "failurePolicy.minVolumeMegabytesPerSecond is of the preflight: write preflightTimeoutSeconds above 0, or leave one of them out",
                fieldPath=".minVolumeMegabytesPerSecond",
            )
        )
    )

    max_restarts: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="Crashes that are answered by another attempt. Default 3."
    )
    max_in_place_restarts: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="Crashes of one process in an attempt after which all its processes start again from the last checkpoint inside their living pods, which keep their nodes, images and claims. One more ends the attempt, and so does one before the first step, or without a new checkpoint since the crash before. The built-in trainer does so. Absent: 3, or 0 where maxRestarts is 0. An edit counts from the next attempt on.",
    )
    start_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds from when all pods are placed until all run, and again until the built-in trainer has loaded the model and is ready to train; longer counts as a crash. The second part is longer for a model that was fetched, where its weights take longer to read: twice as long as at the rate that was measured of its claim. Default 1800. For the second part an edit counts from the next attempt on.",
    )
    stall_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds without a heartbeat after the first one before the attempt is ended as stalled, a crash. Default 1800. An edit counts from the next attempt on.",
    )
    node_lost_seconds: Annotated[int, Field(ge=30, le=86400)] = Field(
        default=300,
        description="Seconds that a pod on an unreachable node is waited for beyond its grace before the next attempt starts (shared volumes only). Default 300.",
    )
    preflight_timeout_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        default=None,
        description="Before it loads anything the built-in trainer looks for the devices that were asked for, sums 16 MB over all processes, and writes and reads 16 MB on the checkpoint volume from each pod (not where less than 1 GB is free): seconds that its processes wait for each other then; what fails is a crash that names the node. It costs about a second. 0: nothing is tried. Absent: 120. An edit counts from the next attempt on.",
    )
    min_volume_megabytes_per_second: Annotated[int, Field(ge=1, le=1000000)] | None = Field(
        default=None,
        description="Least speed of the checkpoint volume, written and read, that the preflight lets pass; less is a crash that names the node. Absent: any. An edit counts from the next attempt on.",
    )
    on_divergence: OnDivergence | None = Field(
        default=None,
        description="What the built-in trainer does when its numbers are no longer finite. Absent: it stops. An edit counts from the next attempt on.",
    )
