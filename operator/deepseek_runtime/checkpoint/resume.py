"""From which checkpoint an attempt goes on, decided from manifests and origins alone.

Trusted are only the recorded ancestors. The walk goes from the newest back: of the newest every
healthy checkpoint counts; of an older one only those up to the step from which its successor
resumed, because whatever it wrote later was written by a pod presumed dead. An ancestor that its
successor did not resume from counts nothing. One that left no origin took no step and is passed over.
"""

from collections.abc import Mapping, Sequence

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.ranking import best
from deepseek_runtime.contract import Ancestor, Measure

Manifests = Mapping[str, Sequence[Manifest]]
"""Checkpoint manifests by incarnation."""


def candidates(ancestry: Sequence[Ancestor], origins: Mapping[str, Origin], manifests: Manifests) -> list[Manifest]:
    """Healthy checkpoints that may be resumed from, first choice first. `ancestry` is oldest first."""
    found: list[Manifest] = []
    bound = None
    for ancestor in reversed(ancestry):
        incarnation = incarnation_of(ancestor, origins, manifests)
        if incarnation is None or (bound is not None and incarnation != bound.incarnation):
            continue
        own = [m for m in manifests.get(incarnation, ()) if m.healthy and (bound is None or m.step <= bound.step)]
        found += sorted(own, key=lambda m: -m.step)
        origin = origins.get(incarnation)
        if origin is None:
            continue
        if origin.resumed_from is None or origin.resumed_from.training_uid is not None:
            break
        bound = origin.resumed_from
    return found


def incarnation_of(ancestor: Ancestor, origins: Mapping[str, Origin], manifests: Manifests) -> str | None:
    """The ancestor's directory; when the recorded pod left nothing, or none was seen, one of its attempt and Job.

    A Job replaces a pod that it lost: the one that was seen first may have died before it began, the other worked.
    """
    if ancestor.incarnation is not None and (ancestor.incarnation in origins or manifests.get(ancestor.incarnation)):
        return ancestor.incarnation
    named = {origin.incarnation for origin in origins.values() if _is_of(ancestor, origin)}
    named |= {m.incarnation for held in manifests.values() for m in held if _is_of(ancestor, m)}
    return max(
        sorted(named),
        key=lambda one: max((m.step for m in manifests.get(one, ())), default=-1),
        default=ancestor.incarnation,
    )


def whole_ancestry(origins: Mapping[str, Origin], manifests: Manifests) -> list[Ancestor]:
    """Every incarnation found of a finished training as an ancestor, oldest attempt first."""
    known = {(o.attempt, o.job_uid, o.incarnation) for o in origins.values()}
    known |= {(m.attempt, m.job_uid, m.incarnation) for held in manifests.values() for m in held}
    return [Ancestor(attempt, job_uid, incarnation) for attempt, job_uid, incarnation in sorted(known)]


def choose(found: Sequence[Manifest], checkpoint: str, by: Measure | None) -> list[Manifest]:
    """What `resume.from` names among another training's candidates: Latest, Best or a step; first choice first.

    Best by what `by` measures; of what was never measured so it is the latest.
    """
    match checkpoint:
        case "Latest":
            return list(found)
        case "Best":
            top = best(found, by)
            return [top.manifest] if top else list(found)
        case step:
            return [m for m in found if m.step == int(step)]


def _is_of(ancestor: Ancestor, record: Origin | Manifest) -> bool:
    return (record.attempt, record.job_uid) == (ancestor.attempt, ancestor.job_uid)
