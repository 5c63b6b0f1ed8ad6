"""One process of a gang that trains mixtures of experts, for `test_experts` (see `gangs`).

Each family is trained with all experts on every process, and dealt out over each of the degrees that the gang allows;
stopped on the way and gone on from, also with another degree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import safe_open
from torch.distributed.tensor import DTensor

from tests.runtime.families import FAMILIES
from tests.runtime.gangs import again, steps_of, take_part
from tests.runtime.observed import Observed
from tests.runtime.workplace import Workplace

MIXTURES = tuple(name for name, fields in FAMILIES.items() if "n_routed_experts" in fields)
READ = ("deepseek_v2", "deepseek_v3")
"""Families that are trained from files as well, which every process reads its own experts of."""
STEPS, STOPPED_AT = 5, 2
Told = dict[str, object]


def degrees(world: int) -> list[int]:
    """What experts can be dealt out over in a gang of that many processes."""
    return [degree for degree in (1, 2, 4) if degree <= world]


def mixtures(world: int) -> tuple[str, ...]:
    """All families on two processes, one of each kind of routing on four."""
    return MIXTURES if world == 2 else ("deepseek_v2", "deepseek_v3", "deepseek_v4")


def continuations(world: int) -> list[tuple[int, int]]:
    """The degree of a training that is stopped, and that of the one that goes on from it."""
    dealt = [degree for degree in degrees(world) if degree > 1]
    return [*((one, one) for one in dealt), *((one, 1) for one in dealt), *((1, one) for one in dealt)]


@dataclass(frozen=True)
class Trained:
    """Where this process trains from one start."""

    workplace: Workplace
    folder: Path
    model: Mapping[str, object]
    world: int

    def told(self, *, lives: bool = True) -> dict[str, Told]:
        """By its degree what came of an undisturbed training; with `lives` also what went on from a stopped one, by both
        degrees."""
        found: dict[str, Told] = {}
        for degree in degrees(self.world):
            whole = self._attempt(f"whole-{degree}", degree)
            repeated = self._attempt(f"again-{degree}", degree, {"hyperparameters.activationRecomputation": "Full"})
            found[f"again-{degree}"] = _told(repeated)
            found[str(degree)] = {**_told(whole), "held": _held(whole), "export": _export(whole)}
            if lives:
                self._attempt(f"part-{degree}", degree, stops=True)
        for number, (begun, other) in enumerate(continuations(self.world) if lives else []):
            found[f"{begun}-{other}"] = self._resumed(begun, other, number)
        return found

    def _resumed(self, degree: int, other: int, number: int) -> Told:
        return _told(self._attempt(f"part-{degree}", other, CHECKPOINT_KEEP_LAST="9", **again(number)))

    def _attempt(
        self,
        volume: str,
        degree: int,
        more: Mapping[str, object] = MappingProxyType({}),
        *,
        stops: bool = False,
        **variables: Any,
    ) -> Observed:
        changes = {
            **more,
            "model": self.model,
            "hyperparameters.maxSteps": STEPS,
            "hyperparameters.gradientClipNorm": "1.0",
            # At 1e-2 V4's norm jumps in its fourth step, and what sums differ by in their last bits grows to 2.5e-5.
            "hyperparameters.learningRate": "1e-3",
            "parallelism": {"expert": degree},
        }
        at = self.folder / volume
        return self.workplace.attempt(
            at, changes, wants_stop=lambda seen: stops and len(seen.losses) >= STOPPED_AT - 1, **variables
        )


def _told(seen: Observed) -> Told:
    evaluations = [record["evalLoss"] for record in seen.records if record["event"] == "evaluation"]
    return {**steps_of(seen), "evaluations": evaluations}


def _held(seen: Observed) -> list[list[int]]:
    """What this process has of each tensor of experts."""
    tensors = (tensor for tensor in seen.network.parameters() if tensor.ndim == 3)
    return [list((one.to_local() if isinstance(one, DTensor) else one).shape) for one in tensors]


def _export(seen: Observed) -> dict[str, float]:
    """The norm of each tensor that was exported, by its name: each expert has its own."""
    with safe_open(seen.root / "exports" / str(STEPS) / "model.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name).double() for name in file.keys()}  # noqa: SIM118
    return {name: float(tensor.norm()) for name, tensor in tensors.items()}


def main(workplace: Workplace) -> dict[str, dict[str, Told]]:
    folder, world, told = workplace.files, workplace.bench.gang.world_size, dict[str, dict[str, Told]]()
    for name in mixtures(world):
        at = folder / f"{world}-{name}"
        start = Trained(workplace, at, {"custom": dict(FAMILIES[name])}, world)
        told[name] = start.told()
        if name in READ:
            model = {"path": str(at / "whole-1" / "training-uid" / "exports" / str(STEPS))}
            told[f"{name} from weights"] = Trained(workplace, at / "read", model, world).told(lives=False)
    return told


if __name__ == "__main__":
    take_part(main)
