"""One process of a gang that trains mixtures of experts, for `test_experts`: `python -m tests.runtime.dealt FOLDER RANK WORLD`.

Each family is trained with all experts on every process, and dealt out over each of the degrees that the gang allows;
stopped on the way and gone on from, also with another degree. What was seen is written to FOLDER/told-WORLD-RANK.json.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import safe_open
from torch.distributed.tensor import DTensor

from deepseek_runtime.rundir import VARIABLE
from deepseek_runtime.trainer.gang import Gang
from tests.runtime.families import FAMILIES
from tests.runtime.observed import Bench, Observed
from tests.runtime.workplace import Workplace, alone_on_a_thread

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
            again = self._attempt(f"again-{degree}", degree, {"hyperparameters.activationRecomputation": "Full"})
            found[f"again-{degree}"] = _told(again)
            found[str(degree)] = {**_told(whole), "held": _held(whole), "export": _export(whole)}
            if lives:
                self._attempt(f"part-{degree}", degree, stops=True)
        for number, (begun, other) in enumerate(continuations(self.world) if lives else []):
            found[f"{begun}-{other}"] = self._resumed(begun, other, number)
        return found

    def _resumed(self, degree: int, other: int, number: int) -> Told:
        ancestry = json.dumps([{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}])
        names: dict[str, Any] = {
            "ATTEMPT": str(number + 2),
            "JOB_UID": f"job-{number + 2}",
            "POD_UID": f"again-{number}",
        }
        return _told(
            self._attempt(f"part-{degree}", other, RESUME_ANCESTRY=ancestry, CHECKPOINT_KEEP_LAST="9", **names)
        )

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
    steps = [record for record in seen.records if record["event"] == "step"]
    return {
        "losses": {str(record["step"]): record["loss"] for record in steps},
        "norms": {str(record["step"]): record["gradientNorm"] for record in steps},
        "evaluations": [record["evalLoss"] for record in seen.records if record["event"] == "evaluation"],
        "exact": [record["exact"] for record in seen.records if record["event"] == "resume"],
    }


def _held(seen: Observed) -> list[list[int]]:
    """What this process has of each tensor of experts."""
    tensors = (tensor for tensor in seen.network.parameters() if tensor.ndim == 3)
    return [list((one.to_local() if isinstance(one, DTensor) else one).shape) for one in tensors]


def _export(seen: Observed) -> dict[str, float]:
    """The norm of each tensor that was exported, by its name: each expert has its own."""
    with safe_open(seen.root / "exports" / str(STEPS) / "model.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name).double() for name in file.keys()}  # noqa: SIM118
    return {name: float(tensor.norm()) for name, tensor in tensors.items()}


def main(folder: Path, rank: int, world: int) -> None:
    meeting = folder / f"meeting-{world}"
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world, VARIABLE: meeting}
    with alone_on_a_thread():
        gang = Gang.meet({name: str(value) for name, value in names.items()})
        workplace = Workplace(Bench(gang, folder), folder)
        told = {}
        for name in mixtures(world):
            at = folder / f"{world}-{name}"
            start = Trained(workplace, at, {"custom": dict(FAMILIES[name])}, world)
            told[name] = start.told()
            if name in READ:
                model = {"path": str(at / "whole-1" / "training-uid" / "exports" / str(STEPS))}
                told[f"{name} from weights"] = Trained(workplace, at / "read", model, world).told(lives=False)
        (folder / f"told-{world}-{rank}.json").write_text(json.dumps(told))
        gang.part()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
