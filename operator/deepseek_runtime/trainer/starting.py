"""Where this attempt begins: rank 0 chooses, every rank verifies a share of what is read, all agree.

A damaged checkpoint is passed over for the next older one. If there are checkpoints and none is whole, or
can be read, the attempt fails: beginning again at step 0 is never done in silence. That is final, as another attempt
would find the same, unless the machine failed while it read.
"""

from dataclasses import dataclass

from deepseek_runtime.checkpoint.choice import Choice, choose, refuse_all, sibling
from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Contract
from deepseek_runtime.reading import is_the_machines
from deepseek_runtime.trainer.gang import Gang, broadcast
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.saver import Lineage


@dataclass(frozen=True)
class Start:
    """`manifest` is None for a beginning at step 0; `source` is the volume that it lies on."""

    manifest: Manifest | None
    source: Volume
    lineage: Lineage

    @property
    def held(self) -> Held | None:
        return Held.on(self.source, self.manifest) if self.manifest else None

    @property
    def step(self) -> int:
        return self.manifest.step if self.manifest else 0

    @property
    def is_of_another_training(self) -> bool:
        """Whether it goes on from what `resume.from` names."""
        begun = self.lineage.resumed_from
        return begun is not None and begun.training_uid is not None


def begin(contract: Contract, gang: Gang) -> Start:
    """Finds the checkpoint to go on from, verifies it and writes the origin. Raises Invalid or Damaged."""
    own = Volume(contract.checkpoints.root)
    choice = broadcast(choose(contract, own) if gang.is_first else None)
    assert isinstance(choice, Choice)
    source = own if choice.training_uid is None else sibling(own, choice.training_uid)
    found = first_whole(choice.candidates, source, gang)
    position = Position(found.incarnation, found.step, choice.training_uid) if found else None
    if gang.is_first:
        with writing(own.root, "a file of this attempt"):
            _note(contract, own, Origin(contract.attempt, contract.job_uid, choice.incarnation, position))
    return Start(found, source, Lineage(choice.incarnation, position, *choice.lineage(found)))


def _note(contract: Contract, own: Volume, origin: Origin) -> None:
    """Where the incarnation began. One that starts again in its pods has that written already, and makes the steps again
    that it goes back from: what was passed over of them as damaged leaves its name to what will be saved."""
    if contract.restart == 0 or origin.incarnation not in own.origins():
        own.write_origin(origin)
    went_back = origin.resumed_from is not None and origin.resumed_from.incarnation == origin.incarnation
    for manifest in own.checkpoints_of(origin.incarnation) if contract.restart and went_back else ():
        if origin.resumed_from is not None and manifest.step > origin.resumed_from.step:
            own.delete(manifest, contract.attempt, origin.incarnation)


def first_whole(candidates: tuple[Manifest, ...], source: Volume, gang: Gang) -> Manifest | None:
    """The first of them that all ranks together find whole, None where there are none. Raises Damaged."""
    problems, is_readable = [], True
    for manifest in candidates:
        # Each rank looks at all sizes and at the hashes of every n-th file.
        problem = source.problem_of(manifest, manifest.files[gang.rank :: gang.world_size]) or _strangeness(
            Held.on(source, manifest), gang.rank
        )
        if not gang.any(problem is not None):
            return manifest
        is_readable &= not gang.any(problem is not None and is_the_machines(problem))
        problems.append(str(problem or f"step {manifest.step}: another rank found it damaged"))
    refuse_all(problems, is_readable=is_readable)
    return None


def _strangeness(held: Held, rank: int) -> Damaged | None:
    """What of a checkpoint with right hashes is none of this trainer's; None for a good one."""
    try:
        held.check(rank)
    except Damaged as error:
        return error
    return None
