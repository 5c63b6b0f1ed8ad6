"""One process of a gang of two nodes, for `test_hybrid` (see `gangs`).

Four processes train with all states shared out over all of them, and with a copy on each node; stop on the way and go on,
also in the other layout. Two go on from what four have left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch.distributed.tensor import DTensor

from deepseek_runtime.trainer.gang import Gang
from tests.runtime.eight_bits import in_fp8
from tests.runtime.families import FAMILIES
from tests.runtime.gangs import again, steps_of, take_part
from tests.runtime.observed import Observed
from tests.runtime.workplace import Workplace

STARTS = ("llama-tied", "deepseek_v2", "deepseek_v3")
READ = ("deepseek_v3 fp8", "deepseek_v3 LoRA")
STEPS, STOPPED_AT = 4, 2
LAYOUTS = ("Full", "Hybrid")
Told = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """Where this process trains from one start, in a gang of `world`."""

    workplace: Workplace
    folder: Path
    changes: Mapping[str, object]
    world: int

    def told(self) -> dict[str, Told]:
        """By layout what came of an undisturbed training, by two what went on from the first in the second."""
        found: dict[str, Told] = {}
        for layout in LAYOUTS:
            whole = self._attempt(f"whole-{layout}", layout)
            found[layout] = {**steps_of(whole), "held": _held(whole), "export": _export(whole)}
            self._attempt(f"part-{layout}", layout, stops=True)
        for number, (begun, other) in enumerate([("Hybrid", "Hybrid"), ("Hybrid", "Full"), ("Full", "Hybrid")]):
            found[f"{begun}-{other}"] = self.resumed(begun, other, number)
        return found

    def resumed(self, begun: str, other: str, number: int) -> Told:
        return steps_of(self._attempt(f"part-{begun}", other, CHECKPOINT_KEEP_LAST="9", **again(number)))

    def _attempt(self, volume: str, layout: str, *, stops: bool = False, **variables: Any) -> Observed:
        nodes: dict[str, Any] = {"NODES": "2", "PROCESSES_PER_NODE": str(self.world // 2)}
        changes = {
            **self.changes,
            "hyperparameters.maxSteps": STEPS,
            "hyperparameters.gradientClipNorm": "1.0",
            "parallelism": {"sharding": layout},
        }
        return self.workplace.attempt(
            self.folder / volume,
            changes,
            wants_stop=lambda seen: stops and len(seen.losses) >= STOPPED_AT - 1,
            **nodes,
            **variables,
        )


def _held(seen: Observed) -> float:
    """What part of all trained and frozen numbers this process has."""
    parameters = list(seen.network.parameters())
    here = sum((one.to_local() if isinstance(one, DTensor) else one).numel() for one in parameters)
    return float(here / sum(one.numel() for one in parameters))


def _export(seen: Observed) -> dict[str, float]:
    (found,) = (seen.root / "exports" / str(STEPS)).glob("*.safetensors")
    with safe_open(found, "pt") as file:
        return {name: float(file.get_tensor(name).double().norm()) for name in file.keys()}  # noqa: SIM118


def starts(folder: Path, gang: Gang) -> dict[str, dict[str, object]]:
    """What each training begins with; those of files are made of what earlier ones have exported."""
    found: dict[str, dict[str, object]] = {name: {"model": {"custom": dict(FAMILIES[name])}} for name in STARTS}
    exports = {name: folder / name / "whole-Full" / "training-uid" / "exports" / str(STEPS) for name in STARTS}
    fp8 = folder / "fp8"
    found["deepseek_v3 fp8"] = {"model": {"path": str(fp8)}}
    lora = {"type": "LoRA", "lora": {"rank": 4, "targets": ["Linear", "Experts"], "export": "Adapter"}}
    found["deepseek_v3 LoRA"] = {"model": {"path": str(exports["deepseek_v3"])}, "method": lora}
    return found


def main(workplace: Workplace) -> dict[str, dict[str, Told]]:
    gang, folder, told = workplace.bench.gang, workplace.files, dict[str, dict[str, Told]]()
    for name, changes in starts(folder, gang).items():
        if name == "deepseek_v3 fp8" and gang.world_size == 4:
            if gang.is_first:
                plain = folder / "deepseek_v3" / "whole-Full" / "training-uid" / "exports" / str(STEPS)
                in_fp8(plain, folder / "fp8", folder / "exact", (12, 10))
            gang.any(value=False)
        start = Trained(workplace, folder / name, changes, gang.world_size)
        told[name] = start.told() if gang.world_size == 4 else {"Hybrid-Full": start.resumed("Hybrid", "Full", 7)}
    return told


if __name__ == "__main__":
    take_part(main)
