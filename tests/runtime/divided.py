"""One process of a gang that trains with every optimizer, for `test_optimizers_of_a_gang` (see `gangs`).

Each is trained undisturbed and stopped on the way; what another gang has stopped is gone on from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepseek_runtime.spec import OPTIMIZERS
from tests.runtime.families import FAMILIES
from tests.runtime.gangs import again, steps_of, take_part
from tests.runtime.observed import Document, Observed
from tests.runtime.workplace import Workplace

WORLDS = (2, 3, 1)
"""Numbers of processes, in the order in which the gangs come: each goes on from what the one before has stopped."""
STEPS, STOPPED_AT = 5, 3
# Wide enough that moments are kept in 8 bits: 64 numbers of a row, 4096 of a parameter.
WIDE = {**FAMILIES["deepseek_v3"], "hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 64}
STARTS = ("Full", "LoRA", "Full, experts dealt out")
_LORA = {"type": "LoRA", "lora": {"rank": 64, "targets": ["Linear", "Experts"]}}


def has(start: str, world: int) -> bool:
    """Whether a gang of that many processes trains so: four experts are dealt out over two."""
    return world == 2 or "dealt out" not in start


@dataclass(frozen=True)
class Trained:
    """Where this process trains."""

    workplace: Workplace
    folder: Path
    world: int

    def told(self, start: str, optimizer: str) -> dict[str, Document]:
        found = {"whole": steps_of(self._attempt(start, optimizer, f"whole-{self.world}"))}
        self._attempt(start, optimizer, f"part-{self.world}", stops=True)
        before = WORLDS[WORLDS.index(self.world) - 1]
        stopped = self.folder / f"{start}-{optimizer}-part-{before}"
        if self.world != WORLDS[0] and stopped.exists():
            found["resumed"] = steps_of(self._attempt(start, optimizer, f"part-{before}", **again(0)))
        return found

    def _attempt(self, start: str, optimizer: str, volume: str, *, stops: bool = False, **variables: Any) -> Observed:
        changes: Document = {
            "model": {"custom": WIDE},
            "hyperparameters.optimizer": optimizer,
            "hyperparameters.maxSteps": STEPS,
            "hyperparameters.learningRate": "3e-3",
            "hyperparameters.globalBatchSize": 6,
            "hyperparameters.weightDecay": "0.1",
            "hyperparameters.gradientClipNorm": "0.5",
        }
        if start == "LoRA":
            base = self.folder / f"Full-{OPTIMIZERS[0]}-whole-{WORLDS[0]}" / "training-uid" / "exports" / str(STEPS)
            changes |= {"model": {"path": str(base)}, "method": _LORA}
        elif "dealt out" in start:
            changes |= {"parallelism": {"expert": 2}}
        return self.workplace.attempt(
            self.folder / f"{start}-{optimizer}-{volume}",
            changes,
            wants_stop=lambda seen: stops and len(seen.losses) >= STOPPED_AT - 1,
            **variables,
        )


def main(workplace: Workplace) -> dict[str, dict[str, Document]]:
    world = workplace.bench.gang.world_size
    trained = Trained(workplace, workplace.files, world)
    return {
        f"{start}, {optimizer}": trained.told(start, optimizer)
        for start in STARTS
        for optimizer in OPTIMIZERS
        if has(start, world)
    }


if __name__ == "__main__":
    take_part(main)
