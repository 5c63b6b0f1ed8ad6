"""One process of an attempt: what it was told, whom it agrees with, whom it tells."""

from collections.abc import Callable
from dataclasses import dataclass

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Contract
from deepseek_runtime.rundir import Heartbeat
from deepseek_runtime.spec import Hyperparameters, TrainingSpec
from deepseek_runtime.trainer.gang import Gang
from deepseek_runtime.trainer.telling import Telling


@dataclass(frozen=True)
class Rank:
    """What every part of a training stands on. `wants_stop` says whether this process got SIGTERM."""

    contract: Contract
    spec: TrainingSpec
    gang: Gang
    heartbeat: Heartbeat
    telling: Telling
    wants_stop: Callable[[], bool]

    @property
    def parameters(self) -> Hyperparameters:
        return self.spec.hyperparameters

    @property
    def seed(self) -> int:
        """Where this rank's random sources begin."""
        return self.parameters.seed + self.gang.rank

    @property
    def volume(self) -> Volume:
        return Volume(self.contract.checkpoints.root)

    def together(self, read: Callable[[], object]) -> None:
        """Reads on each rank alone. Raises Damaged on all of them when one could not."""
        problem: Damaged | None = None
        try:
            read()
        except Damaged as error:
            problem = error
        if self.gang.any(problem is not None):
            raise problem or Damaged("another rank could not read its share of the checkpoint")
