"""Which checkpoints may be deleted, decided from manifests alone.

The newest `keep_last` and the best `keep_best` healthy checkpoints of the lineage stay, the lineage
being this attempt's own and those of its ancestors from which it descends. Unhealthy ones never count,
so a run of NaN pushes nothing out; the newest of them stays for whoever looks for the cause.

Until this attempt has `keep_last` healthy checkpoints of its own, nothing of an ancestor goes: if it
dies, the next one needs what it resumed from. Afterwards an ancestor's leftovers that no attempt
descends from (steps that a presumed-dead pod wrote later) go with the rest.
"""

from collections.abc import Sequence

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.ranking import ranked


def prunable(
    own: Sequence[Manifest],
    lineage: Sequence[Manifest],
    leftovers: Sequence[Manifest],
    *,
    keep_last: int,
    keep_best: int,
) -> list[Manifest]:
    """Checkpoints to delete, oldest step first.

    `own` are this incarnation's; `lineage` the healthy ones of ancestors that a resume would accept;
    `leftovers` every other one of the recorded ancestors. The three don't overlap.
    """
    newest_first = sorted((m for m in (*own, *lineage) if m.healthy), key=lambda m: -m.step)
    kept = {m.position for m in newest_first[:keep_last]}
    kept |= {one.manifest.position for one in ranked(newest_first)[:keep_best]}
    kept |= {m.position for m in _newest_unhealthy(own)}
    if sum(m.healthy for m in own) < keep_last:
        kept |= {m.position for m in (*lineage, *leftovers)}
    doomed = [m for m in (*own, *lineage, *leftovers) if m.position not in kept]
    return sorted(doomed, key=lambda m: (m.step, m.incarnation))


def _newest_unhealthy(own: Sequence[Manifest]) -> list[Manifest]:
    return sorted((m for m in own if not m.healthy), key=lambda m: m.step)[-1:]
