"""Which checkpoints may be deleted, decided from manifests alone, so that a volume never holds more than it has room for.

The newest `keep_last` and the best `keep_best` healthy checkpoints of the lineage stay, the lineage being
this attempt's own and those of its ancestors from which it descends, counted together: however often a
training is interrupted, no more than `keep_last + keep_best` lie there when a save begins. What an attempt
resumed from is the newest of its ancestors', so it stays until `keep_last` healthy ones came after it.
An older one no later attempt ever asks for.

Unhealthy checkpoints and leftovers (steps that a pod presumed dead wrote later, ones that were found damaged)
push out nothing healthy. They stay only while fewer than so many are held, for whoever looks for a cause.
"""

from collections.abc import Sequence

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import ranked
from deepseek_runtime.contract import Measure


def prunable(
    own: Sequence[Manifest],
    lineage: Sequence[Manifest],
    leftovers: Sequence[Manifest],
    *,
    keep_last: int,
    keep_best: int,
    by: Measure | None,
) -> list[Manifest]:
    """Checkpoints to delete before the next save begins, oldest step first.

    `own` are this incarnation's; `lineage` the healthy ones of ancestors that a resume would accept;
    `leftovers` every other one of the recorded ancestors. The three don't overlap. `by` is what ranks them.
    """
    # Of one step the attempt's own is the newer: the other one is what it resumed from.
    newest_first = sorted((m for m in (*lineage, *own) if m.healthy), key=lambda m: (m.step, m.attempt), reverse=True)
    kept = {m.position for m in newest_first[:keep_last]}
    kept |= {one.manifest.position for one in ranked(newest_first, by)[:keep_best]}
    others = sorted((*leftovers, *(m for m in own if not m.healthy)), key=lambda m: (m.attempt, m.step), reverse=True)
    kept |= {m.position for m in others[: keep_last + keep_best - len(kept)]}
    doomed = [m for m in (*own, *lineage, *leftovers) if m.position not in kept]
    return sorted(doomed, key=lambda m: (m.step, m.incarnation))


def most_held(keep_last: int, keep_best: int) -> int:
    """The most checkpoints that lie on a volume at a time: those kept and one that is being written.

    The operator makes claims for so many (`domain/sizing/checkpoint_size.py`, which can't import this).
    """
    return keep_last + keep_best + 1
