"""Where a training stands when an attempt begins: at step 0 with fresh random sources, or where a checkpoint left it."""

import math
from dataclasses import dataclass

import torch

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import best
from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.checkpoints import told
from deepseek_runtime.trainer.course import Waiting
from deepseek_runtime.trainer.exporting import exported_steps
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.measuring import Measured
from deepseek_runtime.trainer.measuring import told as measured_told
from deepseek_runtime.trainer.meshes import copies
from deepseek_runtime.trainer.plan import Plan
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.starting import Start
from deepseek_runtime.trainer.state import State


@dataclass(frozen=True)
class Standing:
    """After `step`; `loss` is that step's, NaN where none is known."""

    step: int
    loss: float
    measured: Measured


def resume(rank: Rank, start: Start, plan: Plan, state: State) -> Standing:
    """Loads what was chosen, or seeds the random sources for step 0. Raises Damaged, Invalid."""
    rank.telling.tell(
        state="Starting",
        incarnation=start.lineage.incarnation,
        step=start.step,
        firstStep=start.step + 1,
        maxSteps=plan.max_steps,
        resumedFrom={"step": start.step} if start.manifest else None,
        exports=exported_steps(rank),
    )
    if start.held is None:
        torch.manual_seed(rank.seed)
        rank.telling.log({"event": "start", "step": 0, "maxSteps": plan.max_steps})
        return Standing(0, math.nan, Measured())
    state.method.accept(state.model, start.held.adapter(), start.step)
    state.accept(start.held)
    load(rank, start.held, state)
    _check_reach(start, start.held, plan)
    return _told(rank, start, plan, start.held.manifest)


def load(rank: Rank, held: Held, state: State) -> None:
    """Reads this rank's share of the state, and where its random sources were. Raises Damaged on all ranks."""
    rank.together(lambda: state.load(held))
    rank.together(lambda: held.restore_random_state(rank.gang.rank, rank.seed))


def _check_reach(start: Start, held: Held, plan: Plan) -> None:
    """There must be steps left to make, unless the training itself has made them all."""
    if start.is_of_another_training and start.step >= plan.max_steps:
        raise Invalid(
            f"checkpoints.resume.from names step {start.step}, and the steps before it count:"
            f" write hyperparameters.maxSteps (or epochs) of more than {start.step} steps, it is {plan.max_steps}"
        )
    if start.step > plan.max_steps:
        raise Damaged(f"{held.directory} lies behind the last of the training's {plan.max_steps} steps")


def _told(rank: Rank, start: Start, plan: Plan, manifest: Manifest) -> Standing:
    stands = standing(manifest)
    # Divided otherwise, sums have another order.
    layout = (rank.gang.world_size, rank.spec.expert, copies(rank.spec.sharding, rank.contract.gang))
    is_alike = (manifest.world_size, manifest.expert, manifest.copies) == layout
    is_exact = plan.continues and is_alike
    latest = told(manifest, None, best(start.lineage.ancestors, rank.contract.checkpoints.best))
    rank.telling.tell(**latest, loss=stands.loss, **measured_told(stands.measured.metrics))
    rank.telling.log({"event": "resume", "step": manifest.step, "incarnation": manifest.incarnation, "exact": is_exact})
    return stands


def waiting_of(rank: Rank, held: Held) -> Waiting | None:
    """How long a better evaluation has been waited for there; another training's patience is its own."""
    is_own = held.manifest.training_uid == rank.contract.training_uid
    return held.course().waiting if is_own and rank.spec.early_stopping is not None else None


def standing(manifest: Manifest) -> Standing:
    """Where a checkpoint leaves a training, by its manifest."""
    loss = manifest.metrics.get("loss")
    return Standing(manifest.step, math.nan if loss is None else loss, _measured(manifest))


def _measured(manifest: Manifest) -> Measured:
    metrics = {name: value for name, value in manifest.metrics.items() if name != "loss"}
    return Measured(manifest.step if any(value is not None for value in metrics.values()) else None, metrics)
