"""Which checkpoints an attempt may begin with, from what lies on the volume: its own training's, or those of `resume.from`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_runtime.checkpoint import resume
from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Ancestor, Contract, Invalid, Measure

RESTORE = "put their files back and go on by a new training with checkpoints.resume.from, or begin a new one without it"


@dataclass(frozen=True)
class Choice:
    """Candidates, first choice first; `training_uid` is set when they are another training's."""

    candidates: tuple[Manifest, ...]
    leftovers: tuple[Manifest, ...]
    training_uid: str | None
    incarnation: str

    def lineage(self, found: Manifest | None) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
        """Ancestors' checkpoints and leftovers of an attempt that goes on from `found`. What was passed over as damaged is
        no ancestor's any more: no later attempt would go on from it either."""
        if self.training_uid is not None or found is None:
            return (), self.leftovers
        first = self.candidates.index(found)
        return self.candidates[first:], (*self.leftovers, *self.candidates[:first])


def refuse_all(problems: Sequence[str], *, is_readable: bool) -> None:
    """Of candidates none of which is whole. Raises Damaged, or OSError where the next attempt may read what this one could
    not; nothing where there were none."""
    if problems and not is_readable:
        raise OSError(f"none of {len(problems)} checkpoints could be read: {'; '.join(problems)}")
    if problems:
        raise Damaged(f"none of {len(problems)} checkpoints is whole: {'; '.join(problems)}; {RESTORE}")


def sibling(volume: Volume, training_uid: str) -> Volume:
    """Another training's directory beside this one's."""
    return Volume(volume.root.parent / training_uid)


def choose(contract: Contract, own: Volume) -> Choice:
    """What the attempt of `contract` may go on from. Raises Invalid, or Damaged where nothing that is there can be read.

    One that has started again in its pods descends from itself.
    """
    origins, manifests = own.origins(), own.checkpoints()
    if contract.restart:
        itself = Ancestor(contract.attempt, contract.job_uid, contract.pod_uid)
        contract = replace(contract, ancestry=(*contract.ancestry, itself))
    elif contract.resume == "Never":
        return Choice((), _leftovers(contract, origins, manifests, ()), None, contract.pod_uid)
    found = tuple(resume.candidates(contract.ancestry, origins, manifests))
    leftovers = _leftovers(contract, origins, manifests, found)
    if not found:
        _refuse_unbelieved(contract, own, origins, manifests)
    if found or contract.resume_from is None or contract.resume == "Never":
        return Choice(found, leftovers, None, contract.pod_uid)
    if contract.resume_from.training_uid == contract.training_uid:
        return Choice(everything(own), (), None, contract.pod_uid)
    return Choice(_from_other(contract, own), leftovers, contract.resume_from.training_uid, contract.pod_uid)


def _refuse_unbelieved(
    contract: Contract, own: Volume, origins: Mapping[str, Origin], manifests: resume.Manifests
) -> None:
    """Raises Damaged when earlier attempts left what may be checkpoints, and none that can be gone on from."""
    names = {resume.incarnation_of(one, origins, manifests) for one in contract.ancestry}
    names |= {one.incarnation for one in contract.ancestry}
    strange = [str(folder) for name in sorted(name for name in names if name) for folder in own.unbelieved(name)]
    if strange:
        raise Damaged(f"nothing in {', '.join(strange[:4])} can be read: {RESTORE}")


def everything(volume: Volume) -> tuple[Manifest, ...]:
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
    volume, field = sibling(own, wanted.training_uid), "checkpoints.resume.from"
    return named(volume, wanted.checkpoint, contract.checkpoints.best, field, f"training {wanted.training_uid}")


def named(volume: Volume, checkpoint: str, by: Measure | None, field: str, whose: str) -> tuple[Manifest, ...]:
    """What `field` names of a training, Latest, Best or a step; first choice first. Raises Invalid with what there is."""
    found = everything(volume)
    chosen = resume.choose(found, checkpoint, by)
    if not chosen:
        there = ", ".join(str(m.step) for m in sorted(found, key=lambda m: m.step)) or "none"
        raise Invalid(f"{field} names {checkpoint} of {whose}, which holds these healthy checkpoints: {there}")
    return tuple(chosen)
