"""Where this attempt begins: rank 0 chooses, every rank verifies a share of what is read, all agree.

A damaged checkpoint is passed over for the next older one. If there are checkpoints and none is whole, or
can be read, the attempt fails: beginning again at step 0 is never done in silence. That is final, as another attempt
would find the same, unless the machine failed while it read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_runtime.checkpoint import resume
from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Contract, Invalid
from deepseek_runtime.reading import is_the_machines
from deepseek_runtime.trainer.gang import Gang, broadcast
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.saver import Lineage

RESTORE = "put their files back and go on by a new training with checkpoints.resume.from, or begin a new one without it"


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


@dataclass(frozen=True)
class _Choice:
    """Candidates, first choice first; `training_uid` is set when they are another training's."""

    candidates: tuple[Manifest, ...]
    leftovers: tuple[Manifest, ...]
    training_uid: str | None
    incarnation: str


def begin(contract: Contract, gang: Gang) -> Start:
    """Finds the checkpoint to go on from, verifies it and writes the origin. Raises Invalid or Damaged."""
    own = Volume(contract.checkpoints.root)
    choice = broadcast(_choose(contract, own) if gang.is_first else None)
    assert isinstance(choice, _Choice)
    source = own if choice.training_uid is None else sibling(own, choice.training_uid)
    found = first_whole(choice.candidates, source, gang)
    position = Position(found.incarnation, found.step, choice.training_uid) if found else None
    if gang.is_first:
        with writing(own.root, "a file of this attempt"):
            own.write_origin(Origin(contract.attempt, contract.job_uid, choice.incarnation, position))
    return Start(found, source, _lineage(choice, found, position))


def _lineage(choice: _Choice, found: Manifest | None, position: Position | None) -> Lineage:
    """What was passed over as damaged is no ancestor's any more: no later attempt would go on from it either."""
    if choice.training_uid is not None or found is None:
        return Lineage(choice.incarnation, position, (), choice.leftovers)
    first = choice.candidates.index(found)
    damaged = choice.candidates[:first]
    return Lineage(choice.incarnation, position, choice.candidates[first:], (*choice.leftovers, *damaged))


def sibling(volume: Volume, training_uid: str) -> Volume:
    """Another training's directory beside this one's."""
    return Volume(volume.root.parent / training_uid)


def _choose(contract: Contract, own: Volume) -> _Choice:
    origins, manifests = own.origins(), own.checkpoints()
    if contract.resume == "Never":
        return _Choice((), _leftovers(contract, origins, manifests, ()), None, contract.pod_uid)
    found = tuple(resume.candidates(contract.ancestry, origins, manifests))
    leftovers = _leftovers(contract, origins, manifests, found)
    if not found:
        _refuse_unbelieved(contract, own, origins, manifests)
    if found or contract.resume_from is None:
        return _Choice(found, leftovers, None, contract.pod_uid)
    if contract.resume_from.training_uid == contract.training_uid:
        return _Choice(_everything(own), (), None, contract.pod_uid)
    return _Choice(_from_other(contract, own), leftovers, contract.resume_from.training_uid, contract.pod_uid)


def _refuse_unbelieved(
    contract: Contract, own: Volume, origins: Mapping[str, Origin], manifests: resume.Manifests
) -> None:
    """Raises Damaged when earlier attempts left what may be checkpoints, and none that can be gone on from."""
    names = {resume.incarnation_of(one, origins, manifests) for one in contract.ancestry}
    names |= {one.incarnation for one in contract.ancestry}
    strange = [str(folder) for name in sorted(name for name in names if name) for folder in own.unbelieved(name)]
    if strange:
        raise Damaged(f"nothing in {', '.join(strange[:4])} can be read: {RESTORE}")


def _everything(volume: Volume) -> tuple[Manifest, ...]:
    """What a training left, by its own origins: for another one's start, or when its ancestry is no longer recorded."""
    origins, manifests = volume.origins(), volume.checkpoints()
    return tuple(resume.candidates(resume.whole_ancestry(origins, manifests), origins, manifests))


def _leftovers(
    contract: Contract, origins: Mapping[str, Origin], manifests: resume.Manifests, found: tuple[Manifest, ...]
) -> tuple[Manifest, ...]:
    """Ancestors' checkpoints that no attempt descends from."""
    names = {resume.incarnation_of(one, origins, manifests) for one in contract.ancestry}
    accepted = {m.position for m in found}
    return tuple(
        m for name in sorted(n for n in names if n) for m in manifests.get(name, ()) if m.position not in accepted
    )


def _from_other(contract: Contract, own: Volume) -> tuple[Manifest, ...]:
    wanted = contract.resume_from
    assert wanted is not None
    found = _everything(sibling(own, wanted.training_uid))
    chosen = resume.choose(found, wanted.checkpoint)
    if not chosen:
        there = ", ".join(str(m.step) for m in sorted(found, key=lambda m: m.step)) or "none"
        raise Invalid(
            f"checkpoints.resume.from names {wanted.checkpoint} of training {wanted.training_uid},"
            f" which holds these healthy checkpoints: {there}"
        )
    return tuple(chosen)


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
    if problems and not is_readable:
        # The next attempt may read what this one could not.
        raise OSError(f"none of {len(problems)} checkpoints could be read: {'; '.join(problems)}")
    if problems:
        raise Damaged(f"none of {len(problems)} checkpoints is whole: {'; '.join(problems)}; {RESTORE}")
    return None


def _strangeness(held: Held, rank: int) -> Damaged | None:
    """What of a checkpoint with right hashes is none of this trainer's; None for a good one."""
    try:
        held.check(rank)
    except Damaged as error:
        return error
    return None
