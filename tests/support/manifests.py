"""Manifests for tests of what is decided from them alone."""

from deepseek_runtime.checkpoint.manifest import Manifest, Position


def checkpoint(
    incarnation: str,
    step: int,
    *,
    healthy: bool = True,
    attempt: int = 1,
    loss: float | None = 1.0,
    accuracy: float | None = None,
    eval_loss: float | None = None,
    parent: Position | None = None,
) -> Manifest:
    """A checkpoint without files; its Job's uid is `job-<attempt>`."""
    return Manifest(
        kind="Checkpoint",
        training_uid="training",
        attempt=attempt,
        job_uid=f"job-{attempt}",
        incarnation=incarnation,
        step=step,
        world_size=2,
        sharding="fsdp",
        parent=parent,
        files=(),
        metrics={"loss": loss, "accuracy": accuracy, "evalLoss": eval_loss},
        healthy=healthy,
        created_at="2026-01-01T00:00:00Z",
    )
